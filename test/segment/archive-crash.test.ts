/**
 * Seeded lives of an archive on a disk that loses what was not synced: created, appended to, cut off at any moment.
 * What was registered is read, always, and the next append goes on from there. `SEED=n` repeats one.
 */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { type Disk, DiskError } from "../../src/core/disk.ts";
import { LocalFileSource } from "../../src/segment/archive-source.ts";
import { ArchiveWriter } from "../../src/segment/archive-writer.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { addFiles, isContentOf, noise, readAll, type TestFile } from "./archive-fixture.ts";

const SEED_COUNT = 300;
const PATH = "segments/archive";
const ROUNDS = 4;

/** What was registered: the archive has these files at this length. */
interface Registered {
  lengthBytes: number;
  files: readonly TestFile[];
}

test("archive: at any crash, what was registered is read and can be appended to", async () => {
  const only = Bun.env["SEED"];
  const seeds =
    only === undefined ? Array.from({ length: SEED_COUNT }, (_, i) => i) : [Number(only)];
  const totals = { crashes: 0, registered: 0, failedSyncs: 0 };
  for (const seed of seeds) {
    await runSeed(seed, totals).catch((thrown: unknown) => {
      throw new Error(`SEED=${seed}: ${String(thrown)}`, { cause: thrown });
    });
  }
  if (only !== undefined) return;
  for (const total of Object.values(totals)) expect(total).toBeGreaterThan(SEED_COUNT / 10);
});

async function runSeed(
  seed: number,
  totals: { crashes: number; registered: number; failedSyncs: number },
): Promise<void> {
  const random = seededRandom(seed);
  const disk = new SimulatedDisk(random, {
    syncFailure: seed % 3 === 0 ? 0.2 : 0,
    capacityBytes: Number.POSITIVE_INFINITY,
    sectorSurvival: random(),
  });
  const registered: Registered = { lengthBytes: 0, files: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const life = { round, isOver: false };
    const living = live(disk.process(), registered, life, random).catch((thrown: unknown) => {
      if (!(thrown instanceof DiskError)) throw thrown;
      totals.failedSyncs += 1;
    });
    const crash = turns(Math.floor(random() * 150));
    const isCrashed = await Promise.race([living.then(() => false), crash.then(() => true)]);
    if (isCrashed) totals.crashes += 1;
    life.isOver = true;
    if (random() < 0.5) disk.cut();
    else disk.kill();
    await check(disk.process(), registered);
  }
  totals.registered += registered.files.length;
}

/** Adds files again and again; an archive is registered once its bytes and its name are on disk. */
async function live(
  disk: Disk,
  registered: Registered,
  life: { readonly round: number; isOver: boolean },
  random: () => number,
): Promise<void> {
  for (let step = 0; step < 3; step += 1) {
    const files: TestFile[] = [];
    for (let index = Math.floor(random() * 3); index >= 0; index -= 1) {
      const content = noise(Math.floor(random() ** 2 * 3_000), life.round * 10 + step);
      const name = `index/${life.round}-${step}-${index}`;
      files.push({ name, content, chunkBytes: 700, compression: "stored" });
    }
    const writer =
      registered.lengthBytes === 0
        ? await ArchiveWriter.create(disk, PATH)
        : await ArchiveWriter.append(disk, PATH, registered.lengthBytes);
    const lengthBytes = await addFiles(writer, files, 500);
    await disk.syncDirectory("segments");
    if (life.isOver) return;
    registered.lengthBytes = lengthBytes;
    registered.files = [...registered.files, ...files];
  }
}

async function check(disk: Disk, { lengthBytes, files }: Registered): Promise<void> {
  if (lengthBytes === 0) return;
  const source = await LocalFileSource.open(disk, PATH);
  const contents = await readAll(source, lengthBytes);
  expect(isContentOf(contents, files)).toBe(true);
  await source.close();
}

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await null;
}
