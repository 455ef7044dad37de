/** Several searches in one request, counts, and what a client gets wrong in them. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { multiSearch } from "../../src/search/multi-search.ts";
import { SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(30_000);

let broker: SearchFixture;

beforeAll(async () => {
  broker = await SearchFixture.open();
  await broker.produce("orders", [{ value: "lost order" }, { value: "found order" }]);
  await broker.produce("returns", [{ value: "lost return" }]);
  await broker.search({ size: 0 });
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

interface MultiAnswer {
  readonly took: number;
  readonly responses: readonly {
    readonly status: number;
    readonly hits?: { readonly total: unknown; readonly hits: readonly { readonly _id: string }[] };
    readonly error?: { readonly type: string; readonly reason: string };
  }[];
}

async function run(text: string, topics?: string, parameters = ""): Promise<MultiAnswer> {
  const search = (input: Parameters<typeof broker.searcher.search>[0]) =>
    broker.searcher.search(input);
  const body = new TextEncoder().encode(text);
  const output = await multiSearch({ topics, parameters, body }, { search, clock: systemClock });
  return JSON.parse(new TextDecoder().decode(output.body));
}

const LOST = '{"query":{"match":{"_value":"lost"}},"sort":["_topic","_offset"]}';

test("msearch: each search has its own topics, answer, status and error", async () => {
  const { took, responses } = await run(
    [
      '{"index":"orders"}',
      LOST,
      "{}",
      LOST,
      '{"index":["orders","nope"]}',
      LOST,
      '{"index":["orders","nope"],"ignore_unavailable":true,"search_type":"query_then_fetch"}',
      LOST,
      "",
      '{"query":{"matchh":{}}}',
      '{"index":"returns"}',
      "{",
      '{"routing":"x"}',
      "{}\r",
      "",
    ].join("\n"),
  );
  expect(took).toBeGreaterThanOrEqual(0);
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 404, 200, 400, 400, 400]);
  expect(responses.map(({ hits }) => hits?.hits.map(({ _id }) => _id).join(" "))).toEqual([
    "orders/0/0",
    "orders/0/0 returns/0/0",
    undefined,
    "orders/0/0",
    undefined,
    undefined,
    undefined,
  ] as never);
  expect(responses.map(({ error }) => error?.type)).toEqual([
    undefined,
    undefined,
    "index_not_found_exception",
    undefined,
    "parsing_exception",
    "parsing_exception",
    "parsing_exception",
  ] as never);
});

test("msearch: topics of the path count where a header names none", async () => {
  const { responses } = await run(`{}\n${LOST}\n{"index":"orders"}\n${LOST}`, "returns");
  expect(responses.map(({ hits }) => hits?.hits[0]?._id)).toEqual(["returns/0/0", "orders/0/0"]);
  const bare = await run(`{}\n${LOST}\n`, undefined, "rest_total_hits_as_int=true&pretty");
  expect(bare.responses[0]?.hits?.total).toBe(2);
});

test.each([
  ["", "has no lines"],
  ["{}", "without a search"],
  ["[]\n{}\n", "line 1 expects an object"],
  ["{x\n{}\n", "line 1 is not valid JSON"],
  ["{}\n{}\n".repeat(101), "at most 100"],
])("msearch: %j is refused as a whole", (text, reason) => {
  expect(run(text)).rejects.toThrow(reason);
  expect(run(text)).rejects.toThrow(SearchError);
});

test("msearch: a parameter that is not known is refused", () => {
  expect(run(`{}\n${LOST}\n`, undefined, "typed_keys=true")).rejects.toThrow("[typed_keys]");
});

async function count(text: string, topics?: string, parameters = "") {
  const body = new TextEncoder().encode(text);
  const { status, body: answer } = await broker.searcher.search({
    api: "count",
    topics,
    parameters,
    body,
  });
  return { status, ...JSON.parse(new TextDecoder().decode(answer)) };
}

test("count: counts what matches, and nothing else", async () => {
  const shards = { _shards: { total: 1, successful: 1, skipped: 0, failed: 0 } };
  expect(await count("")).toEqual({ status: 200, count: 3, ...shards });
  expect(await count('{"query":{"match":{"_value":"lost"}}}')).toMatchObject({ count: 2 });
  expect(await count("", "orders", "q=lost&pretty")).toMatchObject({ count: 1 });
  expect(await count('{"size":1}')).toMatchObject({
    status: 400,
    error: { reason: "Unknown key for [1] in [size]" },
  });
  expect(await count("", undefined, "size=1")).toMatchObject({ status: 400 });
});
