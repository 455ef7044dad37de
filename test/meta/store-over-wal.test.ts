/** The metadata store over the real WAL on a simulated disk: power cuts, checkpoints, files given back, lost files. */

import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import type { Disk } from "../../src/core/disk.ts";
import { readCheckpoint, writeCheckpoint } from "../../src/meta/checkpoint.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import type { MetaCommand } from "../../src/meta/meta-store.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { appendBatch, batchWith, openWal } from "../wal/wal-fixture.ts";
import { randomCommand, viewOf } from "./random-commands.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 60 }, (_, index) => index);

function newDisk(random: Random): SimulatedDisk {
  const capacityBytes = Number.POSITIVE_INFINITY;
  return new SimulatedDisk(random, { syncFailure: 0, capacityBytes, sectorSurvival: 0.5 });
}

async function openStore(disk: Disk) {
  const store = new LocalMetaStore();
  await readCheckpoint(disk, "data/meta.checkpoint", store);
  const { wal } = await openWal("data/wal", {
    disk,
    slabBytes: 64 * 1024,
    startAddress: store.appliedEnd,
    onEntry: ({ kind, address, payload }) => {
      if (kind === "metadata") store.recover(address, payload);
    },
  });
  store.attach(wal);
  const checkpoint = () => writeCheckpoint(disk, "data/meta.checkpoint", store);
  return { store, wal, checkpoint };
}

/** What a store shows after these commands and no others. */
function viewAfter(commands: readonly MetaCommand[]): unknown {
  const store = new LocalMetaStore();
  for (const command of commands) store.restore(command, 0);
  return viewOf(store);
}

test("recovery: a power cut keeps every acknowledged command, and nothing but commands in order", async () => {
  for (const seed of seeds) await runCuts(seed);
});

/** Three lives on one disk, each ended by a power cut. */
async function runCuts(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const disk = newDisk(random);
  let acknowledged: MetaCommand[] = [];
  let inFlight: MetaCommand | undefined;
  for (let life = 0; life < 3; life += 1) {
    const { store, wal, checkpoint } = await openStore(disk.process());
    const view = viewOf(store);
    if (inFlight && Bun.deepEquals(view, viewAfter([...acknowledged, inFlight]))) {
      acknowledged = [...acknowledged, inFlight];
    }
    expect(view, `SEED=${seed} life ${life}`).toEqual(viewAfter(acknowledged));
    const count = Math.floor(random() * 30);
    for (let done = 0; done < count; done += 1) {
      const command = randomCommand(store, random);
      if (random() < 0.3) await appendBatch(wal, batchWith(3_000, done));
      await store.commit(command);
      acknowledged.push(command);
      if (random() < 0.8) continue;
      const coveredEnd = store.appliedEnd;
      await checkpoint();
      if (random() < 0.5) await wal.release(coveredEnd);
    }
    inFlight = randomCommand(store, random);
    void store.commit(inFlight).catch(() => {}); // The cut may come before the answer.
    void checkpoint().catch(() => {}); // Likewise.
    for (let turns = Math.floor(random() * 200); turns > 0; turns -= 1) await null;
    disk.cut();
  }
}

test("checkpoint: covers the log up to its durable end, also while only records are appended", async () => {
  const disk = newDisk(seededRandom(1));
  const { store, wal, checkpoint } = await openStore(disk.process());
  await store.commit(randomCommand(store, seededRandom(1)));
  const before = store.appliedEnd;
  for (let count = 0; count < 40; count += 1) {
    const address = await appendBatch(wal, batchWith(8_000, count));
    await wal.whenDurable(address + 8_000);
  }
  expect(store.appliedEnd).toBeGreaterThan(before);
  expect(store.appliedEnd).toBe(wal.durableAddress);
  await checkpoint();
  const view = viewOf(store);
  const { fileCount } = wal.sizes();
  await wal.release(store.appliedEnd);
  expect(wal.sizes().fileCount).toBeLessThan(fileCount);
  disk.cut();
  const reopened = await openStore(disk.process());
  expect(viewOf(reopened.store)).toEqual(view);
  await reopened.store.commit(randomCommand(reopened.store, seededRandom(2)));
});

test("checkpoint: covers nothing that is not durable, also while a command waits behind records", async () => {
  const disk = newDisk(seededRandom(1));
  const { store, wal, checkpoint } = await openStore(disk.process());
  await store.commit(randomCommand(store, seededRandom(1)));
  const view = viewOf(store);
  for (let count = 0; count < 3; count += 1) await appendBatch(wal, batchWith(8_000, count));
  // The power goes before it is durable: it is never answered.
  void store.commit(randomCommand(store, seededRandom(2)));
  expect(store.appliedEnd).toBeLessThanOrEqual(wal.durableAddress);
  await checkpoint();
  disk.cut();
  const reopened = await openStore(disk.process());
  expect(viewOf(reopened.store)).toEqual(view);
});

test("recovery: a WAL without the files that the checkpoint needs stops the start", async () => {
  const disk = newDisk(seededRandom(1));
  const first = disk.process();
  const { store, wal, checkpoint } = await openStore(first);
  await store.commit(randomCommand(store, seededRandom(1)));
  await wal.close();
  await checkpoint();
  for (const name of await first.list("data/wal")) await first.remove(`data/wal/${name}`);
  await expect(openStore(disk.process())).rejects.toThrow("missing");
});
