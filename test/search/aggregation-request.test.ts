/** Aggregations that a client gets wrong, and those that are too much. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { LiveIndex, searchIndexes } from "../../src/core/native.ts";
import { aggregationsOf } from "../../src/search/aggregation-request.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { indexOf, packOf } from "../core/packed-records.ts";
import { FIRST_TIMESTAMP_MS, SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(60_000);

const CONTEXT = { nowMs: 0, bucketsMax: 100 };
const terms = (more: object) => ({ a: { terms: { field: "x", ...more } } });
const days = (more: object) => ({
  a: { date_histogram: { field: "x", fixed_interval: "1d", ...more } },
});

test.each([
  [{ a: {} }, "Missing definition"],
  [{ a: { terms: { field: "x" }, avg: { field: "x" } } }, "two aggregation type definitions"],
  [{ a: { nope: {} } }, "Unknown aggregation type [nope]"],
  [{ a: { constructor: {} } }, "Unknown aggregation type [constructor]"],
  [{ "a>b": { avg: { field: "x" } } }, "Invalid aggregation name"],
  [{ a: { avg: { field: "x" }, aggs: { b: { avg: { field: "y" } } } } }, "cannot accept sub"],
  [{ a: { terms: { field: "x" }, aggs: {}, aggregations: {} } }, "two sub aggregation definitions"],
  [terms({ scripts: 1 }), "does not support [scripts]"],
  [terms({ size: 0 }), "between 1 and 100"],
  [terms({ size: 101 }), "between 1 and 100"],
  [terms({ min_doc_count: 0 }), "values without records"],
  [terms({ order: { b: "asc" } }), "there is no such sub-aggregation"],
  [terms({ order: { _count: "up" } }), "Unknown order direction"],
  [terms({ order: [{ _count: "asc" }, { _key: "desc" }] }), "one criterion"],
  [terms({ include: { partition: 1 } }), "a pattern or some strings"],
  [terms({ missing: {} }), "found an object"],
  [{ a: { terms: {} } }, "needs a [field]"],
  [{ a: { terms: { field: "_value" } } }, "there is no column"],
  [{ a: { terms: { field: "_headers" } } }, "there is no column"],
  [{ a: { terms: { field: "_id" } } }, "not searchable"],
  [{ a: { terms: { field: "_key", order: { _key: "asc" } } } }, "no order by [_key]"],
  [{ a: { terms: { field: "_key", include: "a.*" } } }, "does not support [include]"],
  [{ a: { terms: { field: "_partition", include: "1" } } }, "only possible on strings"],
  [{ a: { avg: { field: "_topic" } } }, "[keyword] is not supported for aggregation [avg]"],
  [{ a: { avg: { field: "_key" } } }, "there is no column"],
  [{ a: { avg: { field: "_offset", missing: 1 } } }, "no record misses"],
  [{ a: { percentiles: { field: "_timestamp" } } }, "not possible on dates"],
  [{ a: { percentiles: { field: "x", percents: [101] } } }, "[0,100]"],
  [{ a: { cardinality: { field: "x", precision_threshold: 1 } } }, "[precision_threshold]"],
  [{ a: { histogram: { field: "x", interval: 0 } } }, "must be > 0"],
  [{ a: { histogram: { field: "x", interval: 1, hard_bounds: { min: 2, max: 1 } } } }, "greater"],
  [days({ calendar_interval: "month" }), "one of [fixed_interval]"],
  [{ a: { date_histogram: { field: "x", fixed_interval: "1M" } } }, "parse fixed_interval [1M]"],
  [{ a: { date_histogram: { field: "x", calendar_interval: "2d" } } }, "calendar interval"],
  [{ a: { date_histogram: { field: "x", interval: "day" } } }, "does not support [interval]"],
  [days({ time_zone: "Europe/Berlin" }), "not [Europe/Berlin]"],
  [days({ format: "w" }), "does not support format [w]"],
  [days({ offset: "x" }), "parse offset [x]"],
  [{ a: { range: { field: "x" } } }, "needs an array"],
  [{ a: { range: { field: "x", ranges: [{ from: "a" }] } } }, "expects a number"],
  [{ a: { range: { field: "_key", ranges: [{ from: 1 }] } } }, "there is no column"],
  [{ a: { date_range: { field: "x", ranges: [{ from: "soon" }] } } }, "failed to parse date"],
  [{ a: { filter: { nope: {} } } }, "unknown query [nope]"],
  [{ a: { filters: { filters: {} } } }, "at least one filter"],
  [{ a: { top_hits: { size: 101 } } }, "[100] but was [101]"],
  [{ a: { top_hits: { sort: "_score" } } }, "no score"],
  [{ a: { top_hits: { sort: "_topic" } } }, "numbers and dates"],
  [{ a: { top_hits: { highlight: {} } } }, "does not support [highlight]"],
])("aggregation: %j is refused", (json, reason) => {
  expect(() => aggregationsOf(json, CONTEXT)).toThrow(reason);
  expect(() => aggregationsOf(json, CONTEXT)).toThrow(SearchError);
});

test("aggregation: depth and number are bounded", () => {
  let deep: object = { a: { avg: { field: "x" } } };
  for (let depth = 0; depth < 9; depth += 1) deep = { a: { terms: { field: "x" }, aggs: deep } };
  expect(() => aggregationsOf(deep, CONTEXT)).toThrow("nested deeper than 8");
  const ranges = Array.from({ length: 300 }, (_, from) => ({ from }));
  expect(() => aggregationsOf({ a: { range: { field: "x", ranges } } }, CONTEXT)).toThrow("256");
});

test("aggregation: what a request may take is bounded, and the search ends", () => {
  const records = Array.from({ length: 20_000 }, (_, id) => ({ value: `{"id":"id-${id}"}` }));
  using index = indexOf(records);
  const aggregations = aggregationsOf(
    { a: { terms: { field: "id" }, aggs: { b: { percentiles: { field: "_offset" } } } } },
    CONTEXT,
  ).request;
  const request = { query: { kind: "all" } as const, size: 0, aggregations };
  expect(searchIndexes([index.number], request).total).toBe(20_000);
  const little = { ...request, aggregationBytesMax: 1_000_000 };
  expect(() => searchIndexes([index.number], little)).toThrow("need more than 1000000 bytes");
  const hasty = { ...request, timeoutMs: 1 };
  expect(() => {
    for (;;) searchIndexes([index.number], hasty);
  }).toThrow("longer than 1 ms");
});

test("aggregation: integers that no number holds are shown exactly", () => {
  using index = indexOf([{ value: '{"id":1234567890123456789}' }]);
  const { request } = aggregationsOf({ a: { terms: { field: "id" } } }, CONTEXT);
  const found = searchIndexes([index.number], {
    query: { kind: "all" },
    size: 0,
    aggregations: request,
  });
  expect(JSON.stringify(found.aggregations)).toContain('"key":1234567890123456789,');
});

let broker: SearchFixture;
beforeAll(async () => {
  broker = await SearchFixture.open({ liveIndexBytesMax: 400_000 });
});
afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

test("aggregation: over frozen generations and the live index, before and after a restart", async () => {
  const COUNT = 6_000;
  for (let batch = 0; batch < COUNT / 250; batch += 1) {
    const records = Array.from({ length: 250 }, (_, index) => {
      const id = batch * 250 + index;
      const words = Array.from({ length: 12 }, (_word, word) => `w${(id * 31 + word * 7) % 5_003}`);
      return {
        key: `k-${id % 10}`,
        value: JSON.stringify({ id, group: `g-${id % 3}`, text: words.join(" ") }),
        timestampMs: FIRST_TIMESTAMP_MS + id,
      };
    });
    await broker.produce(batch % 2 === 0 ? "even" : "odd", records, { partition: batch % 3 });
  }
  const expectWhole = async () => {
    const answer = await broker.search({
      size: 0,
      aggs: {
        topics: { terms: { field: "_topic" }, aggs: { ids: { stats: { field: "id" } } } },
        groups: {
          terms: { field: "group", order: { _key: "asc" } },
          aggs: { newest: { top_hits: { size: 2, _source: ["offset", "key"] } } },
        },
        hours: { date_histogram: { field: "_timestamp", fixed_interval: "1s" } },
        ids: { cardinality: { field: "_key" } },
      },
    });
    expect(answer.error).toBeUndefined();
    const found = answer as unknown as { aggregations: Record<string, { buckets: never[] }> };
    expect(found.aggregations["topics"]?.buckets).toMatchObject([
      { key: "even", doc_count: COUNT / 2, ids: { count: COUNT / 2, min: 0 } },
      { key: "odd", doc_count: COUNT / 2, ids: { max: COUNT - 1, min: 250 } },
    ]);
    expect(found.aggregations["hours"]?.buckets).toMatchObject(
      Array.from({ length: 6 }, () => ({ doc_count: 1_000 })),
    );
    expect(found.aggregations["ids"]).toEqual({ value: 10 } as never);
    expect(found.aggregations["groups"]?.buckets).toMatchObject(
      [0, 1, 2].map((group) => ({
        key: `g-${group}`,
        doc_count: COUNT / 3,
        newest: {
          hits: {
            total: { value: COUNT / 3 },
            hits: [5_997, 5_994].map((id) => ({
              _source: { key: `k-${(id + group) % 10}` },
              sort: [FIRST_TIMESTAMP_MS + id + group],
            })),
          },
        },
      })),
    );
  };
  await broker.whenLogged("search_index_frozen", 2);
  await expectWhole();
  await broker.restart();
  await expectWhole();
});

test("aggregation: errors come as Elasticsearch has them", async () => {
  const buckets = await broker.search({
    size: 0,
    aggs: { a: { histogram: { field: "id", interval: 0.1 } } },
  });
  expect(buckets).toMatchObject({
    status: 400,
    error: {
      type: "too_many_buckets_exception",
      reason: expect.stringContaining("less than or equal to: [10000] but was [599"),
    },
  });
  const type = await broker.search({ size: 0, aggs: { a: { avg: { field: "group" } } } });
  expect(type).toMatchObject({
    status: 400,
    error: { reason: "Field [group] of type [keyword] is not supported for aggregation [avg]" },
  });
  const extremes = { extended_bounds: { min: -1e300, max: 1e300 } };
  const wide = await broker.search({
    size: 0,
    aggs: { a: { histogram: { field: "id", interval: 1e-9, ...extremes } } },
  });
  expect(wide.status).toBe(400);
});

test("aggregation: values that are not text, are large or have many paths", async () => {
  await broker.produce("odd-values", [
    { key: Uint8Array.of(0xff, 0xfe), value: Uint8Array.of(0x7b, 0xff, 0x7d) },
    { key: "x".repeat(2_000), value: JSON.stringify({ big: "y".repeat(1_000_000), n: 1 }) },
    { key: null, value: null },
    { key: "k", value: `{"n":2,"m":"${"z ".repeat(100)}"}` },
  ]);
  for (let batch = 0; batch < 10; batch += 1) {
    const paths = (record: number) =>
      Array.from({ length: 1_000 }, (_, index) => [`p${batch}_${record}_${index}`, index]);
    const records = Array.from({ length: 10 }, (_, record) => ({
      value: JSON.stringify({ n: 3, ...Object.fromEntries(paths(record)) }),
    }));
    await broker.produce("odd-values", records);
  }
  const answer = await broker.search(
    {
      size: 0,
      aggs: {
        keys: { terms: { field: "_key" } },
        n: { terms: { field: "n" } },
        prose: { terms: { field: "m" } },
        path: { value_count: { field: "p0_0_5" } },
        late: { value_count: { field: "p9_9_999" } },
      },
    },
    { topics: "odd-values" },
  );
  expect(answer.error).toBeUndefined();
  expect(answer.hits.total?.value).toBe(104);
  const { aggregations } = answer as unknown as { aggregations: Record<string, unknown> };
  expect(aggregations).toMatchObject({
    // Keys of more than 1,024 bytes are not known as a whole.
    keys: { buckets: [{ key: "k" }, { key: "\ufffd\ufffd" }] },
    n: { buckets: [{ key: 3, doc_count: 100 }, { key: 1 }, { key: 2 }] },
    prose: { buckets: [{ key: "…", doc_count: 1 }] },
    path: { value: 1 },
    // Beyond the limit of paths.
    late: { value: 0 },
  });
});

test("aggregation: 100,000 distinct paths leave as many columns as there may be", () => {
  using index = new LiveIndex();
  for (let record = 0; record < 100; record += 1) {
    const paths = Array.from({ length: 1_000 }, (_, path) => [`p${record}_${path}`, path]);
    const value = JSON.stringify(Object.fromEntries(paths));
    index.add(packOf([{ value }], { baseOffset: record }));
  }
  index.commit();
  expect(index.stats().live?.jsonPathCount).toBe(1_000);
  const { request } = aggregationsOf({ a: { max: { field: "p0_999" } } }, CONTEXT);
  const found = searchIndexes([index.number], {
    query: { kind: "all" },
    size: 0,
    aggregations: request,
  });
  expect(found).toMatchObject({ total: 100, aggregations: { a0_0: { value: 999 } } });
});
