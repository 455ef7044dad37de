/** Queries of the Rust shim: what each kind finds on each kind of field, and what is refused. */
import { expect, test } from "bun:test";
import { NativeError, searchIndexes } from "../../src/core/native.ts";
import type { ShimQuery } from "../../src/core/shim-query.ts";
import { indexOf, offsetsOf, type TestRecord } from "./packed-records.ts";

const PROSE = "nine purple lorries went up a hill in heavy rain";
const RECORDS: readonly TestRecord[] = [
  { key: "order-1", value: "The quick brown fox", headers: [["trace-id", "abc 123"]] },
  { key: "order-2", value: "the lazy dog, the quick cat", timestampMs: 1_700_000_001_000 },
  { key: "Order-3", value: JSON.stringify({ user: { id: "u-17", age: 30 }, ok: true }) },
  { key: "item/4", value: JSON.stringify({ user: { id: "u-18", age: 30.5 }, ok: false }) },
  { key: null, value: JSON.stringify({ at: "2024-02-03T04:05:06.789Z", tags: ["a b", "C"] }) },
  { key: "", value: null, headers: [["empty", null]] },
  { key: "größe", value: "ÜBER 日本語 \u{1f600} 5" },
  { key: null, value: JSON.stringify({ text: `${PROSE}. The end` }) },
];
const index = indexOf(RECORDS);

const value = (kind: "match" | "match_phrase", text: string, more = {}): ShimQuery => ({
  kind,
  field: "_value",
  text,
  ...more,
});

const CASES: readonly (readonly [name: string, query: ShimQuery, offsets: number[]])[] = [
  ["all", { kind: "all" }, [0, 1, 2, 3, 4, 5, 6, 7]],
  ["none", { kind: "none" }, []],
  ["match any word", value("match", "FOX dog"), [0, 1]],
  ["match all words", value("match", "quick the lazy", { operator: "and" }), [1]],
  ["match two of three", value("match", "quick lazy fox", { minimumShouldMatch: 2 }), [0, 1]],
  ["match 100%", value("match", "quick lazy fox", { minimumShouldMatch: "100%" }), []],
  ["match no words", value("match", "-- !"), []],
  ["match CJK", value("match", "本"), [6]],
  ["match umlauts", value("match", "über"), [6]],
  ["match a header", { kind: "match", field: "_headers", text: "abc" }, [0]],
  ["match a header's name", { kind: "match", field: "_headers", text: "trace" }, [0]],
  ["match a word of the key", { kind: "match", field: "_key", text: "order" }, [0, 1, 2]],
  ["phrase", value("match_phrase", "quick brown"), [0]],
  ["phrase of one word", value("match_phrase", "quick"), [0, 1]],
  ["phrase reversed", value("match_phrase", "brown quick"), []],
  ["phrase with slop", value("match_phrase", "quick fox", { slop: 1 }), [0]],
  ["phrase with its last word begun", value("match_phrase", "the qu", { isPrefix: true }), [0, 1]],
  ["one word begun", value("match_phrase", "la", { isPrefix: true }), [1]],
  ["term is one word as indexed", { kind: "term", field: "_value", value: "fox" }, [0]],
  ["term is not analysed", { kind: "term", field: "_value", value: "Fox" }, []],
  ["term on the whole key", { kind: "term", field: "_key", value: "order-1" }, [0]],
  ["term on part of the key", { kind: "term", field: "_key", value: "order" }, []],
  ["term on the empty key", { kind: "term", field: "_key", value: "" }, [5]],
  ["terms on keys", { kind: "terms", field: "_key", values: ["order-2", "item/4", "x"] }, [1, 3]],
  [
    "term on the topic",
    { kind: "term", field: "_topic", value: "orders" },
    [0, 1, 2, 3, 4, 5, 6, 7],
  ],
  ["term on the partition", { kind: "term", field: "_partition", value: 1 }, []],
  ["term on the offset", { kind: "term", field: "_offset", value: 3 }, [3]],
  ["term on the offset as text", { kind: "term", field: "_offset", value: "3" }, [3]],
  ["terms on offsets", { kind: "terms", field: "_offset", values: [0, 6, 1.5, -1] }, [0, 6]],
  ["term on the timestamp", { kind: "term", field: "_timestamp", value: 1_700_000_001_000 }, [1]],
  ["range on the offset", { kind: "range", field: "_offset", gt: 1, lte: 3 }, [2, 3]],
  ["range with fractions", { kind: "range", field: "_offset", gte: 0.5, lt: 2.5 }, [1, 2]],
  ["range below zero", { kind: "range", field: "_offset", lt: 0 }, []],
  ["range on time", { kind: "range", field: "_timestamp", gte: 1_700_000_001_000 }, [1]],
  ["range by ISO time", { kind: "range", field: "_timestamp", gt: "2023-11-14T22:13:20Z" }, [1]],
  ["range by day", { kind: "range", field: "_timestamp", gt: "2023-11-14" }, []],
  ["range on keys", { kind: "range", field: "_key", gte: "item", lt: "order-2" }, [0, 3]],
  ["JSON whole string", { kind: "term", field: "user.id", value: "u-17" }, [2]],
  ["JSON keyword", { kind: "term", field: "user.id.keyword", value: "u-17" }, [2]],
  ["JSON keyword is whole", { kind: "term", field: "user.id.keyword", value: "u" }, []],
  ["JSON word", { kind: "term", field: "user.id", value: "u" }, [2, 3]],
  ["JSON match", { kind: "match", field: "user.id", text: "U-18", operator: "and" }, [3]],
  ["JSON integer", { kind: "term", field: "user.age", value: 30 }, [2]],
  ["JSON integer as float", { kind: "term", field: "user.age", value: 30.0 }, [2]],
  ["JSON number as text", { kind: "match", field: "user.age", text: "30.5" }, [3]],
  ["JSON boolean", { kind: "term", field: "ok", value: true }, [2]],
  ["JSON boolean as text", { kind: "match", field: "ok", text: "false" }, [3]],
  ["JSON terms", { kind: "terms", field: "user.age", values: [30, 30.5, "x"] }, [2, 3]],
  ["JSON range", { kind: "range", field: "user.age", gt: 30 }, [3]],
  ["JSON range of integers", { kind: "range", field: "user.age", gte: 30, lte: 30 }, [2]],
  ["JSON range of strings", { kind: "range", field: "user.id", gte: "u-18" }, [3]],
  ["JSON range of dates", { kind: "range", field: "at", gte: "2024-02", lt: "2024-03" }, [4]],
  ["JSON range of dates, missed", { kind: "range", field: "at", gt: "2024-02-03" }, []],
  ["JSON date", { kind: "term", field: "at", value: "2024-02-03T05:05:06.789+01:00" }, [4]],
  ["JSON date by day", { kind: "match", field: "at", text: "2024-02-03" }, [4]],
  ["JSON array's element", { kind: "term", field: "tags", value: "C" }, [4]],
  ["JSON phrase stays in an element", { kind: "match_phrase", field: "tags", text: "b c" }, []],
  ["JSON phrase", { kind: "match_phrase", field: "tags", text: "A b" }, [4]],
  ["JSON prose in a row", { kind: "term", field: "text.keyword", value: PROSE }, [7]],
  ["JSON prose by a word", { kind: "match", field: "text", text: "PURPLE" }, [7]],
  ["JSON prose exists", { kind: "exists", field: "text" }, [7]],
  ["JSON prefix of whole strings", { kind: "prefix", field: "user.id", value: "u-1" }, [2, 3]],
  ["JSON wildcard", { kind: "wildcard", field: "user.id", pattern: "?-*8" }, [3]],
  ["JSON exists", { kind: "exists", field: "user.age" }, [2, 3]],
  ["JSON exists above leaves", { kind: "exists", field: "user" }, [2, 3]],
  ["a path that no record has", { kind: "match", field: "no.such.path", text: "x" }, []],
  ["a path as far as it goes", { kind: "exists", field: "user.ag" }, []],
  ["exists: key", { kind: "exists", field: "_key" }, [0, 1, 2, 3, 5, 6]],
  ["exists: value", { kind: "exists", field: "_value" }, [0, 1, 2, 3, 4, 6, 7]],
  ["exists: headers", { kind: "exists", field: "_headers" }, [0, 5]],
  ["exists: offset", { kind: "exists", field: "_offset" }, [0, 1, 2, 3, 4, 5, 6, 7]],
  ["prefix on keys", { kind: "prefix", field: "_key", value: "order-" }, [0, 1]],
  [
    "prefix on keys, any case",
    { kind: "prefix", field: "_key", value: "order-", isCaseInsensitive: true },
    [0, 1, 2],
  ],
  ["prefix on words", { kind: "prefix", field: "_value", value: "QU" }, [0, 1]],
  ["wildcard on keys", { kind: "wildcard", field: "_key", pattern: "*r-?" }, [0, 1, 2]],
  ["wildcard ends where it ends", { kind: "wildcard", field: "_key", pattern: "order" }, []],
  ["wildcard on words", { kind: "wildcard", field: "_value", pattern: "b?own" }, [0]],
  ["wildcard on one character", { kind: "wildcard", field: "_key", pattern: "gr??e" }, [6]],
  ["wildcard on topics", { kind: "wildcard", field: "_topic", pattern: "none*" }, []],
  ["bool must", { kind: "bool", must: [value("match", "quick"), value("match", "dog")] }, [1]],
  ["bool should", { kind: "bool", should: [value("match", "fox"), value("match", "dog")] }, [0, 1]],
  ["bool must not alone", { kind: "bool", mustNot: [{ kind: "exists", field: "_value" }] }, [5]],
  ["bool of nothing", { kind: "bool" }, [0, 1, 2, 3, 4, 5, 6, 7]],
  [
    "bool filter makes should optional",
    { kind: "bool", filter: [value("match", "quick")], should: [value("match", "fox")] },
    [0, 1],
  ],
  [
    "bool with a minimum",
    {
      kind: "bool",
      filter: [value("match", "quick")],
      should: [value("match", "fox"), value("match", "cat")],
      minimumShouldMatch: 1,
    },
    [0, 1],
  ],
  ["bool with too high a minimum", { kind: "bool", should: [], minimumShouldMatch: 1 }, []],
  [
    "bool must and must not",
    { kind: "bool", must: [value("match", "quick")], mustNot: [value("match", "fox")] },
    [1],
  ],
  ["dis_max", { kind: "dis_max", queries: [value("match", "fox"), value("match", "dog")] }, [0, 1]],
  ["constant_score", { kind: "constant_score", query: value("match", "fox") }, [0]],
];

test.each(CASES)("search: %s", (_, query, offsets) => {
  expect(offsetsOf(index, query)).toEqual(offsets);
});

const FAULTS: readonly (readonly [reason: RegExp, query: unknown])[] = [
  [/order/, { kind: "range", field: "_value", gt: "a" }],
  [/no bound/, { kind: "range", field: "_offset" }],
  [/two bounds/, { kind: "range", field: "_offset", gt: 1, gte: 1 }],
  [/_offset is a number/, { kind: "range", field: "_offset", gt: "x" }],
  [/is a time/, { kind: "range", field: "_timestamp", gt: "x" }],
  [/_offset is a number/, { kind: "term", field: "_offset", value: "x" }],
  [/no prefix/, { kind: "prefix", field: "_offset", value: "1" }],
  [/255/, { kind: "wildcard", field: "_value", pattern: "x".repeat(300) }],
  [/minimumShouldMatch/, { kind: "match", field: "_value", text: "a b", minimumShouldMatch: "x" }],
  [/clauses/, { kind: "match", field: "_value", text: "a".repeat(10).concat(" ").repeat(20_000) }],
  [/clauses/, { kind: "terms", field: "_key", values: Array(20_000).fill("x") }],
  [/boost/, { kind: "all", boost: -1 }],
  [/not understood/, { kind: "term", field: "_key" }],
  [/not understood/, { kind: "regexp", field: "_key", value: "x" }],
  [/not understood/, { kind: "term", field: "_key", value: "x", surplus: 1 }],
];

test.each(FAULTS)("search: a fault is an error that says %p", (reason, query) => {
  const search = () => searchIndexes([index.number], { query: query as ShimQuery, size: 1 });
  expect(search).toThrow(NativeError);
  expect(search).toThrow(reason);
});

test("search: a query nested without end is an error", () => {
  let query: ShimQuery = { kind: "all" };
  for (let depth = 0; depth < 5_000; depth += 1) query = { kind: "bool", must: [query] };
  expect(() => searchIndexes([index.number], { query, size: 1 })).toThrow(NativeError);
});

test("search: a hit tells where its record is", () => {
  const query: ShimQuery = { kind: "term", field: "_key", value: "order-2" };
  const { hits } = searchIndexes([index.number], { query, size: 10 });
  expect(hits).toEqual([
    {
      topicId: "id-of-orders",
      topic: "orders",
      partition: 0,
      offset: 1,
      timestampMs: 1_700_000_001_000,
      score: expect.any(Number),
    },
  ]);
});

test("search: closer matches score higher, and boosts count", () => {
  const should = [value("match", "quick"), value("match", "fox", { boost: 5 })];
  const { hits } = searchIndexes([index.number], { query: { kind: "bool", should }, size: 2 });
  expect(hits.map((hit) => hit.offset)).toEqual([0, 1]);
  expect(hits[0]?.score).toBeGreaterThan(hits[1]?.score ?? 0);
});
