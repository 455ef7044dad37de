/** Bodies and parameters against what they should become, and everything that must not be ignored. */

import { expect, test } from "bun:test";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { type SearchRequest, searchRequestOf } from "../../src/search/search-request.ts";
import { isPatternMatch } from "../../src/search/source-filter.ts";

function request(body: unknown, parameters = ""): SearchRequest {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  return searchRequestOf(
    { parameters, body: new TextEncoder().encode(text) },
    { nowMs: Date.UTC(2026, 0, 1), resultWindowMax: 100, bucketsMax: 1_000 },
  );
}

function query(json: unknown): unknown {
  return request({ query: json }).query;
}

const match = (field: string, text: string) => ({ kind: "match" as const, field, text });
const defaultFields = (text: string) => ({
  kind: "dis_max" as const,
  queries: [match("_value", text), match("_key", text), match("_headers", text)],
});

test.each([
  [{ match_all: {} }, { kind: "all" }],
  [{ match_none: {} }, { kind: "none" }],
  [{ match: { _value: "a b" } }, match("_value", "a b")],
  [{ match: { status: 500 } }, match("status", "500")],
  [
    { match: { _value: { query: "a b", operator: "AND", minimum_should_match: "75%", boost: 2 } } },
    { ...match("_value", "a b"), operator: "and", minimumShouldMatch: "75%", boost: 2 },
  ],
  [{ match: { _all: "a" } }, defaultFields("a")],
  [{ multi_match: { query: "a" } }, defaultFields("a")],
  [
    { multi_match: { query: "a", fields: ["_key^3", "user.name"] } },
    { kind: "dis_max", queries: [{ ...match("_key", "a"), boost: 3 }, match("user.name", "a")] },
  ],
  [
    { match_phrase: { _value: { query: "a b", slop: 2 } } },
    { kind: "match_phrase", field: "_value", text: "a b", slop: 2 },
  ],
  [
    { match_phrase_prefix: { _value: "a b" } },
    { kind: "match_phrase", field: "_value", text: "a b", isPrefix: true },
  ],
  [{ term: { _key: "k-1" } }, { kind: "term", field: "_key", value: "k-1" }],
  [
    { term: { ok: { value: true, boost: 2 } } },
    { kind: "term", field: "ok", value: true, boost: 2 },
  ],
  [{ term: { _offset: "17" } }, { kind: "term", field: "_offset", value: 17 }],
  [
    { term: { _timestamp: "2026-01-01T00:00:00.001Z" } },
    { kind: "range", field: "_timestamp", gte: 1767225600001, lte: 1767225600001 },
  ],
  [{ terms: { _partition: [1, "2"] } }, { kind: "terms", field: "_partition", values: [1, 2] }],
  [{ terms: { _topic: [] } }, { kind: "none" }],
  [
    { range: { _timestamp: { gte: "now-1h", lt: "now", format: "strict_date_optional_time" } } },
    { kind: "range", field: "_timestamp", gte: 1767222000000, lt: 1767225600000 },
  ],
  [
    { range: { _offset: { gt: 1.5, lte: "9" } } },
    { kind: "range", field: "_offset", gt: 1, lte: 9 },
  ],
  [
    { range: { created: { gte: "now/d" } } },
    { kind: "range", field: "created", gte: "2026-01-01T00:00:00.000Z" },
  ],
  [{ exists: { field: "user.id" } }, { kind: "exists", field: "user.id" }],
  [{ prefix: { _key: "k-" } }, { kind: "prefix", field: "_key", value: "k-" }],
  [
    { wildcard: { _key: { value: "k*1", case_insensitive: true } } },
    { kind: "wildcard", field: "_key", pattern: "k*1", isCaseInsensitive: true },
  ],
  [{ bool: {} }, { kind: "all" }],
  [
    {
      bool: {
        must: { match: { _value: "a" } },
        should: [{ match: { _value: "b" } }],
        must_not: { term: { _key: "c" } },
        filter: [{ range: { _offset: { gte: 5 } } }],
        minimum_should_match: 1,
      },
    },
    {
      kind: "bool",
      must: [match("_value", "a")],
      should: [match("_value", "b")],
      mustNot: [{ kind: "term", field: "_key", value: "c" }],
      filter: [{ kind: "range", field: "_offset", gte: 5 }],
      minimumShouldMatch: 1,
    },
  ],
  [
    { constant_score: { filter: { match_all: {} }, boost: 3 } },
    { kind: "constant_score", query: { kind: "all" }, boost: 3 },
  ],
  [
    { dis_max: { queries: [{ match_all: {} }], tie_breaker: 0.5 } },
    { kind: "dis_max", queries: [{ kind: "all" }], tieBreaker: 0.5 },
  ],
  [
    { query_string: { query: "a", default_field: "_key" } },
    { kind: "match_phrase", field: "_key", text: "a" },
  ],
] as [unknown, unknown][])("query DSL: %j", (json, expected) => {
  expect(query(json)).toEqual(expected);
});

test.each([
  [{ fuzzy: { a: "b" } }, "unknown query [fuzzy]"],
  [{ constructor: {} }, "unknown query [constructor]"],
  [{}, "empty clause"],
  [{ match: {} }, "empty clause"],
  [{ match: { a: "x", b: "y" } }, "expects one name"],
  [{ match_all: {}, match_none: {} }, "expects one name"],
  [[], "expects an object but found an array"],
  [null, "found null"],
  [{ match: "x" }, "expects an object"],
  [{ match: { a: { query: "x", fuzziness: "AUTO" } } }, "does not support [fuzziness]"],
  [{ match: { a: {} } }, "needs [query]"],
  [{ match: { a: null } }, "found null"],
  [{ match: { a: ["x"] } }, "found an array"],
  [{ match: { a: { query: "x", operator: "xor" } } }, "either 'OR' or 'AND'"],
  [{ match: { a: { query: "x", minimum_should_match: "most" } } }, "minimum_should_match"],
  [{ match: { a: { query: "x", boost: -1 } } }, "boost is negative"],
  [{ term: { _offset: "x" } }, "expects a number"],
  [{ term: { _offset: 1.5 } }, "whole number"],
  [{ term: { _timestamp: "soon" } }, "failed to parse date"],
  [{ term: { "a*": 1 } }, "patterns are not supported"],
  [{ term: { _id: "t/0/1" } }, "not searchable"],
  [{ terms: { a: "x" } }, "expects an array"],
  [{ terms: { a: [{}] } }, "found an object"],
  [{ range: { a: {} } }, "needs a bound"],
  [{ range: { a: { gte: 1, lte: "b" } } }, "mixes"],
  [{ range: { a: { from: 1 } } }, "does not support [from]"],
  [{ range: { a: { gte: 1, format: "yyyy" } } }, "does not support format"],
  [{ range: { _value: { gte: "a" } } }, "no order"],
  [{ exists: { field: 5 } }, "expects a string"],
  [{ prefix: { _offset: "1" } }, "only possible on text"],
  [{ wildcard: { a: "x".repeat(1001) } }, "at most 1000"],
  [{ bool: { must: [{ nope: {} }] } }, "unknown query [nope]"],
  [{ bool: { musst: [] } }, "does not support [musst]"],
  [
    { bool: { should: [], minimum_should_match: {}, must: { match_all: {} } } },
    "minimum_should_match",
  ],
  [{ query_string: { query: "(" } }, "not closed"],
  [{ query_string: { query: "a", analyzer: "x" } }, "does not support [analyzer]"],
  [{ dis_max: { queries: [] } }, "at least one"],
] as [unknown, string][])("query DSL: %j is refused", (json, reason) => {
  const body = JSON.stringify({ query: json });
  expect(() => request(body)).toThrow(reason);
  expect(() => request(body)).toThrow(SearchError);
});

test("query DSL: nesting and clauses are bounded", () => {
  let deep: unknown = { match_all: {} };
  for (let depth = 0; depth < 40; depth += 1) deep = { bool: { must: deep } };
  expect(() => query(deep)).toThrow("nested deeper");
  const wide = { bool: { should: Array.from({ length: 1024 }, () => ({ match_all: {} })) } };
  expect(() => query(wide)).toThrow("more than 1024 clauses");
});

test("search request: defaults, and parameters before the body", () => {
  expect(request(undefined)).toMatchObject({
    query: { kind: "all" },
    from: 0,
    size: 10,
    sort: undefined,
    trackTotalHits: true,
    isPretty: false,
  });
  const body = { size: 5, from: 1, sort: "_score", track_total_hits: 7, query: { match_none: {} } };
  expect(request(body)).toMatchObject({
    size: 5,
    from: 1,
    sort: [{ by: "score", order: "desc" }],
    trackTotalHits: 7,
    query: { kind: "none" },
  });
  const parameters = "size=6&from=2&sort=_timestamp:desc,offset&track_total_hits=false&q=*&pretty";
  expect(request(body, parameters)).toMatchObject({
    size: 6,
    from: 2,
    sort: [
      { by: "timestamp", order: "desc" },
      { by: "offset", order: "asc" },
    ],
    trackTotalHits: false,
    query: { kind: "all" },
    isPretty: true,
  });
});

test.each([
  [
    ["_offset", { _timestamp: "desc" }],
    ["offset asc", "timestamp desc"],
  ],
  [{ timestamp: { order: "DESC", unmapped_type: "date" } }, ["timestamp desc"]],
  ["user.id", ["user.id asc"]],
  [
    [{ a: "desc" }, "_topic"],
    ["a desc", "_topic asc"],
  ],
  [[], undefined],
])("search request: sort %j", (sort, expected) => {
  const sorts = request({ sort }).sort?.map(({ by, field = by, order }) => `${field} ${order}`);
  expect(sorts).toEqual(expected);
});

test.each([
  [undefined, "topic,partition,offset,timestamp,key,value,headers"],
  [false, undefined],
  ["value", "value"],
  [["t*", "key"], "topic,timestamp,key"],
  [{ excludes: ["value", "headers"] }, "topic,partition,offset,timestamp,key"],
  [{ includes: "*e*", excludes: "headers" }, "offset,timestamp,key,value"],
])("search request: _source %j", (source, expected) => {
  const { sourceFilter } = request(source === undefined ? {} : { _source: source });
  expect(sourceFilter === undefined ? undefined : [...sourceFilter].join(",")).toBe(
    expected as string,
  );
});

test.each([
  ["{", "", "not valid JSON"],
  ["[]", "", "expects an object"],
  ["\u{1F600}", "", "not valid JSON"],
  ['{"aggs":{},"aggregations":{}}', "", "both [aggs] and [aggregations]"],
  ['{"highlight":{"fields":{"topic":{}}}}', "", "not for [topic]"],
  ['{"explain":true}', "", "Unknown key for [true] in [explain]"],
  ['{"size":-1}', "", "at least 0"],
  ['{"size":1.5}', "", "whole number"],
  ['{"size":101}', "", "Result window is too large"],
  ['{"from":95,"size":6}', "", "[100] but was [101]"],
  ['{"sort":"_value"}', "", "it is text"],
  ['{"sort":["a","b","c","d"]}', "", "at most 3"],
  ['{"sort":["_offset","offset"]}', "", "twice"],
  ['{"sort":{"_offset":{"order":"up"}}}', "", "[asc] or [desc]"],
  ['{"sort":{"_offset":{"mode":"min"}}}', "", "does not support [mode]"],
  ['{"_source":5}', "", "[_source] does not understand [5]"],
  ['{"track_total_hits":"some"}', "", "[track_total_hits]"],
  ["", "foo=1", "unrecognized parameter: [foo]"],
  ["", "size=1&size=2", "given twice"],
  ["", "size=ten", "expects a number"],
  ["", "df=_key", "needs [q]"],
  ["", "q=a&default_operator=xor", "operator"],
  ["", "pretty=perhaps", "true or false"],
])("search request: %s ?%s is refused", (body, parameters, reason) => {
  expect(() => request(body, parameters)).toThrow(reason);
  expect(() => request(body, parameters)).toThrow(SearchError);
});

test.each([
  ["*", "", true],
  ["a*", "abc", true],
  ["*c", "abc", true],
  ["a*c", "ac", true],
  ["ab*bc", "abc", false],
  ["a*b*c", "aXbYc", true],
  ["a*b*c", "aXcYb", false],
  ["abc", "abcd", false],
  ["*a*a*a*", "aa", false],
])("pattern %s on %s: %p", (pattern, text, expected) => {
  expect(isPatternMatch(pattern, text)).toBe(expected);
});
