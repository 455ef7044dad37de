/**
 * Compaction of random histories: the last value of each key stays, and nothing that was overtaken; also when the
 * process dies or the power goes at any operation on the disk.
 */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { ObjectSweep } from "../../src/segment/object-sweep.ts";
import { ManualClock } from "../manual-clock.ts";
import { CompactionWorld, DELETE_RETENTION_MS, History } from "./compaction-world.ts";
import { type CrashEnding, CrashPoint } from "./crash-point.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const HOUR_MS = 3_600_000;
const SEED = Bun.env["SEED"];
const SEEDS = SEED === undefined ? Array.from({ length: 6 }, (_, seed) => seed) : [Number(SEED)];
const CRASH_SEEDS = SEED === undefined ? [1] : [Number(SEED)];
/** 17 keys: half of what the partitions have. */
const FEW_KEYS_BYTES = 24 * 20;

function newDisk(random: () => number): SimulatedDisk {
  const faults = { syncFailure: 0, capacityBytes: Number.POSITIVE_INFINITY, sectorSurvival: 0.3 };
  return new SimulatedDisk(random, faults);
}

test.each(SEEDS)("compaction: the latest of each key stays (SEED=%d)", async (seed) => {
  const random = seededRandom(seed);
  const history = new History(random);
  const keyMapBytesMax = random() < 0.5 ? FEW_KEYS_BYTES : 1024 * 1024;
  const disk = newDisk(random).process();
  const world = new CompactionWorld({ disk, history, keyMapBytesMax });
  for (let round = 0; round < 6; round += 1) {
    for (let seals = 1 + Math.floor(random() * 4); seals > 0; seals -= 1) await world.seal();
    await world.check("anyhow");
    await world.workAll();
    await world.check("compacted");
    await world.clock.advance(random() < 0.3 ? DELETE_RETENTION_MS : 1000);
  }
  expect(world.events).toContain("segments_merged");
  expect(world.events).not.toContain("merge_failed");
  await world.merging.stop();
});

test("compaction: tombstones go with the first compaction after their time", async () => {
  const random = seededRandom(5);
  const history = new History(random);
  const world = new CompactionWorld({ disk: newDisk(random).process(), history });
  for (let seals = 0; seals < 5; seals += 1) await world.seal();
  await world.workAll();
  await world.clock.advance(DELETE_RETENTION_MS);
  // Only what has something new in it is compacted again.
  for (let seals = 0; seals < 3; seals += 1) await world.seal();
  await world.workAll();
  await world.check("compacted");
  const [key = ""] = history.logs.keys();
  const [topicId = "", partition = ""] = key.split(" ");
  const batches = await world.batches(topicId, Number(partition));
  const horizons = batches
    .map((bytes) => readBatchHeader(bytes, 0))
    .filter(({ hasDeleteHorizon }) => hasDeleteHorizon);
  const nowMs = world.clock.nowMs();
  for (const { baseTimestampMs, recordCount } of horizons) {
    // The batch may have values beside the tombstones that went.
    expect(recordCount > 0 || baseTimestampMs > nowMs).toBe(true);
  }
  await world.merging.stop();
});

test("compaction: a read from an offset that is gone begins with the next", async () => {
  const random = seededRandom(8);
  const history = new History(random);
  const world = new CompactionWorld({ disk: newDisk(random).process(), history });
  for (let seals = 0; seals < 8; seals += 1) await world.seal();
  await world.workAll();
  for (const [key, { endOffset }] of history.logs) {
    const [topicId = "", partition = ""] = key.split(" ");
    const all = await world.batches(topicId, Number(partition));
    for (let offset = 0; offset < endOffset; offset += 1) {
      const expected = all.filter((bytes) => {
        const { baseOffset, lastOffsetDelta } = readBatchHeader(bytes, 0);
        return baseOffset + lastOffsetDelta >= offset;
      });
      expect(await world.batches(topicId, Number(partition), offset)).toEqual(expected);
    }
  }
  await world.merging.stop();
});

for (const ending of ["kill", "cut"] as const) {
  test.each(CRASH_SEEDS)(
    `compaction: a ${ending} at any operation loses and keeps nothing wrong (SEED=%d)`,
    async (seed) => {
      let operation = 1;
      while (await crashAt(operation, ending, seed)) operation += 1;
      // Fewer would mean that nothing was compacted.
      expect(operation).toBeGreaterThan(30);
    },
  );
}

/** @returns false if the history ended before that operation */
async function crashAt(operation: number, ending: CrashEnding, seed: number): Promise<boolean> {
  const random = seededRandom(seed);
  const disk = newDisk(random);
  const history = new History(random);
  const clock = new ManualClock();
  const before = new CompactionWorld({ disk: disk.process(), history, clock });
  for (let seal = 0; seal < 3; seal += 1) await before.seal();
  const crash = new CrashPoint({ disk, operation, ending });
  const { registered } = before;
  const first = new CompactionWorld({
    ...{ disk: crash.disk, history, registered, clock, keyMapBytesMax: FEW_KEYS_BYTES },
    step: () => crash.step(),
  });
  await Promise.race([first.workAll(), crash.happened]);
  const hasCrashed = crash.hasHappened;
  if (!hasCrashed) disk.kill();

  const again = new CompactionWorld({
    ...{ disk: disk.process(), history, registered: first.registered, clock: new ManualClock() },
  });
  await sweep(again, disk);
  expect(disk.paths()).toEqual(again.paths());
  await again.check("anyhow");
  await again.workAll();
  await again.merging.stop();
  await again.check("compacted");
  expect(again.events).not.toContain("merge_failed");
  expect(disk.paths()).toEqual(again.paths());
  return hasCrashed;
}

async function sweep(world: CompactionWorld, disk: SimulatedDisk): Promise<void> {
  await world.clock.advance(HOUR_MS);
  const objects = new ObjectSweep({
    disk: disk.process(),
    directory: "segments",
    isRegistered: (segmentId) => world.index.segment(segmentId) !== undefined,
    hasRegistrations: () => true,
    isInUse: (segmentId) => world.merging.isWriting(segmentId),
    clock: world.clock,
    logger: silentLogger,
  });
  objects.start();
  await objects.stop();
}
