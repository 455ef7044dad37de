/**
 * Merging while the process dies or the power goes, at every operation on the disk: a restart finds every record
 * exactly once, the sweep leaves no object that nobody knows, and merging goes on.
 */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import type { Disk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { ObjectSweep } from "../../src/segment/object-sweep.ts";
import type { SegmentsChange } from "../../src/segment/segments-change.ts";
import { SealedWorld, TOPIC_IDS } from "../segment/merging-fixture.ts";
import { MergingWorld } from "../segment/merging-world.ts";
import { type CrashEnding, CrashPoint } from "./crash-point.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const DIRECTORY = "segments";
const HOUR_MS = 3_600_000;
const SEALS = 4;

const SEED = Bun.env["SEED"];
const SEEDS = SEED === undefined ? [1, 2, 3] : [Number(SEED)];

for (const ending of ["kill", "cut"] as const) {
  test.each(SEEDS)(
    `merging: a ${ending} at any operation loses and doubles nothing (SEED=%d)`,
    async (seed) => {
      let operation = 1;
      while (await crashAt(operation, ending, seed)) operation += 1;
      // Fewer would mean that nothing was merged.
      expect(operation).toBeGreaterThan(50);
    },
  );
}

/** @returns false if the history ended before that operation */
async function crashAt(operation: number, ending: CrashEnding, seed: number): Promise<boolean> {
  const random = seededRandom(seed);
  const faults = { syncFailure: 0, capacityBytes: Number.POSITIVE_INFINITY, sectorSurvival: 0.3 };
  const disk = new SimulatedDisk(random, faults);
  const sealed = new SealedWorld(random, { batchBytesMax: 600, batchCountMax: 3 });
  const before = new MergingWorld({ disk: disk.process(), directory: DIRECTORY });
  for (let seal = 0; seal < SEALS; seal += 1) await before.seal(sealed);

  const crash = new CrashPoint({ disk, operation, ending });
  const first = worldOf(crash.disk, before.registered, () => crash.step());
  await Promise.race([first.mergeAll(), crash.happened]);
  const hasCrashed = crash.hasHappened;
  if (!hasCrashed) disk.kill();

  const again = worldOf(disk.process(), first.registered);
  await sweep(again, disk.process());
  expect(disk.paths()).toEqual(again.fileNames().map((name) => `${DIRECTORY}/${name}`));
  await again.check(sealed);
  await again.mergeAll();
  await again.merging.stop();
  await again.check(sealed);
  expect(again.events.filter((event) => event === "merge_failed")).toEqual([]);
  expect(disk.paths()).toEqual(again.fileNames().map((name) => `${DIRECTORY}/${name}`));
  return hasCrashed;
}

const DELETED_TOPIC_ID = TOPIC_IDS[3] ?? "";

/** A life of the process, in which a topic was deleted, which its oldest segments still hold. */
function worldOf(
  disk: Disk,
  registered: readonly SegmentsChange[],
  step?: () => Promise<void>,
): MergingWorld {
  const options = { disk, directory: DIRECTORY, registered };
  const world = new MergingWorld(step === undefined ? options : { ...options, step });
  world.deleteTopic(DELETED_TOPIC_ID);
  const isDead = ({ topicId }: { topicId: string }) => topicId === DELETED_TOPIC_ID;
  for (const { segmentId, ranges } of world.segments().slice(0, 2)) {
    if (ranges.some(isDead)) world.purgeIds.push(segmentId);
  }
  return world;
}

async function sweep(world: MergingWorld, disk: Disk): Promise<void> {
  await world.clock.advance(HOUR_MS);
  const objects = new ObjectSweep({
    disk,
    directory: DIRECTORY,
    isRegistered: (segmentId) => world.index.segment(segmentId) !== undefined,
    hasRegistrations: () => true,
    isInUse: (segmentId) => world.merging.isWriting(segmentId),
    clock: world.clock,
    logger: silentLogger,
  });
  objects.start();
  await objects.stop();
}
