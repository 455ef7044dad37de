/** Records through the WAL, the index and back: what is a hit, and how it looks. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { FIRST_TIMESTAMP_MS, SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(30_000);

let broker: SearchFixture;

beforeAll(async () => {
  broker = await SearchFixture.open();
  await broker.produce("orders", [
    { key: "k-0", value: "Lost order number 17", headers: { trace: "abc-1", empty: null } },
    { key: "k-1", value: '{"user":{"id":42,"name":"Ann Lee"},"status":"PAID","ok":true}' },
    { key: null, value: "found order" },
  ]);
  await broker.produce(
    "orders",
    [{ key: "other", value: "lost and found", headers: { trace: "xyz" } }],
    { partition: 1 },
  );
  for (const compression of ["gzip", "snappy", "lz4", "zstd"] as const) {
    await broker.produce("packed", [{ value: `squeezed by ${compression}` }], { compression });
  }
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

test.each([
  [{ match_all: {} }, "orders/0/0 orders/1/0 orders/0/1 orders/0/2"],
  [{ match: { _value: "LOST" } }, "orders/0/0 orders/1/0"],
  [{ match: { _value: { query: "lost found", operator: "and" } } }, "orders/1/0"],
  [{ match_phrase: { _value: "order number" } }, "orders/0/0"],
  [{ match_phrase: { _value: "number order" } }, ""],
  [{ term: { _key: "k-1" } }, "orders/0/1"],
  [{ term: { _key: "k" } }, ""],
  [{ match: { _key: "k" } }, "orders/0/0 orders/0/1"],
  [{ terms: { _offset: [1, 2] } }, "orders/0/1 orders/0/2"],
  [{ match: { _headers: "abc" } }, "orders/0/0"],
  [{ match: { _headers: "trace" } }, "orders/0/0 orders/1/0"],
  [{ range: { "user.id": { gte: 40, lt: 43 } } }, "orders/0/1"],
  // Bounds of two types: a fraction and a whole number, and one that no whole number reaches.
  [{ range: { "user.id": { gte: 41.5, lt: 43 } } }, "orders/0/1"],
  [{ range: { "user.id": { gt: 41, lt: 1e300 } } }, "orders/0/1"],
  [{ term: { "user.id": 42 } }, "orders/0/1"],
  [{ term: { ok: true } }, "orders/0/1"],
  [{ match: { "user.name": "ann" } }, "orders/0/1"],
  [{ term: { "status.keyword": "PAID" } }, "orders/0/1"],
  [{ exists: { field: "user.name" } }, "orders/0/1"],
  [{ exists: { field: "_key" } }, "orders/0/0 orders/1/0 orders/0/1"],
  [{ prefix: { _key: "k-" } }, "orders/0/0 orders/0/1"],
  [{ wildcard: { _key: "*the?" } }, "orders/1/0"],
  [{ term: { _partition: 1 } }, "orders/1/0"],
  [{ term: { _topic: "orders" } }, "orders/0/0 orders/1/0 orders/0/1 orders/0/2"],
  [
    { range: { _timestamp: { gt: FIRST_TIMESTAMP_MS, lte: "2026-01-01T00:00:00.001Z" } } },
    "orders/0/1",
  ],
  [
    { bool: { must: { match: { _value: "order" } }, must_not: { term: { _key: "k-0" } } } },
    "orders/0/2",
  ],
  [{ bool: { must_not: { match: { _value: "order" } } } }, "orders/1/0 orders/0/1"],
  [{ query_string: { query: "lost AND NOT found" } }, "orders/0/0"],
  [{ query_string: { query: "k-1 OR abc-1" } }, "orders/0/0 orders/0/1"],
  [{ query_string: { query: "_key:k* AND user.id:[40 TO *]" } }, "orders/0/1"],
  [{ query_string: { query: "status:paid" } }, "orders/0/1"],
  [{ query_string: { query: "-lost" } }, "orders/0/1 orders/0/2"],
] as [object, string][])("search: %j", async (query, expected) => {
  const ids = await broker.idsOf(query, { topics: "orders" });
  expect(ids.join(" ")).toBe(expected);
});

test("search: every codec is read, and every batch shown", async () => {
  const answer = await broker.search(undefined, {
    topics: "packed",
    parameters: "q=squeezed&sort=_offset&refresh=true",
  });
  expect(answer.hits.hits.map((hit) => hit._source?.["value"])).toEqual([
    "squeezed by gzip",
    "squeezed by snappy",
    "squeezed by lz4",
    "squeezed by zstd",
  ]);
});

test("search: an answer has Elasticsearch's shape", async () => {
  const body = { query: { match: { _value: "number" } } };
  const answer = await broker.search(body, { topics: "orders" });
  const score = answer.hits.max_score;
  expect(score).toBeGreaterThan(0);
  expect(answer).toEqual({
    status: 200,
    took: expect.any(Number),
    timed_out: false,
    _shards: { total: 1, successful: 1, skipped: 0, failed: 0 },
    hits: {
      total: { value: 1, relation: "eq" },
      max_score: score,
      hits: [
        {
          _index: "orders",
          _id: "orders/0/0",
          _score: score,
          _source: {
            topic: "orders",
            partition: 0,
            offset: 0,
            timestamp: FIRST_TIMESTAMP_MS,
            key: "k-0",
            value: "Lost order number 17",
            headers: [
              { key: "trace", value: "abc-1" },
              { key: "empty", value: null },
            ],
          },
        },
      ],
    },
  } as never);
});

test("search: sort, from, size and _source", async () => {
  const answer = await broker.search(
    { sort: [{ _timestamp: "desc" }, "_offset"], from: 1, size: 2, _source: ["key", "offset"] },
    { topics: "orders" },
  );
  expect(answer.hits.total).toEqual({ value: 4, relation: "eq" });
  expect(answer.hits.max_score).toBe(null);
  expect(answer.hits.hits).toEqual([
    {
      _index: "orders",
      _id: "orders/0/1",
      _score: null,
      _source: { offset: 1, key: "k-1" },
      sort: [FIRST_TIMESTAMP_MS + 1, 1, expect.stringMatching(/^[^/]+\/0\/1$/)],
    },
    {
      _index: "orders",
      _id: "orders/0/0",
      _score: null,
      _source: { offset: 0, key: "k-0" },
      sort: [FIRST_TIMESTAMP_MS, 0, expect.stringMatching(/^[^/]+\/0\/0$/)],
    },
  ]);
});

test("search: size 0 counts, _source false shows none, totals as asked for", async () => {
  const count = await broker.search({ size: 0 }, { topics: "orders" });
  expect(count.hits).toEqual({ total: { value: 4, relation: "eq" }, max_score: null, hits: [] });
  const bare = await broker.search({ _source: false, size: 1 }, { topics: "orders" });
  expect(Object.keys(bare.hits.hits[0] ?? {})).toEqual(["_index", "_id", "_score"]);
  const none = await broker.search({ track_total_hits: false, size: 0 }, { topics: "orders" });
  expect(none.hits).toEqual({ max_score: null, hits: [] });
  const capped = await broker.search({ track_total_hits: 3, size: 0 }, { topics: "orders" });
  expect(capped.hits.total).toEqual({ value: 3, relation: "gte" });
});

test.each([
  [undefined, 8],
  ["orders", 4],
  ["orders,packed", 8],
  ["p*", 4],
  ["_all,-packed", 4],
  ["*,-o*", 4],
  ["nothing*", 0],
])("search: the index position %s gives %i hits", async (topics, count) => {
  const answer = await broker.search({ size: 0 }, topics === undefined ? {} : { topics });
  expect(answer.hits.total?.value).toBe(count);
});

test("search: an unknown topic is 404, unless it may be missing", async () => {
  const answer = await broker.search(undefined, { topics: "orders,nope" });
  expect(answer).toMatchObject({ status: 404, error: { type: "index_not_found_exception" } });
  const parameters = "ignore_unavailable=true";
  const passed = await broker.search({ size: 0 }, { topics: "orders,nope", parameters });
  expect(passed.hits.total?.value).toBe(4);
});

test("search: what the index can't do is a 400 with its reason", async () => {
  const range = await broker.search({ query: { range: { _key: { gte: 5 } } } });
  expect(range.status).toBe(200);
  const aggs = await broker.search({ aggs: { a: { matrix_stats: { field: "x" } } } });
  expect(aggs).toMatchObject({
    status: 400,
    error: { reason: "Unknown aggregation type [matrix_stats]" },
  });
  const mixed = await broker.search({ query: { term: { _offset: -1 } } });
  expect([200, 400]).toContain(mixed.status);
});

test("search: bytes that are not UTF-8 are shown as text and exactly", async () => {
  const value = Uint8Array.of(0x62, 0x69, 0x6e, 0x20, 0xff, 0xfe);
  await broker.produce("binary", [{ key: "\ufffd", value }]);
  const answer = await broker.search({ query: { match: { _value: "bin" } } }, { topics: "binary" });
  expect(answer.hits.hits[0]?._source).toMatchObject({
    key: "\ufffd",
    value: "bin \ufffd\ufffd",
    value_base64: Buffer.from(value).toString("base64"),
  });
  expect(answer.hits.hits[0]?._source).not.toHaveProperty("key_base64");
});

test("search: short words, common words and syntax in text are words like others", async () => {
  const values = ["a", "the", "to be or not to be", "C++ (draft) [x]: 50% & more!", "être à 東京"];
  await broker.produce(
    "words",
    values.map((value) => ({ value })),
  );
  const found = async (query: object) => await broker.idsOf(query, { topics: "words" });
  expect(await found({ match: { _value: "a" } })).toEqual(["words/0/0"]);
  expect(await found({ match: { _value: "the" } })).toEqual(["words/0/1"]);
  expect(await found({ match_phrase: { _value: "not to be" } })).toEqual(["words/0/2"]);
  expect(await found({ match: { _value: "(draft) AND [50%]!" } })).toEqual(["words/0/3"]);
  expect(await found({ match: { _value: "京" } })).toEqual(["words/0/4"]);
  expect(await found({ match: { _value: "?!" } })).toEqual([]);
  const both = { bool: { must: [{ match: { _value: "to" } }, { match: { _value: "a" } }] } };
  expect(await found(both)).toEqual([]);
});

test("search: highlights stand beside the source, and say what was found", async () => {
  const answer = await broker.search(
    {
      query: { bool: { must: { match: { _value: "lost" } }, filter: { prefix: { _key: "k" } } } },
      highlight: { fields: { "*": {} } },
      _source: "offset",
    },
    { topics: "orders" },
  );
  expect(answer.hits.hits).toMatchObject([
    {
      _id: "orders/0/0",
      _source: { offset: 0 },
      highlight: { value: ["<em>Lost</em> order number 17"], key: ["<em>k-0</em>"] },
    },
  ]);
});

test("search: pages by search_after neither skip nor repeat what is sorted equally", async () => {
  await broker.produce(
    "equals",
    Array.from({ length: 25 }, () => ({ value: "same", timestampMs: FIRST_TIMESTAMP_MS })),
  );
  const seen: string[] = [];
  let after: readonly unknown[] | undefined;
  for (let page = 0; page < 4; page += 1) {
    const body = { size: 7, sort: { _timestamp: "desc" }, _source: false, search_after: after };
    const { hits } = (await broker.search(body, { topics: "equals" })).hits;
    seen.push(...hits.map(({ _id }) => _id));
    after = hits.at(-1)?.sort;
  }
  expect(seen).toEqual(Array.from({ length: 25 }, (_, offset) => `equals/0/${offset}`));
});

test("search: control batches are no hits", async () => {
  await broker.produce("control", [{ key: "\0\0\0\u0001", value: "marker" }], {
    isControl: true,
    isTransactional: true,
    producerId: 1,
    producerEpoch: 0,
  });
  await broker.produce("control", [{ value: "record" }]);
  expect(await broker.idsOf({ match_all: {} }, { topics: "control" })).toEqual(["control/0/1"]);
});

test("search: LogAppendTime counts where the batch says so", async () => {
  const maxTimestampMs = FIRST_TIMESTAMP_MS + 60_000;
  await broker.produce("appended", [{ value: "a" }], {
    timestampType: "LogAppendTime",
    maxTimestampMs,
  });
  const query = { range: { _timestamp: { gte: maxTimestampMs } } };
  const answer = await broker.search({ query }, { topics: "appended" });
  expect(answer.hits.hits[0]?._source?.["timestamp"]).toBe(maxTimestampMs);
});

test("search: a deleted topic's records vanish at once, also from searches over all", async () => {
  await broker.produce("doomed", [{ value: "ephemeral words" }]);
  const query = { match: { _value: "ephemeral" } };
  expect(await broker.idsOf(query)).toEqual(["doomed/0/0"]);
  broker.deleteTopic("doomed");
  expect(await broker.idsOf(query)).toEqual([]);
  expect((await broker.search(undefined, { topics: "doomed" })).status).toBe(404);
  // A new topic of the same name starts empty.
  await broker.produce("doomed", [{ value: "fresh words" }]);
  expect(await broker.idsOf(query)).toEqual([]);
  expect(await broker.idsOf({ match: { _value: "words" } })).toEqual(["doomed/0/0"]);
});

test("search: deleted records are no hits from then on, and the total is exact", async () => {
  const records = Array.from({ length: 6 }, (_, index) => ({ value: `shortened ${index}` }));
  for (const partition of [0, 1]) await broker.produce("cut", records, { partition });
  await broker.produce("uncut", records);
  const query = { match: { _value: "shortened" } };
  expect((await broker.search({ query, size: 1 })).hits.total?.value).toBe(18);
  broker.deleteRecords("cut", { 0: 4, 1: 6 });
  expect(await broker.idsOf(query, { topics: "cut" })).toEqual(["cut/0/4", "cut/0/5"]);
  expect((await broker.search({ query, size: 1 })).hits.total?.value).toBe(8);
  expect((await broker.search({ query, size: 0 }, { topics: "cut" })).hits.total?.value).toBe(2);
});

test("search: a batch that can't be read is left out, and nothing else", async () => {
  const topicId = broker.createTopic("partly");
  const { batchOf, encodeBatch } = await import("../../src/protocol/canonical-record.ts");
  const record = {
    offset: 0,
    timestampMs: 1,
    key: null,
    value: new TextEncoder().encode("spoilt"),
    headers: [],
    attributes: 0,
  };
  const bytes = encodeBatch(batchOf([record]));
  bytes[bytes.length - 1] = 1; // One header is announced, none is there.
  const { writeCrc } = await import("../../src/protocol/record-batch.ts");
  writeCrc(bytes, 0, bytes.length);
  await broker.append(topicId, { bytes, baseOffset: 0, partition: 7 });
  await broker.produce("partly", [{ value: "sound" }]);
  expect(await broker.idsOf({ match_all: {} }, { topics: "partly" })).toEqual(["partly/0/0"]);
});

const seed = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
test(`search: any query on any field is answered with 200 or 400 (SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const pick = <Value>(values: readonly Value[]): Value =>
    values[Math.floor(random() * values.length)] as Value;
  const fields = ["_topic", "_partition", "_offset", "_timestamp", "_key", "_value", "_headers"];
  fields.push(
    "_all",
    "_index",
    "user.id",
    "user.name",
    "user",
    "ok",
    "a.b.keyword",
    ".",
    "x y",
    "é",
  );
  const values: readonly unknown[] = [
    ...[
      "",
      " ",
      "lost",
      "LOST order",
      "k-1",
      "*",
      "a*b",
      "?",
      "\\",
      "\ud800",
      "\0",
      "日本語",
      "now",
    ],
    ...["2026-01-01", "2026-01-01T00:00:00Z", "5", "-5", "1e400", "x".repeat(300), "!!!", "true"],
    ...[0, 1, -1, 42, 1.5, 1e18, -1e18, 1e300, true, false],
  ];
  const leaf = (): object => {
    const [field, value, other] = [pick(fields), pick(values), pick(values)];
    return pick([
      { match: { [field]: value } },
      { match: { [field]: { query: value, operator: "and", minimum_should_match: "50%" } } },
      { match_phrase: { [field]: { query: value, slop: 1 } } },
      { match_phrase_prefix: { [field]: value } },
      { term: { [field]: value } },
      { terms: { [field]: [value, other] } },
      { range: { [field]: { gte: value, lt: other } } },
      { range: { [field]: { gt: value } } },
      { prefix: { [field]: String(value) } },
      { wildcard: { [field]: { value: String(value), case_insensitive: true } } },
      { exists: { field } },
      { query_string: { query: `${field}:"${value}" OR ${value}` } },
    ]);
  };
  const statuses = new Map<number, number>();
  for (let round = 0; round < 400; round += 1) {
    const query = pick([
      leaf,
      () => ({ bool: { must: [leaf()], should: [leaf(), leaf()], must_not: leaf(), boost: 2 } }),
      () => ({ bool: { should: [leaf(), leaf()], minimum_should_match: pick([0, 1, -1, 5]) } }),
      () => ({ constant_score: { filter: leaf(), boost: 3 } }),
      () => ({ dis_max: { queries: [leaf(), leaf()], tie_breaker: 0.3 } }),
    ])();
    const answer = await broker.search({ query }, { parameters: "" });
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    if (answer.status !== 200 && answer.status !== 400) {
      throw new Error(`SEED=${seed}: ${JSON.stringify(query)} gives ${JSON.stringify(answer)}`);
    }
  }
  expect(statuses.get(200)).toBeGreaterThan(100);
});
