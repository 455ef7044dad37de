/** Segments in which no hit can be stay closed; what is found is the same. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { openIndexNumbers } from "../../src/core/native.ts";
import { archiveStats } from "../../src/core/native-segments.ts";
import { boundsOf } from "../../src/search/query-bounds.ts";
import { queryOf } from "../../src/search/query-dsl.ts";
import { FIRST_TIMESTAMP_MS, SearchFixture, type TestRecord } from "./search-fixture.ts";

setDefaultTimeout(60_000);

const MINUTE_MS = 60_000;
const time = (range: object) => ({ range: { _timestamp: range } });

test.each([
  ["a range", time({ gte: 10_000, lt: 20_000 }), { minMs: 10_000, maxMs: 20_000 }],
  ["fractions", time({ gt: 10_000.5, lte: 20_000.5 }), { minMs: 10_000, maxMs: 20_001 }],
  ["a point", { term: { _timestamp: 12_345 } }, { minMs: 12_345, maxMs: 12_345 }],
  ["times that no index can hold", time({ gte: 2 ** 53 - 1 }), { minMs: 9_223_372_036_854 }],
  ["a topic", { term: { _topic: "a" } }, { topics: ["a"] }],
  ["an index", { terms: { _index: ["a", "b"] } }, { topics: ["a", "b"] }],
  ["partitions", { terms: { _partition: [1, "2"] } }, { partitions: [1, 2] }],
  ["many partitions", { terms: { _partition: Array.from({ length: 1_001 }, (_, n) => n) } }, {}],
  ["other fields", { bool: { must: [{ term: { a: 1 } }, { range: { b: { gt: 1 } } }] } }, {}],
  [
    "must and filter",
    {
      bool: {
        must: [time({ gte: 10_000 }), { terms: { _topic: ["a", "b"] } }],
        filter: [
          { constant_score: { filter: time({ gte: 11_000, lte: 30_000 }) } },
          { bool: { must: { terms: { _topic: ["b", "c"] } } } },
        ],
      },
    },
    { minMs: 11_000, maxMs: 30_000, topics: ["b"] },
  ],
  ["should", { bool: { should: [time({ gte: 10_000 }), { term: { _topic: "a" } }] } }, {}],
  ["must_not", { bool: { must_not: [time({ gte: 10_000 }), { term: { _topic: "a" } }] } }, {}],
  ["dis_max", { dis_max: { queries: [time({ gte: 10_000 })] } }, {}],
])("query bounds: %s", (_name, query, bounds) => {
  expect(boundsOf(queryOf(query, { nowMs: 0 }))).toEqual(bounds);
});

const TOPICS = ["a", "b", "c"];
const ROUNDS = 6;
/** In no order, and some of them far from where they belong, or of no time at all. */
const ODD_TIMES = [-1, 0, 9_223_372_036_854, 2 ** 53 - 1];
let broker: SearchFixture;

function recordsOf(round: number, random: () => number): TestRecord[] {
  return Array.from({ length: 8 }, (_, index) => ({
    key: `k${Math.floor(random() * 5)}`,
    value: JSON.stringify({ round, index, word: random() < 0.5 ? "even" : "odd" }),
    timestampMs:
      random() < 0.03
        ? (ODD_TIMES[Math.floor(random() * ODD_TIMES.length)] ?? 0)
        : timeIn(round, random),
  }));
}

/** Rounds follow each other, and the first half of one overlaps with the one before. */
function timeIn(round: number, random: () => number): number {
  return FIRST_TIMESTAMP_MS + Math.floor((round + (random() < 0.1 ? -0.5 : random())) * MINUTE_MS);
}

beforeAll(async () => {
  const random = seededRandom(7);
  broker = await SearchFixture.open();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const topic of TOPICS.slice(0, 1 + (round % TOPICS.length))) {
      const partition = Math.floor(random() * 2);
      for (const timestampType of ["CreateTime", "LogAppendTime"] as const) {
        await broker.produce(topic, recordsOf(round, random), { partition, timestampType });
      }
    }
    (await broker.seal((topic) => topic === "b"))();
    await broker.search({ size: 0 });
  }
  const segmentCount = broker.segments.index.stats().segmentCount;
  await broker.whenLogged("segment_indexed", segmentCount);
  // In no segment yet.
  await broker.produce("a", recordsOf(ROUNDS, random));
});
afterAll(async () => await broker.stop());

test("pruning: the times of an index are those of its records, not those of batches", () => {
  const ranges = [...broker.segments.index.segments()].map((summary) => {
    const facts = broker.segments.index.segment(summary.segmentId);
    const times = facts?.searchIndex?.times ?? { minMs: 0, maxMs: 0 };
    return {
      times,
      batchMinMs: Math.min(...(facts?.ranges ?? []).map((one) => one.minTimestampMs)),
    };
  });
  expect(ranges.length).toBeGreaterThan(ROUNDS);
  for (const { times } of ranges) expect(times.maxMs).toBeGreaterThanOrEqual(times.minMs);
  expect(ranges.some(({ times, batchMinMs }) => times.minMs < batchMinMs)).toBe(true);
});

const seeds = Bun.env["SEED"] ? [Number(Bun.env["SEED"])] : [Date.now() % 1_000_000];
test.each(seeds)("pruning: the answer is that of all segments (SEED=%i)", async (seed) => {
  const random = seededRandom(seed);
  let prunedCount = 0;
  for (let run = 0; run < 150; run += 1) {
    const query = randomQuery(random, 3);
    const before = broker.searcher.segmentCounts;
    const pruned = await answerOf(query);
    const between = broker.searcher.segmentCounts;
    const whole = await answerOf({ bool: { should: [query] } });
    const after = broker.searcher.segmentCounts;
    expect({ query, answer: pruned }).toEqual({ query, answer: whole });
    expect(after.prunedTotal).toBe(between.prunedTotal);
    const looked = between.searchedTotal - before.searchedTotal;
    const left = between.prunedTotal - before.prunedTotal;
    expect(looked + left).toBe(after.searchedTotal - between.searchedTotal);
    prunedCount += left;
  }
  expect(prunedCount).toBeGreaterThan(0);
});

async function answerOf(query: object): Promise<object> {
  const aggs = {
    minutes: { date_histogram: { field: "_timestamp", fixed_interval: "1d" } },
    words: { terms: { field: "word" }, aggs: { rounds: { stats: { field: "round" } } } },
  };
  const answer = await broker.search({ query, size: 1_000, aggs });
  // How long it took and how many parts were skipped are not of the result.
  return { ...answer, took: 0, _shards: undefined };
}

/** A query with bounds, at any depth and in any kind of clause. */
function randomQuery(random: () => number, depth: number): object {
  const below = (count: number) => Math.floor(random() * count);
  const clauses = () => Array.from({ length: 1 + below(2) }, () => randomQuery(random, depth - 1));
  if (depth > 0 && random() < 0.6) {
    const names = ["must", "filter", "should", "must_not"].filter(() => random() < 0.4);
    return { bool: Object.fromEntries(names.map((name) => [name, clauses()])) };
  }
  const startMs = FIRST_TIMESTAMP_MS + below(ROUNDS * 2 * MINUTE_MS) - 3 * MINUTE_MS + random();
  const spanMs = below(3 * MINUTE_MS);
  const leaves: (() => object)[] = [
    () => time({ gte: startMs, lte: startMs + spanMs }),
    () => time({ gt: startMs }),
    () => time({ lt: random() < 0.2 ? -below(2) : startMs }),
    () => time({ gte: random() < 0.2 ? 2 ** 53 - 1 : startMs }),
    () => ({ constant_score: { filter: time({ lte: startMs }) } }),
    () => ({ term: { _topic: TOPICS[below(3)] ?? "a" } }),
    () => ({ terms: { _topic: ["b", "nowhere"] } }),
    () => ({ term: { _partition: below(3) } }),
    () => ({ match: { word: "odd" } }),
    () => ({ dis_max: { queries: clauses() } }),
  ];
  return (
    leaves[below(depth > 0 ? leaves.length : leaves.length - 1)] ?? (() => ({ match_all: {} }))
  )();
}

test("pruning: what is left out is neither opened nor read", async () => {
  await broker.restart();
  const openBefore = openIndexNumbers().length;
  const lastMs = FIRST_TIMESTAMP_MS + (ROUNDS - 1) * MINUTE_MS;
  const query = {
    bool: { filter: [time({ gt: lastMs + 1, lt: lastMs + 2 }), { term: { _topic: "b" } }] },
  };
  const segments = [...broker.segments.index.segments()];
  const possible = segments.filter(({ segmentId, searchIndex }) => {
    const times = searchIndex?.times;
    const topicIds = broker.segments.index.segment(segmentId)?.ranges.map(({ topicId }) => topicId);
    const isInTime = times && times.maxMs > lastMs && times.minMs < lastMs + 2;
    return isInTime && topicIds?.includes(broker.topicId("b"));
  });
  expect(possible.length).toBeLessThan(segments.length / 2);
  await broker.search(undefined, { topics: "none*" });
  const readBefore = archiveStats().bytesRead;
  const openedBefore = openIndexNumbers().length;
  await broker.search({ query, size: 0 });
  const readBytes = archiveStats().bytesRead - readBefore;
  expect(openIndexNumbers().length - openedBefore).toBe(possible.length);
  await broker.search({ query: { bool: { should: [query] } }, size: 0 });
  expect(openIndexNumbers().length - openedBefore).toBe(segments.length);
  const wholeBytes = archiveStats().bytesRead - readBefore;
  expect(openBefore).toBeLessThan(openedBefore + segments.length);
  expect(readBytes / wholeBytes).toBeLessThan((possible.length + 1) / segments.length);
});
