/** The indexes of the Rust shim: several at once, filters, limits, freezing and opening. */
import { afterAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  FrozenIndex,
  freezeIndexes,
  LiveIndex,
  NativeError,
  openIndexNumbers,
  searchIndexes,
} from "../../src/core/native.ts";
import { RecordPack } from "../../src/core/record-pack.ts";
import type { ShimQuery } from "../../src/core/shim-query.ts";
import { indexOf, offsetsOf, packOf, type TestRecord } from "./packed-records.ts";

const directory = await mkdtemp(join(tmpdir(), "chronik-search-"));
afterAll(() => rm(directory, { recursive: true }));

const RECORDS: readonly TestRecord[] = [
  { key: "order-1", value: "The quick brown fox", headers: [["trace-id", "abc 123"]] },
  { key: "order-2", value: "the lazy dog, the quick cat", timestampMs: 1_700_000_001_000 },
  {
    key: null,
    value: JSON.stringify({ user: { id: "u-17", age: 30 }, at: "2024-02-03T04:05:06Z" }),
  },
];
const index = indexOf(RECORDS);
const QUERIES: readonly ShimQuery[] = [
  { kind: "match", field: "_value", text: "quick cat" },
  { kind: "match_phrase", field: "_value", text: "brown fox" },
  { kind: "range", field: "user.age", gte: 30 },
  { kind: "range", field: "at", lt: "2025" },
  { kind: "term", field: "user.id.keyword", value: "u-17" },
  { kind: "wildcard", field: "user.id", pattern: "u-*" },
  { kind: "exists", field: "_headers" },
];

const value = (text: string): ShimQuery => ({ kind: "match", field: "_value", text });

test("search: several indexes are one, with totals added and pages in one order", () => {
  using more = indexOf(
    Array.from({ length: 300 }, (_, i) => ({ value: `quick ${i}`, timestampMs: 1000 + i })),
    "more",
  );
  const indexes = [index.number, more.number];
  const query = value("quick");
  const sort = [{ by: "timestamp", order: "asc" } as const];
  expect(searchIndexes(indexes, { query, size: 0 })).toEqual({ total: 302, hits: [] });
  const whole = searchIndexes(indexes, { query, size: 1000, sort });
  expect(whole.hits.map((hit) => hit.timestampMs)).toEqual(
    whole.hits.map((hit) => hit.timestampMs).toSorted((a, b) => a - b),
  );
  const pages = [];
  for (let from = 0; from < 302; from += 7) {
    const page = searchIndexes(indexes, { query, size: 7, from, sort });
    expect(page.total).toBe(302);
    pages.push(...page.hits);
  }
  expect(pages).toEqual([...whole.hits]);
  const byScore = searchIndexes(indexes, { query, size: 302 }).hits.map((hit) => hit.score ?? 0);
  expect(byScore).toEqual(byScore.toSorted((a, b) => b - a));
});

test("search: searchAfter goes on where a page ended, also among equals", () => {
  using equals = indexOf(Array.from({ length: 50 }, () => ({ value: "same" })));
  const seen: number[] = [];
  let searchAfter:
    | { values: number[]; topicId: string; partition: number; offset: number }
    | undefined;
  for (;;) {
    const page = searchIndexes([equals.number], {
      query: { kind: "all" },
      size: 8,
      sort: [{ by: "timestamp", order: "desc" }],
      ...(searchAfter === undefined ? {} : { searchAfter }),
    });
    expect(page.total).toBe(50);
    const last = page.hits.at(-1);
    if (last === undefined) break;
    seen.push(...page.hits.map((hit) => hit.offset));
    const { topicId, partition, offset } = last;
    searchAfter = { values: [last.timestampMs], topicId, partition, offset };
  }
  expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i));
});

test("search: filters hide topics, partitions, times and offsets", () => {
  using mixed = new LiveIndex();
  for (const topic of ["a", "b"]) {
    for (const partition of [0, 1]) {
      const records = [0, 1, 2].map((i) => ({ value: "x", timestampMs: 1000 * i }));
      mixed.add(packOf(records, { topic, partition }));
    }
  }
  mixed.commit();
  const total = (filter: object): number =>
    searchIndexes([mixed.number], { query: { kind: "all" }, filter, size: 0 }).total;
  expect(total({})).toBe(12);
  expect(total({ topicIds: ["id-of-a"] })).toBe(6);
  expect(total({ topicIds: ["id-of-a", "id-of-b"] })).toBe(12);
  expect(total({ topicIds: [] })).toBe(0);
  expect(total({ excludedTopicIds: ["id-of-a", "gone"] })).toBe(6);
  expect(total({ partitions: [1] })).toBe(6);
  expect(total({ topicIds: ["id-of-a"], partitions: [0], timestampMsMin: 1000 })).toBe(2);
  expect(total({ timestampMsMax: 999 })).toBe(4);
  const offsetRanges = [{ topicId: "id-of-a", partition: 0, start: 1, end: 2 }];
  expect(total({ offsetRanges })).toBe(10);
  expect(total({ topicIds: ["id-of-a"], partitions: [0], offsetRanges })).toBe(1);
  const startOf = (topic: string, partition: number, start: number) => ({
    topicId: `id-of-${topic}`,
    partition,
    start,
  });
  const starts = [
    startOf("b", 1, 3),
    startOf("a", 1, 2),
    startOf("gone", 0, 3),
    startOf("a", 0, 0),
  ];
  expect(total({ offsetRanges: starts })).toBe(7);
  expect(total({ offsetRanges: [...starts, startOf("a", 1, 3), startOf("b", 1, 1)] })).toBe(6);
  const end = { topicId: "id-of-a", partition: 1, end: 2 };
  expect(total({ offsetRanges: [end, startOf("a", 1, 1)], excludedTopicIds: ["id-of-b"] })).toBe(4);
});

test("search: one that takes too long is given up", () => {
  using many = indexOf(Array.from({ length: 3000 }, () => ({ value: "same" })));
  for (const by of ["score", "offset"] as const) {
    const request = { query: value("same"), size: 1, sort: [{ by, order: "desc" } as const] };
    expect(() => searchIndexes([many.number], { ...request, timeoutMs: 0 })).toThrow(
      "longer than 0 ms",
    );
    expect(searchIndexes([many.number], { ...request, timeoutMs: 60_000 }).total).toBe(3000);
  }
});

test("live index: records are hits after commit, and commits add up", () => {
  using live = new LiveIndex();
  const words = (): number => searchIndexes([live.number], { query: value("word"), size: 0 }).total;
  for (let round = 1; round <= 30; round += 1) {
    expect(
      live.add(packOf([{ value: "word" }, { value: "other" }], { baseOffset: 2 * round })),
    ).toBe(2);
    expect(words()).toBe(round - 1);
    live.commit();
    expect(words()).toBe(round);
  }
  const stats = live.stats();
  expect(stats).toMatchObject({ documentCount: 60, live: { addedCount: 60 } });
  expect(stats.segmentCount).toBeLessThan(20);
  expect(stats.live?.sizeBytes).toBeGreaterThan(0);
});

test("live index: bytes that are not UTF-8, long words and huge values are indexed", () => {
  using live = new LiveIndex();
  const noise = Uint8Array.from([0xff, 0xfe, 0x20, 0x68, 0x69, 0x20, 0xc3]);
  const long = "x".repeat(100_000);
  live.add(
    packOf([{ value: noise }, { key: long, value: `${long} tail ${"y ".repeat(500_000)}` }]),
  );
  live.commit();
  expect(offsetsOf(live, value("hi"))).toEqual([0]);
  expect(offsetsOf(live, value("tail"))).toEqual([1]);
});

test("live index: distinct JSON paths are bounded, words stay searchable", () => {
  using live = new LiveIndex({ topicJsonPathsMax: 10 });
  const records = Array.from({ length: 100 }, (_, i) => ({ value: `{"path${i}":"word${i}"}` }));
  live.add(packOf(records));
  live.commit();
  expect(live.stats().live?.jsonPathCount).toBe(10);
  expect(offsetsOf(live, { kind: "match", field: "path5", text: "word5" })).toEqual([5]);
  expect(offsetsOf(live, { kind: "match", field: "path50", text: "word50" })).toEqual([]);
  expect(offsetsOf(live, value("word50"))).toEqual([50]);
});

test("live index: a pack cut anywhere, or noise, is an error", () => {
  const pack = packOf([{ key: "k", value: "v", headers: [["h", "w"]] }]);
  for (let length = 1; length < pack.length; length += 1) {
    using live = new LiveIndex();
    expect(() => live.add(pack.subarray(0, length))).toThrow(NativeError);
  }
  using live = new LiveIndex();
  expect(() => live.add(new Uint8Array(100).fill(0xff))).toThrow(NativeError);
  expect(live.add(new Uint8Array(0))).toBe(0);
});

test("live index: options, numbers and closed indexes are checked", () => {
  expect(() => new LiveIndex({ writerMemoryBytes: 1 })).toThrow("memory");
  const live = new LiveIndex();
  expect(openIndexNumbers()).toContain(live.number);
  live.close();
  expect(openIndexNumbers()).not.toContain(live.number);
  expect(() => live.commit()).toThrow("not open");
  expect(() => live.add(new Uint8Array(0))).toThrow("not open");
  expect(() => live.close()).toThrow("not open");
  expect(() => searchIndexes([live.number], { query: { kind: "all" }, size: 1 })).toThrow(
    "not open",
  );
  expect(() => searchIndexes([0], { query: { kind: "all" }, size: 1 })).toThrow("not open");
});

test("freeze: a directory holds what the index held, and opens again", async () => {
  const path = join(directory, "whole");
  const frozenStats = freezeIndexes([index.number], path);
  expect(frozenStats.documentCount).toBe(RECORDS.length);
  expect(frozenStats.sizeBytes).toBeGreaterThan(0);
  using frozen = new FrozenIndex(path, { isVerified: true });
  expect(frozen.stats()).toEqual({ documentCount: RECORDS.length, segmentCount: 1, live: null });
  for (const query of QUERIES) {
    const request = { query, size: 100, sort: [{ by: "offset", order: "asc" } as const] };
    expect(searchIndexes([frozen.number], request)).toEqual(searchIndexes([index.number], request));
  }
  expect(() => freezeIndexes([index.number], path)).toThrow("exists already");
  expect((await readdir(directory)).filter((name) => name.endsWith(".partial"))).toEqual([]);
});

test("freeze: a filter drops records, several indexes become one", () => {
  using more = indexOf([{ value: "quick" }, { value: "slow" }], "more");
  const path = join(directory, "filtered");
  const filter = { excludedTopicIds: ["id-of-orders"] };
  expect(freezeIndexes([index.number, more.number], path, filter).documentCount).toBe(2);
  using frozen = new FrozenIndex(path);
  const { hits } = searchIndexes([frozen.number], { query: value("quick"), size: 9 });
  expect(hits.map((hit) => hit.topic)).toEqual(["more"]);
  const all = { excludedTopicIds: ["id-of-orders", "id-of-more"] };
  expect(() => freezeIndexes([index.number], join(directory, "none"), all)).toThrow("nothing");
});

test("freeze: what an earlier run left half done is replaced", async () => {
  const path = join(directory, "again");
  await Bun.write(join(`${path}.partial`, "meta.json"), "half");
  expect(freezeIndexes([index.number], path).documentCount).toBe(RECORDS.length);
  using frozen = new FrozenIndex(path, { isVerified: true });
  expect(frozen.stats().documentCount).toBe(RECORDS.length);
});

test("frozen index: damage, foreign and missing directories are errors", async () => {
  expect(() => new FrozenIndex(join(directory, "missing"))).toThrow(NativeError);
  const foreign = join(directory, "foreign");
  await Bun.write(join(foreign, "meta.json"), "{}");
  expect(() => new FrozenIndex(foreign)).toThrow("unusable");
  const path = join(directory, "damaged");
  freezeIndexes([index.number], path);
  const files = (await readdir(path)).filter((name) => !name.endsWith(".json"));
  for (const name of files) {
    const bytes = await Bun.file(join(path, name)).bytes();
    if (bytes.length < 60) continue;
    const flipped = bytes.slice();
    flipped[0] = (flipped[0] ?? 0) ^ 0xff;
    await writeFile(join(path, name), flipped);
    expect(() => new FrozenIndex(path, { isVerified: true })).toThrow(NativeError);
    await writeFile(join(path, name), bytes.subarray(0, bytes.length >> 1));
    expect(() => new FrozenIndex(path, { isVerified: true })).toThrow(NativeError);
    await writeFile(join(path, name), bytes);
  }
  new FrozenIndex(path, { isVerified: true }).close();
});

test("record pack: grows, counts and starts again", () => {
  const pack = new RecordPack(64);
  const batch = { topicId: "t", topic: "t", partition: 0, recordCount: 1 };
  const times = { baseOffset: 0, baseTimestampMs: 0 };
  for (let i = 1; i <= 10; i += 1) {
    pack.add({ ...batch, ...times }, new Uint8Array(100));
    expect(pack.recordCount).toBe(i);
  }
  expect(pack.bytes().length).toBe(pack.sizeBytes);
  pack.reset();
  expect(pack.bytes().length).toBe(0);
});
