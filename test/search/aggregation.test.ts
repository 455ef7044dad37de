/** Aggregations against a naive computation over the same records, however these are spread over indexes. */

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import {
  dated,
  expectClose,
  floor,
  grouped,
  histogramOf,
  numbersOf,
  statsOf,
  termBuckets,
  valuesOf,
} from "./naive-aggregation.ts";
import { aggregated, diceOf, type RandomRecord, randomRecords, spread } from "./random-records.ts";

setDefaultTimeout(30_000);

const directory = await mkdtemp(join(tmpdir(), "chronik-aggregations-"));
afterAll(() => rm(directory, { recursive: true }));

const DAY_MS = 86_400_000;
const seed = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
const dice = diceOf(seededRandom(seed));
const records = randomRecords(dice, 600);
const whole = spread(dice, records, { count: 1 });
const parts = spread(dice, records, { count: 5, directory });
afterAll(() => {
  whole[Symbol.dispose]();
  parts[Symbol.dispose]();
});

const CASES: readonly [name: string, request: object, naive: (of: RandomRecord[]) => unknown][] = [
  ["terms over topics", { terms: { field: "_topic" } }, (of) => termBuckets(of, "_topic")],
  ["terms on _index", { terms: { field: "_index" } }, (of) => termBuckets(of, "_topic")],
  [
    "terms on partitions",
    { terms: { field: "_partition" } },
    (of) => termBuckets(of, "_partition"),
  ],
  [
    "terms on keys",
    { terms: { field: "_key", size: 4 } },
    (of) => termBuckets(of, "_key", { size: 4 }),
  ],
  [
    "terms on a path",
    { terms: { field: "user.name", size: 5 } },
    (of) => termBuckets(of, "user.name", { size: 5 }),
  ],
  [
    "terms on numbers",
    { terms: { field: "user.id", size: 100 } },
    (of) => termBuckets(of, "user.id", { size: 100 }),
  ],
  ["terms on arrays", { terms: { field: "tags" } }, (of) => termBuckets(of, "tags")],
  [
    "terms with sub-aggregations",
    {
      terms: { field: "_topic" },
      aggs: {
        users: {
          terms: { field: "user.id", size: 3 },
          aggs: { l: { stats: { field: "latency" } } },
        },
        price: { sum: { field: "price" } },
      },
    },
    (of) =>
      termBuckets(of, "_topic", {
        inner: (group) => ({
          users: termBuckets(group, "user.id", {
            size: 3,
            inner: (inner) => ({ l: statsOf(inner, "latency") }),
          }),
          price: { value: statsOf(group, "price").sum },
        }),
      }),
  ],
  ["stats", { stats: { field: "latency" } }, (of) => statsOf(of, "latency")],
  ["stats of offsets", { stats: { field: "_offset" } }, (of) => statsOf(of, "_offset")],
  ["avg of booleans", { avg: { field: "ok" } }, (of) => ({ value: statsOf(of, "ok").avg })],
  [
    "sum of values of any type",
    { sum: { field: "mixed" } },
    (of) => ({ value: statsOf(of, "mixed").sum }),
  ],
  [
    "value_count of values of any type",
    { value_count: { field: "mixed" } },
    (of) => ({ value: of.flatMap((record) => valuesOf(record, "mixed")).length }),
  ],
  [
    "avg with missing",
    { avg: { field: "latency", missing: 7 } },
    (of) => {
      const filled = of.flatMap((record) => {
        const numbers = numbersOf(record, "latency");
        return numbers.length === 0 ? [7] : numbers;
      });
      return { value: filled.reduce((sum, number) => sum + number, 0) / filled.length };
    },
  ],
  [
    "max of dates",
    { max: { field: "at" } },
    (of) => {
      const { max } = statsOf(of, "at");
      return { value: max, value_as_string: new Date(max ?? 0).toISOString() };
    },
  ],
  [
    "cardinality of values of any type",
    { cardinality: { field: "mixed" } },
    (of) => ({ value: new Set(of.flatMap((record) => valuesOf(record, "mixed"))).size }),
  ],
  [
    "cardinality of keys",
    { cardinality: { field: "_key" } },
    (of) => ({ value: new Set(of.flatMap((record) => valuesOf(record, "_key"))).size }),
  ],
  [
    "histogram",
    { histogram: { field: "latency", interval: 120, offset: 5 } },
    (of) => ({
      buckets: [
        ...histogramOf(
          of,
          (record) => numbersOf(record, "latency").map((value) => floor(120)(value - 5) + 5),
          (key) => key + 120,
        ),
      ].map(([key, group]) => ({ key, doc_count: group.length })),
    }),
  ],
  [
    "date_histogram of record times",
    {
      date_histogram: { field: "_timestamp", fixed_interval: "12h" },
      aggs: { partitions: { cardinality: { field: "_partition" } } },
    },
    (of) => ({
      buckets: [
        ...histogramOf(
          of,
          (record) => [floor(DAY_MS / 2)(record.timestampMs)],
          (key) => key + DAY_MS / 2,
        ),
      ].map(([key, group]) => ({
        ...dated(key),
        doc_count: group.length,
        partitions: { value: new Set(group.map(({ partition }) => partition)).size },
      })),
    }),
  ],
  [
    "date_histogram of dates in values, by months",
    { date_histogram: { field: "at", calendar_interval: "month" } },
    (of) => ({
      buckets: [
        ...histogramOf(
          of,
          (record) =>
            numbersOf(record, "at").map((ms) => {
              const date = new Date(ms);
              return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
            }),
          (key) => Date.UTC(new Date(key).getUTCFullYear(), new Date(key).getUTCMonth() + 1),
        ),
      ].map(([key, group]) => ({ ...dated(key), doc_count: group.length })),
    }),
  ],
  [
    "range, overlapping and with gaps",
    { range: { field: "price", ranges: [{ from: 20, to: 60 }, { to: 10 }, { from: 50 }] } },
    (of) => {
      const count = (from: number, to: number) =>
        of.filter((record) => numbersOf(record, "price").some((v) => v >= from && v < to)).length;
      return {
        buckets: [
          { key: "*-10.0", to: 10, doc_count: count(-Infinity, 10) },
          { key: "20.0-60.0", from: 20, to: 60, doc_count: count(20, 60) },
          { key: "50.0-*", from: 50, doc_count: count(50, Infinity) },
        ],
      };
    },
  ],
  [
    "filter and filters",
    {
      filters: {
        filters: { ok: { term: { ok: true } }, cheap: { range: { price: { lt: 10 } } } },
        other_bucket: true,
      },
      aggs: { m: { max: { field: "_offset" } } },
    },
    (of) => {
      const isOk = (record: RandomRecord) => record.json?.["ok"] === true;
      const isCheap = (record: RandomRecord) => Number(record.json?.["price"]) < 10;
      const bucket = (group: RandomRecord[]) => ({
        doc_count: group.length,
        m: { value: statsOf(group, "_offset").max },
      });
      return {
        buckets: {
          ok: bucket(of.filter(isOk)),
          cheap: bucket(of.filter(isCheap)),
          _other_: bucket(of.filter((record) => !isOk(record) && !isCheap(record))),
        },
      };
    },
  ],
  [
    "missing",
    { missing: { field: "latency" } },
    (of) => ({ doc_count: of.filter((r) => r.json?.["latency"] === undefined).length }),
  ],
];

test.each(CASES)(`aggregation: %s (SEED=${seed})`, (_name, request, naive) => {
  const expected = { it: naive(records) };
  expectClose(aggregated(whole, { it: request }), expected);
  expectClose(aggregated(parts, { it: request }), expected);
});

test("aggregation: the query decides over what", () => {
  const query = { kind: "term", field: "_topic", value: "orders" } as const;
  const of = records.filter(({ topic }) => topic === "orders");
  const request = { it: { terms: { field: "user.id" } } };
  expectClose(aggregated(parts, request, query), { it: termBuckets(of, "user.id") });
});

test("aggregation: terms on values of any type keep the types apart, not the indexes", () => {
  const request = { it: { terms: { field: "mixed", size: 100 } } };
  const counts = (shown: object) => {
    const { buckets } = (shown as { it: { buckets: { key: unknown; doc_count: number }[] } }).it;
    return new Map(buckets.map(({ key, doc_count }) => [key, doc_count]));
  };
  const expected = grouped(records, (record) =>
    valuesOf(record, "mixed").map((value) =>
      typeof value === "boolean"
        ? Number(value)
        : value === "2026-01-02T03:04:05.678Z"
          ? Date.parse(value)
          : value,
    ),
  );
  // 1 and true have one key, as they have in Elasticsearch, but a bucket each.
  expected.delete(1);
  for (const spreading of [whole, parts]) {
    const found = counts(aggregated(spreading, request));
    for (const [key, group] of expected) expect([key, found.get(key)]).toEqual([key, group.length]);
  }
});

test("aggregation: percentiles are within a percent", () => {
  const percents = [0, 10, 50, 90, 99.9, 100];
  const request = { it: { percentiles: { field: "latency", percents } } };
  const found = aggregated(parts, request) as { it: { values: Record<string, number> } };
  const numbers = records.flatMap((r) => numbersOf(r, "latency")).sort((a, b) => a - b);
  for (const percent of percents) {
    const exact = numbers[Math.floor((percent / 100) * (numbers.length - 1))] ?? NaN;
    const key = Number.isInteger(percent) ? percent.toFixed(1) : String(percent);
    const error = Math.abs((found.it.values[key] ?? NaN) - exact);
    expect(error).toBeLessThanOrEqual(0.011 * Math.abs(exact) + 1e-6);
  }
  expect(aggregated(whole, request)).toEqual(found as never);
});

test("aggregation: top_hits are the first of a bucket, in a total order", () => {
  for (const [sort, sign] of [
    [{ price: "desc" }, -1],
    [{ latency: "asc" }, 1],
  ] as const) {
    const field = Object.keys(sort)[0] ?? "";
    const request = {
      it: {
        terms: { field: "_topic" },
        aggs: { top: { top_hits: { size: 7, from: 1, sort: [sort], _source: false } } },
      },
    };
    const inner = (group: RandomRecord[]) => {
      const numberOf = (record: RandomRecord) => numbersOf(record, field)[0];
      const hits = [...group]
        .sort((left, right) => {
          const [one, other] = [numberOf(left), numberOf(right)];
          if (one !== other) {
            if (one === undefined) return 1;
            return other === undefined ? -1 : sign * (one - other);
          }
          return left.partition - right.partition || left.offset - right.offset;
        })
        .slice(1, 8)
        .map((record) => ({
          _index: record.topic,
          _id: `${record.topic}/${record.partition}/${record.offset}`,
          _score: null,
          sort: [numberOf(record) ?? null],
        }));
      const total = { value: group.length, relation: "eq" };
      return { top: { hits: { total, max_score: null, hits } } };
    };
    const expected = { it: termBuckets(records, "_topic", { inner }) };
    expectClose(aggregated(whole, request), expected);
    expectClose(aggregated(parts, request), expected);
  }
});

test("aggregation: terms are ordered by a value, by key or by count, in both directions", () => {
  const orders = [{ m: "asc" }, { "s.max": "desc" }, { _key: "desc" }, { _count: "asc" }];
  for (const order of orders) {
    const request = {
      it: {
        terms: { field: "user.id", size: 8, order },
        aggs: { m: { avg: { field: "latency" } }, s: { stats: { field: "price" } } },
      },
    };
    const [path = "", direction] = Object.entries(order)[0] ?? [];
    const sign = direction === "asc" ? 1 : -1;
    const measureOf = (group: RandomRecord[], key: unknown): number => {
      if (path === "_key") return Number(key);
      if (path === "_count") return group.length;
      const stats = path === "m" ? statsOf(group, "latency").avg : statsOf(group, "price").max;
      return stats ?? sign * Infinity;
    };
    const keys = [...grouped(records, (record) => valuesOf(record, "user.id"))]
      .sort(
        ([left, one], [right, other]) =>
          sign * (measureOf(one, left) - measureOf(other, right)) || Number(left) - Number(right),
      )
      .slice(0, 8)
      .map(([key]) => key);
    for (const spreading of [whole, parts]) {
      const found = aggregated(spreading, request) as { it: { buckets: { key: unknown }[] } };
      expect([order, found.it.buckets.map(({ key }) => key)]).toEqual([order, keys]);
    }
  }
});

test("aggregation: nothing to aggregate is shown as nothing", () => {
  const request = {
    terms: { terms: { field: "a" } },
    histogram: { histogram: { field: "a", interval: 1 } },
    stats: { stats: { field: "a" } },
    avg: { avg: { field: "a" } },
    sum: { sum: { field: "a" } },
    percentiles: { percentiles: { field: "a", percents: [50] } },
    cardinality: { cardinality: { field: "a" } },
    count: { value_count: { field: "a" } },
    filter: { filter: { match_all: {} }, aggs: { top: { top_hits: {} } } },
  };
  const expected = {
    terms: { doc_count_error_upper_bound: 0, sum_other_doc_count: 0, buckets: [] },
    histogram: { buckets: [] },
    stats: { count: 0, min: null, max: null, avg: null, sum: 0 },
    avg: { value: null },
    sum: { value: 0 },
    percentiles: { values: { "50.0": null } },
    cardinality: { value: 0 },
    count: { value: 0 },
    filter: {
      doc_count: 0,
      top: { hits: { total: { value: 0, relation: "eq" }, max_score: null, hits: [] } },
    },
  };
  expect(aggregated(whole, request, { kind: "none" })).toEqual(expected as never);
  expect(aggregated(parts, request, { kind: "none" })).toEqual(expected as never);
  using nothing = spread(dice, [], { count: 2 });
  expect(aggregated(nothing, request)).toEqual(expected as never);
});
