/** Merging indexes into one segment, with all that may be kept of them. */

import { afterAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FrozenIndex, LiveIndex, searchIndexes } from "../../src/core/native.ts";
import { type KeptRecords, mergeIndexes } from "../../src/core/native-segments.ts";
import { packOf, type TestRecord } from "./packed-records.ts";

const directory = await mkdtemp(join(tmpdir(), "chronik-merge-"));
afterAll(() => rm(directory, { recursive: true }));

const TOPICS = ["a", "b", "c"];
const PARTITIONS = [0, 1, 2];
const RECORD_COUNT = 40;
let directoryCount = 0;

/** Every topic, partition and offset below `RECORD_COUNT`, spread over two indexes. */
const sources = [indexWith((offset) => offset % 3 !== 0), indexWith((offset) => offset % 3 === 0)];
afterAll(() => {
  for (const source of sources) source.close();
});

function indexWith(isIn: (offset: number) => boolean): LiveIndex {
  const index = new LiveIndex();
  for (const topic of TOPICS) {
    for (const partition of PARTITIONS) {
      for (let offset = 0; offset < RECORD_COUNT; offset += 1) {
        if (!isIn(offset)) continue;
        const record: TestRecord = { key: `k${offset}`, value: `common word${offset}` };
        index.add(packOf([record], { topic, partition, baseOffset: offset }));
      }
      index.commit();
    }
  }
  return index;
}

/** All records of an index, as `topic/partition/offset`. */
function placesOf(index: { readonly number: number }): string[] {
  const { total, hits } = searchIndexes([index.number], { query: { kind: "all" }, size: 1_000 });
  expect(total).toBe(hits.length);
  return hits.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`).sort();
}

function expectedPlaces(
  isKept: (topic: string, partition: number, offset: number) => boolean,
): string[] {
  const offsets = Array.from({ length: RECORD_COUNT }, (_, offset) => offset);
  return TOPICS.flatMap((topic) =>
    PARTITIONS.flatMap((partition) =>
      offsets
        .filter((offset) => isKept(topic, partition, offset))
        .map((offset) => `${topic}/${partition}/${offset}`),
    ),
  ).sort();
}

/** Merges both sources; what comes out is checked against `isKept`. */
function expectMerged(
  keep: KeptRecords,
  isKept: (topic: string, partition: number, offset: number) => boolean,
): void {
  directoryCount += 1;
  const target = join(directory, String(directoryCount));
  const stats = mergeIndexes({
    sources: sources.map(({ number }) => number),
    directory: target,
    keep,
  });
  const expected = expectedPlaces(isKept);
  expect(stats.documentCount).toBe(expected.length);
  const topics = [...new Set(expected.map((place) => place.split("/")[0]))];
  expect(stats.topicIds).toEqual(topics.map((topic) => `id-of-${topic}`));
  using merged = new FrozenIndex(target, { isVerified: true });
  expect(merged.stats()).toEqual({
    documentCount: expected.length,
    segmentCount: 1,
    live: null,
  });
  expect(placesOf(merged)).toEqual(expected);
}

test("merge: everything is kept when everything is wanted", () => {
  expectMerged({ kind: "all" }, () => true);
  expectMerged({ kind: "excludedTopics", topicIds: [] }, () => true);
  expectMerged({ kind: "excludedTopics", topicIds: ["id-of-x"] }, () => true);
});

test("merge: topics are kept or left out", () => {
  expectMerged({ kind: "topics", topicIds: ["id-of-b", "id-of-x"] }, (topic) => topic === "b");
  expectMerged({ kind: "excludedTopics", topicIds: ["id-of-b"] }, (topic) => topic !== "b");
});

test("merge: ranges of offsets are kept, start inclusive, end exclusive", () => {
  const range = (topic: string, partition: number, startOffset: number, endOffset: number) => ({
    topicId: `id-of-${topic}`,
    partition,
    startOffset,
    endOffset,
  });
  const ranges = [
    range("a", 0, 5, 10),
    range("a", 0, 20, 21),
    range("a", 2, 0, 1_000),
    range("c", 1, 39, 40),
    range("c", 2, 7, 7),
    range("x", 0, 0, 10),
  ];
  expectMerged({ kind: "ranges", ranges }, (topic, partition, offset) =>
    ranges.some(
      (kept) =>
        kept.topicId === `id-of-${topic}` &&
        kept.partition === partition &&
        offset >= kept.startOffset &&
        offset < kept.endOffset,
    ),
  );
});

test("merge: the parts of a split are the whole", () => {
  const numbers = sources.map(({ number }) => number);
  const parts = TOPICS.map((topic) => {
    const target = join(directory, `split-${topic}`);
    const keep = { kind: "topics", topicIds: [`id-of-${topic}`] } as const;
    mergeIndexes({ sources: numbers, directory: target, keep });
    return new FrozenIndex(target);
  });
  expect(parts.flatMap(placesOf).sort()).toEqual(expectedPlaces(() => true));
  const again = join(directory, "joined");
  mergeIndexes({
    sources: parts.map(({ number }) => number),
    directory: again,
    keep: { kind: "all" },
  });
  using whole = new FrozenIndex(again, { isVerified: true });
  expect(placesOf(whole)).toEqual(expectedPlaces(() => true));
  const query = { kind: "match_phrase", field: "_value", text: "common word7" } as const;
  expect(searchIndexes([whole.number], { query, size: 0 }).total).toBe(9);
  for (const part of parts) part.close();
});

test("merge: nothing is written when nothing is kept", async () => {
  const target = join(directory, "nothing");
  const request = { sources: sources.map(({ number }) => number), directory: target };
  const nothing = { documentCount: 0, sizeBytes: 0, times: null, topicIds: [] };
  expect(mergeIndexes({ ...request, keep: { kind: "ranges", ranges: [] } })).toEqual(nothing);
  expect(mergeIndexes({ ...request, keep: { kind: "topics", topicIds: [] } })).toEqual(nothing);
  expect(mergeIndexes({ ...request, sources: [], keep: { kind: "all" } })).toEqual(nothing);
  expect((await readdir(directory)).filter((name) => name.startsWith("nothing"))).toEqual([]);
});

test("merge: a directory that exists and an index that is not open are errors", () => {
  const keep = { kind: "all" } as const;
  const sourceNumbers = sources.map(({ number }) => number);
  expect(() => mergeIndexes({ sources: sourceNumbers, directory, keep })).toThrow("exists already");
  const target = join(directory, "missing-source");
  expect(() => mergeIndexes({ sources: [0], directory: target, keep })).toThrow("not open");
});
