/** The schedule of merges: what is merged, registered and deleted, and what happens when something fails. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { inDirectory } from "./archive-fixture.ts";
import { SealedWorld, type SealSizes, TOPIC_IDS } from "./merging-fixture.ts";
import { MergingWorld, type MergingWorldOptions } from "./merging-world.ts";

const SIZES: SealSizes = { batchBytesMax: 3_000, batchCountMax: 4 };

test("merging: many seals become few segments, and the old objects go", () =>
  inWorld({}, async ({ world, sealed, directory }) => {
    for (let seal = 0; seal < 30; seal += 1) {
      await world.seal(sealed);
      await world.mergeAll();
    }
    expect(world.segments().length).toBeLessThan(30);
    expect(await systemDisk.list(directory)).toEqual(world.fileNames());
    expect(world.merging.stats().failureCount).toBe(0);
    expect(world.merging.stats().mergeCount).toBeGreaterThan(10);
    await world.check(sealed);
  }));

test("merging: an object that is read stays until it is let go", () =>
  inWorld({}, async ({ world, sealed, directory }) => {
    await world.seal(sealed);
    const names = world.fileNames();
    const unpins = world.segments().map(({ segmentId }) => world.pin(segmentId));
    for (let seal = 0; seal < 6; seal += 1) await world.seal(sealed);
    await world.mergeAll();
    expect(world.fileNames()).not.toContain(names[0]);
    expect(await systemDisk.list(directory)).toEqual([...world.fileNames(), ...names].sort());
    for (const unpin of unpins) unpin();
    await world.mergeAll();
    expect(await systemDisk.list(directory)).toEqual(world.fileNames());
  }));

test("merging: a segment to purge is rewritten without what is dead; one without live records just goes", () =>
  inWorld({}, async ({ world, sealed, directory }) => {
    await world.seal(sealed);
    await world.seal(sealed);
    const [deleted = "", cut = ""] = TOPIC_IDS;
    world.deleteTopic(deleted);
    world.deleteRecords(cut, 0, sealed.endOffset(cut, 0));
    world.purgeIds.push(...world.segments().map(({ segmentId }) => segmentId));
    await world.mergeAll();
    const topicIds = world.segments().flatMap(({ ranges }) => ranges.map(({ topicId }) => topicId));
    expect(topicIds).not.toContain(deleted);
    await world.check(sealed);
    for (const topicId of TOPIC_IDS) world.deleteTopic(topicId);
    world.purgeIds.push(...world.segments().map(({ segmentId }) => segmentId));
    world.merging.wake();
    await world.mergeAll();
    expect(await systemDisk.list(directory)).toEqual([]);
  }));

test("merging: a merge that fails is told, left alone for a while, and tried again", () =>
  inDirectory(async (directory) => {
    let runCount = 0;
    const run = async () => {
      runCount += 1;
      return { kind: "failed", reason: "the disk is full" } as const;
    };
    const world = new MergingWorld({ disk: systemDisk, directory, run });
    const sealed = new SealedWorld(seededRandom(11), SIZES);
    for (let seal = 0; seal < 6; seal += 1) await world.seal(sealed);
    const names = world.fileNames();
    await world.mergeAll();
    const firstCount = runCount;
    expect(firstCount).toBeGreaterThan(0);
    expect(world.events.length).toBe(firstCount);
    expect(new Set(world.events)).toEqual(new Set(["merge_failed"]));
    await advance(world, 9);
    expect(runCount).toBe(firstCount);
    await advance(world, 2);
    expect(runCount).toBe(2 * firstCount);
    expect(await systemDisk.list(directory)).toEqual(names);
    await world.merging.stop();
    expect(world.clock.timerCount).toBe(0);
  }));

test("merging: a registration that fails touches no object", async () => {
  await inWorld({}, async ({ world, sealed, directory }) => {
    for (let seal = 0; seal < 6; seal += 1) await world.seal(sealed);
    const names = world.fileNames();
    const register = world.registered.push.bind(world.registered);
    world.registered.push = () => {
      throw new Error("the log is closed");
    };
    await world.mergeAll();
    world.registered.push = register;
    expect(new Set(world.events)).toEqual(new Set(["merge_failed"]));
    const found = await systemDisk.list(directory);
    expect(names.filter((name) => !found.includes(name))).toEqual([]);
    expect(world.fileNames()).toEqual(names);
  });
});

test("merging: nothing is merged beside a disk that is nearly full", () =>
  inWorld({ disk: { ...systemDisk, freeBytes: async () => 1000 } }, async ({ world, sealed }) => {
    for (let seal = 0; seal < 6; seal += 1) await world.seal(sealed);
    const names = world.fileNames();
    await world.mergeAll();
    expect(world.fileNames()).toEqual(names);
    world.purgeIds.push(world.segments()[0]?.segmentId ?? "");
    world.merging.wake();
    await world.mergeAll();
    expect(world.events).toEqual(["merge_failed"]);
  }));

test("merging: a segment that is gone is no failure", () =>
  inWorld({}, async ({ world, sealed }) => {
    for (let seal = 0; seal < 3; seal += 1) await world.seal(sealed);
    const [first] = world.segments();
    world.index.apply({ added: [], removedIds: [first?.segmentId ?? ""] });
    await world.mergeAll();
    expect(world.events).toEqual([]);
  }));

async function advance(world: MergingWorld, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    await world.clock.advance(60_000);
    await world.merging.whenIdle();
  }
}

interface InWorld {
  readonly world: MergingWorld;
  readonly sealed: SealedWorld;
  readonly directory: string;
}

function inWorld(
  options: Partial<MergingWorldOptions>,
  use: (parts: InWorld) => Promise<void>,
): Promise<void> {
  return inDirectory(async (directory) => {
    const world = new MergingWorld({ disk: systemDisk, directory, ...options });
    const sealed = new SealedWorld(seededRandom(11), SIZES);
    try {
      await use({ world, sealed, directory });
    } finally {
      await world.merging.stop();
    }
  });
}
