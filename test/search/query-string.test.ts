/** The query language against the queries it should become. Default fields are cut down to one, to be readable. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import type { ShimQuery } from "../../src/core/shim-query.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { parseQueryString, type QueryStringOptions } from "../../src/search/query-string.ts";

const NOW_MS = Date.UTC(2026, 0, 1);

function parse(text: string, options: Partial<QueryStringOptions> = {}): ShimQuery {
  return parseQueryString(text, {
    nowMs: NOW_MS,
    defaultFields: ["_value"],
    defaultOperator: "or",
    clausesMax: 100,
    ...options,
  });
}

/** A query as short text: `and(or(a b) not(c))`. */
function sketch(query: ShimQuery): string {
  switch (query.kind) {
    case "bool": {
      const list = (queries: readonly ShimQuery[] = []) => queries.map(sketch).join(" ");
      const parts = [
        query.must === undefined ? "" : `and(${list(query.must)})`,
        query.should === undefined ? "" : `or(${list(query.should)})`,
        query.mustNot === undefined ? "" : `not(${list(query.mustNot)})`,
      ];
      const boost = query.boost === undefined ? "" : `^${query.boost}`;
      return parts.filter((part) => part !== "").join("") + boost;
    }
    case "match_phrase": {
      const name = query.field === "_value" ? "" : `${query.field}:`;
      return `${name}${query.text}${query.slop === undefined ? "" : `~${query.slop}`}`;
    }
    case "prefix":
      return `${query.field}:prefix(${query.value})`;
    case "wildcard":
      return `${query.field}:wildcard(${query.pattern})`;
    case "range": {
      const { gt, gte, lt, lte } = query;
      return `${query.field}:range(${JSON.stringify({ gt, gte, lt, lte })})`;
    }
    case "term":
      return `${query.field}=${JSON.stringify(query.value)}`;
    case "exists":
      return `exists(${query.field})`;
    default:
      return query.kind;
  }
}

test.each([
  ["", "none"],
  ["  ", "none"],
  ["lost", "lost"],
  ["lost order", "or(lost order)"],
  ["lost AND order", "and(lost order)"],
  ["lost && order || sad", "or(and(lost order) sad)"],
  ["a OR b AND c", "or(a and(b c))"],
  ["a AND NOT b", "and(a)not(b)"],
  ["NOT a", "not(a)"],
  ["NOT NOT a", "a"],
  ["-a", "not(a)"],
  ["+a b -c !d", "and(a)or(b)not(c d)"],
  ["(a OR b) AND c", "and(or(a b) c)"],
  ["a AND (b OR (c AND d))", "and(a or(b and(c d)))"],
  ["AND", "AND"],
  ["ANDROID ORDER NOTHING", "or(ANDROID ORDER NOTHING)"],
  ['"lost order"', "lost order"],
  ['"lost order"~3 x', "or(lost order~3 x)"],
  ['"a \\" quote"', 'a " quote'],
  ["order-17", "order-17"],
  ["/var/log", "/var/log"],
  ["a - b", "or(a - b)"],
  ["user@example.com", "user@example.com"],
  ["lost^2 order", "or(and(lost)^2 order)"],
  ["(a b)^1.5", "and(or(a b))^1.5"],
  ["2^", "2^"],
  ["~home a~b", "or(~home a~b)"],
  ["ord*", "_value:prefix(ord)"],
  ["o?d*", "_value:wildcard(o?d*)"],
  ["*der", "_value:wildcard(*der)"],
  ["o\\*d*", "_value:prefix(o*d)"],
  ["o\\*d?", "_value:wildcard(o\\*d?)"],
  ["what\\?", "what?"],
  ["a\\:b", "a:b"],
  ["*", "all"],
  ["*:*", "all"],
  ["_key:*", "exists(_key)"],
  ["_exists_:user.id", "exists(user.id)"],
  ["user.name:ann", "user.name:ann"],
  ["user.name:(ann OR bob)", "or(user.name:ann user.name:bob)"],
  ['user.name:"ann lee" x', "or(user.name:ann lee x)"],
  ["_offset:5", "_offset=5"],
  ["_topic:orders", '_topic="orders"'],
  ["_index:orders", '_topic="orders"'],
  ["_offset:[5 TO 7}", '_offset:range({"gte":5,"lt":7})'],
  ["latency:{1.5 TO *]", 'latency:range({"gt":1.5})'],
  ["latency:>=10", 'latency:range({"gte":10})'],
  ["latency:<1e3", 'latency:range({"lt":1000})'],
  ["latency:[* TO *]", "exists(latency)"],
  ['name:["a b" TO c\\]]', 'name:range({"gte":"a b","lte":"c]"})'],
  ["_timestamp:[now-1d TO now]", '_timestamp:range({"gte":1767139200000,"lte":1767225600000})'],
  ["_timestamp:2026-01-01", '_timestamp:range({"gte":1767225600000,"lte":1767311999999})'],
])("query string: %s", (text, expected) => {
  expect(sketch(parse(text))).toBe(expected);
});

test("query string: without an operator between them, words follow the default one", () => {
  const defaultOperator = "and";
  expect(sketch(parse("a b OR c", { defaultOperator }))).toBe("or(and(a b) c)");
  expect(sketch(parse("a -b", { defaultOperator }))).toBe("and(a)not(b)");
});

test("query string: a word without a field is looked for in each default field", () => {
  expect(parse("a", { defaultFields: ["_all"] })).toEqual({
    kind: "dis_max",
    queries: [
      { kind: "match_phrase", field: "_value", text: "a" },
      { kind: "match_phrase", field: "_key", text: "a" },
      { kind: "match_phrase", field: "_headers", text: "a" },
    ],
  });
});

test.each([
  ["(a", "not closed at position 0"],
  ["a)", "unexpected [)] at position 1"],
  ["()", undefined],
  ['"a', "not closed"],
  ["a AND", "nothing follows [AND]"],
  ["a OR )", "nothing follows [OR]"],
  ["a:", "nothing follows [a:]"],
  ["a: b", "nothing follows [a:]"],
  [":b", undefined],
  ["a\\", "nothing follows the backslash"],
  ["a~", "fuzzy"],
  ["roam~0.8", "fuzzy"],
  ["user.*:x", "pattern"],
  ["_id:x", "not searchable"],
  ["_offset:abc", "expects a number"],
  ["_offset:ab*", "only possible on text"],
  ["_value:[a TO b]", "no order"],
  ["_timestamp:yesterday", "failed to parse date"],
  ["x:[a TO 5]", "mixes"],
  ["x:[1 5]", "TO"],
  ["x:[1 TO 5", "not closed"],
  ["a]", "unexpected []]"],
  [`${"(".repeat(40)}a${")".repeat(40)}`, "deeper"],
  ["a ".repeat(101), "too many clauses"],
])("query string: %s is refused", (text, reason) => {
  if (reason === undefined) {
    expect(() => parse(text)).not.toThrow(TypeError);
    return;
  }
  expect(() => parse(text)).toThrow(reason);
});

const seed = Number(Bun.env["SEED"] ?? Date.now());
test(`query string: any text gives a query or a reason (SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const pieces = [
    "a",
    "b:",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    '"',
    "[",
    "]",
    "{",
    "}",
    " TO ",
    "*",
    "?",
  ];
  pieces.push(
    "\\",
    "^2",
    "~",
    "-",
    "+",
    "!",
    "&&",
    "||",
    " ",
    ":",
    ">",
    "=",
    "/",
    "é",
    "\ud83d",
    "now",
  );
  for (let round = 0; round < 20_000; round += 1) {
    const length = 1 + Math.floor(random() * 10);
    const text = Array.from(
      { length },
      () => pieces[Math.floor(random() * pieces.length)] ?? "",
    ).join("");
    try {
      parse(text);
    } catch (thrown) {
      if (!(thrown instanceof SearchError) || thrown.status !== 400) {
        throw new Error(`SEED=${seed}: ${JSON.stringify(text)}`, { cause: thrown });
      }
    }
  }
});
