/** The index of segments against one done the slow way, over random histories. */

import { expect, test } from "bun:test";
import { AssertionError } from "../../src/core/assert.ts";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { below, History, type ModelIndex, uuidFrom } from "./segment-model.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 12 }, (_, index) => index);

/** Some lookups of one place. */
function expectSameLookups(index: SegmentIndex, history: History, random: Random): void {
  const { model } = history;
  const { topicId, partition } = history.place();
  const end = (model.endOffset(topicId, partition) ?? 0) + 3;
  for (let count = 0; count < 4; count += 1) {
    const offset = below(random, end);
    const timestampMs = 900 + below(random, 900);
    expect(index.rangeOf(topicId, partition, offset)).toEqual(
      model.rangeOf(topicId, partition, offset),
    );
    expect(index.rangeSince(topicId, partition, timestampMs, offset)).toEqual(
      model.rangeSince(topicId, partition, timestampMs, offset),
    );
    expect(index.rangeOfMaxTimestamp(topicId, partition, offset)).toEqual(
      model.rangeOfMaxTimestamp(topicId, partition, offset),
    );
  }
}

/** Everything that can be asked. */
function expectSame(index: SegmentIndex, history: History): void {
  const { model, topicIds, partitionCount } = history;
  for (const topicId of topicIds) {
    const partitions: number[] = [];
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const ranges = [...index.ranges(topicId, partition)];
      expect(ranges).toEqual(model.ranges(topicId, partition));
      for (const [position, range] of ranges.entries()) {
        expect(range.startOffset).toBeGreaterThanOrEqual(ranges[position - 1]?.endOffset ?? 0);
      }
      expect(index.startOffset(topicId, partition)).toBe(model.startOffset(topicId, partition));
      expect(index.endOffset(topicId, partition)).toBe(model.endOffset(topicId, partition));
      const isThere = model.segments.some((facts) =>
        facts.ranges.some((range) => range.topicId === topicId && range.partition === partition),
      );
      if (isThere && !model.deletedTopicIds.has(topicId)) partitions.push(partition);
    }
    expect(index.partitions(topicId)).toEqual(partitions);
    expect([...index.topicIds()].includes(topicId)).toBe(partitions.length > 0);
  }
  expectSameSegments(index, model);
}

function expectSameSegments(index: SegmentIndex, model: ModelIndex): void {
  const byId = (one: { segmentId: string }, other: { segmentId: string }) =>
    one.segmentId < other.segmentId ? -1 : 1;
  const expected = model.segments.toSorted(byId).map((facts) => {
    const { ranges, ...rest } = facts;
    expect(index.segment(facts.segmentId)).toEqual(facts);
    const dataBytes = model.dataBytes(facts);
    const deadBytes = dataBytes - model.liveBytes(facts);
    expect(index.deadBytes(facts.segmentId)).toBe(deadBytes);
    expect(index.liveBytes(facts.segmentId)).toBe(dataBytes - deadBytes);
    return { ...rest, rangeCount: ranges.length, dataBytes, deadBytes };
  });
  expect([...index.segments()].sort(byId)).toEqual(expected);
  const empty = model.segments.filter((facts) => model.liveBytes(facts) === 0);
  expect(index.emptySegmentIds().toSorted()).toEqual(
    empty.map(({ segmentId }) => segmentId).toSorted(),
  );
  const stats = index.stats();
  expect(stats).toMatchObject(sumsOf(model, model.segments));
  const levels = [...new Set(model.segments.map(({ level }) => level))].sort((a, b) => a - b);
  expect(stats.byLevel).toEqual(
    levels.map((level) => ({
      level,
      ...sumsOf(
        model,
        model.segments.filter((facts) => facts.level === level),
      ),
    })),
  );
}

function sumsOf(model: ModelIndex, segments: readonly SegmentFacts[]) {
  const sum = (read: (facts: SegmentFacts) => number) =>
    segments.reduce((total, facts) => total + read(facts), 0);
  return {
    segmentCount: segments.length,
    rangeCount: sum(({ ranges }) => ranges.length),
    objectBytes: sum(({ lengthBytes }) => lengthBytes),
    dataBytes: sum((facts) => model.dataBytes(facts)),
    deadBytes: sum((facts) => model.dataBytes(facts) - model.liveBytes(facts)),
    indexedSegmentCount: sum(({ searchIndex }) => (searchIndex === null ? 0 : 1)),
    documentCount: sum(({ searchIndex }) => searchIndex?.documentCount ?? 0),
    searchIndexBytes: sum(({ searchIndex }) => searchIndex?.sizeBytes ?? 0),
  };
}

test.each(seeds)("segment index: as the slow one over a history (SEED=%d)", (seed) => {
  const random = seededRandom(seed);
  const history = new History(random);
  const index = new SegmentIndex();
  let version = index.version;
  for (let step = 0; step < 200; step += 1) {
    history.step(index);
    expect(index.version).toBeGreaterThanOrEqual(version);
    version = index.version;
    expectSameLookups(index, history, random);
    if (step % 25 === 0) expectSame(index, history);
  }
  expectSame(index, history);
});

test.each(seeds)("segment index: a snapshot is of its moment (SEED=%d)", (seed) => {
  const random = seededRandom(seed);
  const history = new History(random);
  const index = new SegmentIndex();
  for (let step = 0; step < 60; step += 1) history.step(index);
  const expected = new Map(history.model.segments.map((facts) => [facts.segmentId, facts]));
  const snapshot = index.snapshot();
  const taken = new Map<string, SegmentFacts>();
  for (;;) {
    const segments = snapshot.take(1 + below(random, 8));
    if (segments.length === 0) break;
    for (const facts of segments) {
      expect(taken.has(facts.segmentId)).toBe(false);
      taken.set(facts.segmentId, facts);
    }
    for (let step = below(random, 3); step > 0; step -= 1) history.step(index);
  }
  snapshot.close();
  expect(snapshot.segmentCount).toBe(expected.size);
  expect(taken).toEqual(expected);
  expectSame(index, history);
});

test.each(seeds)("segment index: restored in any order, it is the same (SEED=%d)", (seed) => {
  const random = seededRandom(seed);
  const history = new History(random);
  const index = new SegmentIndex();
  for (let step = 0; step < 120; step += 1) history.step(index);
  const restored = new SegmentIndex();
  const shuffled = history.model.segments.map((facts) => ({ facts, key: random() }));
  shuffled.sort((one, other) => one.key - other.key);
  for (const { facts } of shuffled) restored.restore(facts);
  expect(restored.finishRestore()).toBeUndefined();
  for (const topicId of history.model.deletedTopicIds) restored.deleteTopic(topicId);
  for (const [place, offset] of history.model.logStartOffsets) {
    const topicId = place.slice(0, 22);
    restored.setLogStartOffset(topicId, Number(place.slice(23)), offset);
  }
  expectSame(restored, history);
  for (let step = 0; step < 30; step += 1) history.step(restored);
  expectSame(restored, history);
});

const random = seededRandom(1);
const TOPIC = uuidFrom(random);

function factsOf(startOffset: number, endOffset: number, change: Partial<SegmentFacts> = {}) {
  const range = {
    topicId: TOPIC,
    partition: 0,
    startOffset,
    endOffset,
    position: 0,
    sizeBytes: 10,
    minTimestampMs: 1,
    maxTimestampMs: 2,
    batchCount: 1,
    recordCount: 1,
    rowStart: 0,
    rowCount: 0,
  };
  const place = { lengthBytes: 100, startAddress: 0, endAddress: 1 };
  const rest = { level: 0, createdMs: 5, ...place, searchIndex: null, ranges: [range] };
  return { segmentId: uuidFrom(random), ...rest, ...change };
}

test("apply: ranges that overlap are refused, and nothing changes", () => {
  const index = new SegmentIndex();
  const first = factsOf(0, 10);
  const second = factsOf(10, 20);
  index.apply({ added: [first, second], removedIds: [] });
  const { version } = index;
  const refused = [
    { added: [factsOf(5, 6)], removedIds: [] },
    { added: [factsOf(19, 21)], removedIds: [first.segmentId] },
    { added: [factsOf(20, 22), factsOf(21, 23)], removedIds: [] },
    { added: [factsOf(0, 20)], removedIds: [second.segmentId] },
    { added: [factsOf(30, 40), factsOf(50, 50)], removedIds: [first.segmentId] },
    { added: [first, factsOf(30, 40, { segmentId: first.segmentId })], removedIds: [] },
  ];
  for (const change of refused) expect(() => index.apply(change)).toThrow(AssertionError);
  expect(index.version).toBe(version);
  expect([...index.ranges(TOPIC, 0)].map(({ segmentId }) => segmentId)).toEqual([
    first.segmentId,
    second.segmentId,
  ]);
  expect(index.stats().segmentCount).toBe(2);
});

test("apply: the same change again does no harm", () => {
  const index = new SegmentIndex();
  const old = factsOf(0, 10);
  const merged = factsOf(0, 10);
  index.apply({ added: [old], removedIds: [] });
  const change = { added: [merged], removedIds: [old.segmentId] };
  for (let count = 0; count < 3; count += 1) index.apply(change);
  expect([...index.segments()].map(({ segmentId }) => segmentId)).toEqual([merged.segmentId]);
});

test("deleteTopic: what is registered afterwards is dead, and reported until it is gone", () => {
  const index = new SegmentIndex();
  index.deleteTopic(TOPIC);
  const late = factsOf(0, 10);
  index.apply({ added: [late], removedIds: [] });
  expect(index.rangeOf(TOPIC, 0, 0)).toBeUndefined();
  expect(index.endOffset(TOPIC, 0)).toBeUndefined();
  expect(index.emptySegmentIds()).toEqual([late.segmentId]);
  index.apply({ added: [], removedIds: [late.segmentId] });
  expect(index.emptySegmentIds()).toEqual([]);
  expect(index.stats()).toMatchObject({ segmentCount: 0, rangeCount: 0, deadBytes: 0 });
});

test("finishRestore: segments with the same offset are told", () => {
  const index = new SegmentIndex();
  index.restore(factsOf(10, 20));
  index.restore(factsOf(0, 11));
  expect(index.finishRestore()).toContain("the same offset");
});
