/** Fragments of texts with what a query matches. */

import { expect, test } from "bun:test";
import type { ShimQuery } from "../../src/core/shim-query.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { highlightsOf } from "../../src/search/highlight.ts";
import { highlightOf } from "../../src/search/highlight-request.ts";

const CONTEXT = { nowMs: 0 };
const match = (text: string, field = "_value"): ShimQuery => ({ kind: "match", field, text });

function highlighted(
  texts: { readonly value?: string; readonly key?: string; readonly headers?: readonly string[] },
  json: object,
  query: ShimQuery,
): unknown {
  const highlight = highlightOf(json, CONTEXT);
  if (highlight === undefined) throw new Error("nothing to highlight");
  const { value, key, headers = [] } = texts;
  const listed = (text: string | undefined) => (text === undefined ? [] : [text]);
  return highlightsOf(
    { _value: listed(value), _key: listed(key), _headers: headers },
    highlight,
    query,
  );
}

test("highlight: fields, tags, and only what the query says of them", () => {
  const texts = { value: "Lost orders: lost", key: "lost-1", headers: ["trace: lost", "x: y"] };
  const fields = { value: {}, key: {}, headers: {} };
  expect(highlighted(texts, { fields }, match("LOST"))).toEqual({
    value: ["<em>Lost</em> orders: <em>lost</em>"],
  });
  const rules = { fields, require_field_match: false, pre_tags: ["["], post_tags: ["]"] };
  expect(highlighted(texts, rules, match("lost"))).toEqual({
    value: ["[Lost] orders: [lost]"],
    key: ["[lost]-1"],
    headers: ["trace: [lost]"],
  });
  expect(highlighted(texts, { fields: { "*": {} } }, match("1", "_key"))).toEqual({
    key: ["lost-<em>1</em>"],
  });
  expect(highlighted(texts, { fields: [{ _value: {} }] }, match("orders", "note"))).toEqual({
    _value: ["Lost <em>orders</em>: lost"],
  });
  const own = { fields: { value: { highlight_query: { match: { _value: "orders" } } } } };
  expect(highlighted(texts, own, { kind: "all" })).toEqual({
    value: ["Lost <em>orders</em>: lost"],
  });
});

test("highlight: HTML is escaped where it is asked for", () => {
  const texts = { value: '<a href="x">lost & found</a>' };
  const json = { fields: { value: {} }, encoder: "html" };
  expect(highlighted(texts, json, match("lost"))).toEqual({
    value: ["&lt;a href=&quot;x&quot;&gt;<em>lost</em> &amp; found&lt;/a&gt;"],
  });
});

test("highlight: long texts are cut into fragments around what matches", () => {
  const filler = "lorem ipsum dolor sit amet ".repeat(20);
  const value = `${filler}lost ${filler}lost and lost ${filler}`;
  const json = { fields: { value: { fragment_size: 60, number_of_fragments: 5 } } };
  const found = highlighted({ value }, json, match("lost")) as { value: string[] };
  expect(found.value.length).toBe(2);
  for (const fragment of found.value) {
    const plain = fragment.replaceAll(/<\/?em>/g, "");
    expect(value).toContain(plain);
    expect(plain.length).toBeLessThanOrEqual(100);
    expect(fragment).toContain("<em>lost</em>");
    // Whole words at both ends.
    expect(` ${value} `).toContain(` ${plain.trim()} `);
  }
  const best = { fields: { value: { fragment_size: 60, number_of_fragments: 1 } } };
  const [first] = (highlighted({ value }, best, match("lost")) as { value: string[] }).value;
  expect(first).toContain("<em>lost</em> and <em>lost</em>");
  const byScore = { fields: { value: { fragment_size: 60, order: "score" } } };
  const ordered = (highlighted({ value }, byScore, match("lost")) as { value: string[] }).value;
  expect(ordered[0]).toBe(first as string);
  const whole = { fields: { value: { number_of_fragments: 0 } } };
  expect(highlighted({ value }, whole, match("lost"))).toEqual({
    value: [value.replaceAll("lost", "<em>lost</em>")],
  });
  const none = { fields: { value: { no_match_size: 9 } } };
  expect(highlighted({ value }, none, match("nowhere"))).toEqual({ value: ["lorem"] });
});

test("highlight: no character is cut, whatever it is", () => {
  for (let size = 1; size < 40; size += 1) {
    const value = `${"😀é日本語".repeat(9)} größe ${"😀é日本語".repeat(9)}`;
    const json = { fields: { value: { fragment_size: size } } };
    const found = highlighted({ value }, json, match("GRÖSSE größe")) as { value: string[] };
    expect(found.value.length).toBe(1);
    const [fragment = ""] = found.value;
    expect(fragment.isWellFormed()).toBe(true);
    expect(fragment).toContain("<em>größe</em>");
    expect(value).toContain(fragment.replaceAll(/<\/?em>/g, ""));
  }
});

test("highlight: large texts are bounded", () => {
  const value = "lost ".repeat(400_000);
  const json = { fields: { value: { number_of_fragments: 3 } } };
  const found = highlighted({ value }, json, match("lost")) as { value: string[] };
  expect(found.value.length).toBe(3);
});

test.each([
  [{ fields: { topic: {} } }, "not for [topic]"],
  [{ fields: { value: { boundary_scanner: "word" } } }, "does not support [boundary_scanner]"],
  [{ fields: { value: {} }, type: "plain" }, "[unified] only"],
  [{ fields: { value: {} }, order: "up" }, "order is"],
  [{ fields: { value: {} }, encoder: "x" }, "encoder is"],
  [{ fields: { value: { fragment_size: -1 } } }, "at least 0"],
  [{ fields: { value: { number_of_fragments: 1e9 } } }, "at most 1000000"],
  [{ fields: { value: { pre_tags: [5] } } }, "expects a string"],
  [{ field: {} }, "does not support [field]"],
])("highlight: %j is refused", (json, reason) => {
  expect(() => highlightOf(json, CONTEXT)).toThrow(reason);
  expect(() => highlightOf(json, CONTEXT)).toThrow(SearchError);
});
