/** The list of topics, as text and as JSON. */

import { expect, test } from "bun:test";
import { catIndices } from "../../src/http/cat-indices.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";

const TOPICS = [
  { topicId: "id-2", name: "returns", partitionCount: 12, recordCount: 7 },
  { topicId: "id-1", name: "orders", partitionCount: 1, recordCount: 1_000 },
];

test("cat: topics by name, in columns", () => {
  expect(catIndices(undefined, "v&h=index,pri,docs.count", TOPICS).text).toBe(
    "index   pri docs.count\norders  1   1000\nreturns 12  7\n",
  );
  expect(catIndices("ret*", "", TOPICS).text).toBe("green open returns id-2 12 0 7 0\n");
  expect(catIndices(undefined, "v", []).text).toStartWith("health status index uuid");
  expect(catIndices(undefined, "", []).text).toBe("");
});

test("cat: as JSON", () => {
  const { isJson, text } = catIndices("orders", "format=json", TOPICS);
  expect(isJson).toBe(true);
  expect(JSON.parse(text)).toEqual([
    {
      health: "green",
      status: "open",
      index: "orders",
      uuid: "id-1",
      pri: "1",
      rep: "0",
      "docs.count": "1000",
      "docs.deleted": "0",
      "store.size": null,
      "pri.store.size": null,
    },
  ]);
});

test.each([
  ["nope", "", "no such index"],
  [undefined, "format=yaml", "[text] or [json]"],
  [undefined, "h=index,nope", "not [nope]"],
  [undefined, "bytes=b", "unrecognized parameter"],
] as const)("cat: %p?%s is refused", (topics, query, reason) => {
  expect(() => catIndices(topics, query, TOPICS)).toThrow(reason);
  expect(() => catIndices(topics, query, TOPICS)).toThrow(SearchError);
});
