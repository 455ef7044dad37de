/** A directory as an object store: the suite, leftovers, seeded lives on a disk that loses what was not synced. */

import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import { ObjectExistsError, ObjectStoreError } from "../../src/segment/object-store.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { inDirectory, noise } from "./archive-fixture.ts";
import { objectStoreSuite } from "./object-store-suite.ts";

const SEED_COUNT = 300;
const DAY_MS = 24 * 3_600_000;

objectStoreSuite("file", async () => {
  const parent = await mkdtemp(join(tmpdir(), "chronik-objects-"));
  const directory = join(parent, "not/there/yet");
  return {
    store: new FileObjectStore({ disk: systemDisk, directory }),
    close: () => rm(parent, { recursive: true }),
  };
});

test("file: two stores of one directory see each other's objects, and neither overwrites", () =>
  inDirectory(async (directory) => {
    const [one, two] = [1, 2].map(() => new FileObjectStore({ disk: systemDisk, directory }));
    const bodies = [noise(3_000, 1), noise(3_000, 2)] as const;
    for (let round = 0; round < 20; round += 1) {
      const key = `rounds/${round}`;
      const puts = [one?.put(key, bodies[0]), two?.put(key, bodies[1])];
      const statuses = (await Promise.allSettled(puts)).map((result) => result.status).sort();
      expect(statuses).toEqual(["fulfilled", "rejected"]);
      expect(await one?.readRange(key, 0, 4_000)).toEqual(await two?.readRange(key, 0, 4_000));
    }
    expect(await readdir(join(directory, ".put"))).toEqual([]);
  }));

test("file: what a dead process left aside goes after a day, and is never listed", () =>
  inDirectory(async (directory) => {
    const store = new FileObjectStore({ disk: systemDisk, directory });
    await systemDisk.createDirectory(join(directory, ".put"));
    for (const [name, ageMs] of Object.entries({ old: DAY_MS + 60_000, young: DAY_MS - 60_000 })) {
      const path = join(directory, ".put", name);
      await (await systemDisk.create(path, 1)).close();
      const writtenSeconds = (Date.now() - ageMs) / 1_000;
      await utimes(path, writtenSeconds, writtenSeconds);
    }
    await store.put("key", new Uint8Array(1));
    expect(await readdir(join(directory, ".put"))).toEqual(["young"]);
    expect((await Array.fromAsync(store.list(""))).map(({ key }) => key)).toEqual(["key"]);
  }));

test("file: a directory that cannot be had is an error of the store, which says where", () =>
  inDirectory(async (directory) => {
    await (await systemDisk.create(join(directory, "file"), 0)).close();
    const store = new FileObjectStore({ disk: systemDisk, directory: join(directory, "file") });
    const refused = await store.put("key", new Uint8Array(1)).catch((thrown) => thrown);
    expect(refused).toBeInstanceOf(ObjectStoreError);
    expect(String(refused)).toContain(`file://${directory}/file failed at key`);
  }));

/** Nothing but work for the processor, which others may use too. */
const TIMEOUT_MS = 60_000;

test(
  "file: at any crash an object is whole or missing, and one that was put stays",
  async () => {
    const only = Bun.env["SEED"];
    const seeds =
      only === undefined ? Array.from({ length: SEED_COUNT }, (_, i) => i) : [Number(only)];
    const totals = { acknowledged: 0, crashes: 0, failed: 0, missing: 0 };
    for (const seed of seeds) {
      await runSeed(seed, totals).catch((thrown: unknown) => {
        throw new Error(`SEED=${seed}: ${String(thrown)}`, { cause: thrown });
      });
    }
    if (only !== undefined) return;
    for (const total of Object.values(totals)) expect(total).toBeGreaterThan(SEED_COUNT / 10);
  },
  TIMEOUT_MS,
);

/** Some lives, each with puts under way when it ends; then what is there is compared with what was promised. */
async function runSeed(
  seed: number,
  totals: { acknowledged: number; crashes: number; failed: number; missing: number },
): Promise<void> {
  const random = seededRandom(seed);
  const disk = new SimulatedDisk(random, {
    syncFailure: seed % 3 === 0 ? 0.1 : 0,
    capacityBytes: seed % 5 === 0 ? 20_000 : Number.POSITIVE_INFINITY,
    sectorSurvival: random(),
  });
  const acknowledged = new Map<string, Uint8Array>();
  const bodyOf = (key: string) => noise(5_000, Number(key.slice("a/".length)) % 2);
  for (let life = 0; life < 3; life += 1) {
    const store = storeOn(disk, random);
    let isEnded = false;
    const living = Array.from({ length: 4 }, async () => {
      // Few keys, so that many a put meets an object that is there, or half a one.
      const key = `${random() < 0.5 ? "a" : "b"}/${Math.floor(random() * 4)}`;
      try {
        await store.put(key, bodyOf(key));
        if (isEnded) return; // The dead promise nothing.
        acknowledged.set(key, bodyOf(key));
        totals.acknowledged += 1;
      } catch (thrown) {
        if (!(thrown instanceof ObjectStoreError) || thrown instanceof ObjectExistsError)
          throw thrown;
        totals.failed += 1;
      }
    });
    const all = Promise.all(living);
    const isOver = await Promise.race([all.then(() => true), turns(Math.floor(random() * 120))]);
    if (!isOver) totals.crashes += 1;
    isEnded = true;
    if (random() < 0.5) disk.cut();
    else disk.kill();
    const found = storeOn(disk, random);
    for (const key of ["a", "b"].flatMap((part) => [0, 1, 2, 3].map((i) => `${part}/${i}`))) {
      const stat = await found.stat(key);
      if (stat === undefined) {
        expect(acknowledged.has(key)).toBe(false);
        totals.missing += 1;
      } else {
        expect(await found.readRange(key, 0, 6_000)).toEqual(bodyOf(key));
      }
    }
  }
}

function storeOn(disk: SimulatedDisk, random: Random): FileObjectStore {
  const bytesByChance = (count: number) => noise(count, Math.floor(random() * 2 ** 32));
  return new FileObjectStore({ disk: disk.process(), directory: "/objects", bytesByChance });
}

async function turns(count: number): Promise<false> {
  for (let left = count; left > 0; left -= 1) await null;
  return false;
}
