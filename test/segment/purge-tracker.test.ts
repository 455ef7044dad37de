/** Bytes of deleted topics and records are gone in time, whatever happens meanwhile: over simulated time. */

import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { PurgeWorld } from "./purge-world.ts";
import { below } from "./segment-model.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 6 }, (_, index) => index);
const DELAY_MS = 60_000;
const STEP_MS = 1000;

function newWorld(seed = 1, jobMs = 1000): PurgeWorld {
  return new PurgeWorld({ random: seededRandom(seed), delayMs: DELAY_MS, jobMs });
}

function stepFor(world: PurgeWorld, elapsedMs: number): void {
  for (let passed = 0; passed < elapsedMs; passed += STEP_MS) world.step(STEP_MS);
}

/** The batches of a topic that are still in some segment. */
function batchesOf(world: PurgeWorld, topicId: string) {
  return world
    .segments()
    .flat()
    .filter((batch) => batch.topicId === topicId);
}

test("purge: a deleted topic's bytes leave shared segments, and others' stay", () => {
  const world = newWorld();
  const topicIds = Array.from({ length: 5 }, () => world.createTopic());
  for (let count = 0; count < 4; count += 1) world.seal(topicIds);
  const [doomed = "", kept = ""] = topicIds;
  const before = batchesOf(world, kept);
  world.deleteTopic(doomed);
  stepFor(world, 10_000);
  // It waits, so that several deletions cost one writing.
  expect(batchesOf(world, doomed).length).toBeGreaterThan(0);
  stepFor(world, DELAY_MS - 10_000);
  expect(batchesOf(world, doomed)).toEqual([]);
  expect(batchesOf(world, kept)).toEqual(before);
});

test("purge: a segment of a deleted topic alone goes at once", () => {
  const world = newWorld();
  const topicId = world.createTopic();
  world.seal([topicId]);
  world.deleteTopic(topicId);
  world.step(STEP_MS);
  expect(world.segments().length).toBe(0);
  expect(world.rewrittenBytes).toBe(0);
});

test("purge: records deleted once leave a range that lives on", () => {
  const world = newWorld();
  const topicIds = Array.from({ length: 6 }, () => world.createTopic());
  world.seal(topicIds, 40);
  const topicId = topicIds.find((one) => world.endOffset(one, 0) > 100) ?? "";
  const end = world.endOffset(topicId, 0);
  world.deleteRecords(topicId, 0, Math.floor(end / 2));
  stepFor(world, DELAY_MS);
  const left = batchesOf(world, topicId).filter(({ partition }) => partition === 0);
  expect(left.length).toBeGreaterThan(0);
  expect(left.filter((batch) => !world.isLive(batch))).toEqual([]);
  const { rewrittenBytes } = world;
  stepFor(world, 10 * DELAY_MS);
  expect(world.rewrittenBytes).toBe(rewrittenBytes);
});

test("purge: one batch of which a part is deleted is not written again and again", () => {
  const world = newWorld();
  const topicId = world.createTopic();
  let segmentId = "";
  while (segmentId === "") segmentId = world.seal([topicId], 1);
  const partition = world.endOffset(topicId, 0) > 0 ? 0 : 1;
  const end = world.endOffset(topicId, partition);
  for (let offset = 1; offset < end; offset += 1) {
    world.deleteRecords(topicId, partition, offset);
    stepFor(world, 2 * DELAY_MS);
    world.restart();
  }
  stepFor(world, DELAY_MS);
  expect(world.rewrittenBytes).toBe(0);
  expect(world.segments().length).toBe(1);
});

test("purge: deletions in quick succession cost little", () => {
  const world = newWorld();
  const others = Array.from({ length: 4 }, () => world.createTopic());
  const consumed = world.createTopic();
  for (let round = 0; round < 200; round += 1) {
    world.seal([consumed, ...others]);
    // A consumer that deletes what it has read, a little behind the end.
    for (const partition of [0, 1]) {
      const offset = Math.max(0, world.endOffset(consumed, partition) - 50);
      world.deleteRecords(consumed, partition, offset);
    }
    stepFor(world, 30_000);
  }
  expect(world.rewrittenBytes / world.sealedBytes).toBeLessThan(2.5);
});

test("purge: what was deleted before a restart is gone soon after it", () => {
  const world = newWorld();
  const topicIds = Array.from({ length: 5 }, () => world.createTopic());
  for (let count = 0; count < 3; count += 1) world.seal(topicIds);
  const [doomed = ""] = topicIds;
  world.deleteTopic(doomed);
  stepFor(world, 5000);
  world.restart();
  stepFor(world, 10_000);
  expect(batchesOf(world, doomed)).toEqual([]);
});

test("purge: over half an hour of chance no byte outlives the delay", () => {
  for (const seed of seeds) runHalfHour(seed);
});

function runHalfHour(seed: number): void {
  const random = seededRandom(seed);
  const world = newWorld(seed);
  for (let seconds = 0; seconds < 1800; seconds += 1) {
    if (seconds % 30 === 0) world.seal(world.topicIds);
    if (world.segments().length > 20) world.merge();
    if (world.topicIds.length < 3 || random() < 0.01) world.createTopic();
    if (random() < 0.005) world.deleteTopic(world.topicIds[below(random, 3)] ?? "");
    if (random() < 0.03) deleteSome(world, random);
    if (random() < 0.001) world.restart();
    world.step(STEP_MS);
    if (seconds % 5 > 0) continue;
    expect(overdueBytes(world), `SEED=${seed} after ${seconds} s`).toBe(0);
  }
}

function deleteSome(world: PurgeWorld, random: Random): void {
  const topicId = world.topicIds[below(random, world.topicIds.length)] ?? "";
  const partition = below(random, 2);
  const start = world.logStartOffset(topicId, partition);
  const end = world.endOffset(topicId, partition);
  if (end > start) world.deleteRecords(topicId, partition, start + 1 + below(random, end - start));
}

/** Of topics and of whole ranges that were deleted longer ago than the delay. */
function overdueBytes(world: PurgeWorld): number {
  let overdue = 0;
  for (const batches of world.segments()) {
    for (const [key, range] of Map.groupBy(batches, (one) => `${one.topicId}/${one.partition}`)) {
      const endOffset = range.at(-1)?.endOffset ?? 0;
      const passed = world.starts.get(key)?.find(({ offset }) => offset >= endOffset)?.atMs;
      const topicMs = world.deletedMs.get(key.split("/")[0] ?? "");
      const deadMs = Math.min(passed ?? Number.POSITIVE_INFINITY, topicMs ?? world.nowMs);
      if (world.nowMs - deadMs <= DELAY_MS) continue;
      for (const { sizeBytes } of range) overdue += sizeBytes;
    }
  }
  return overdue;
}
