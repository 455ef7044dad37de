/** Limits of a search, and a search over HTTP from end to end. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { createSearcher } from "../../src/search/searcher.ts";
import { apiWithoutTopics } from "../http/memory-source.ts";
import { SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(30_000);

test("searcher: large values are whole in the answer, or the answer is refused with advice", async () => {
  await using broker = await SearchFixture.open({ responseBytesMax: 1_500_000 });
  const value = `needle ${"x".repeat(1_000_000)}`;
  await broker.produce("large", [{ value }]);
  await broker.produce("large", [{ value }]);
  const query = { match: { _value: "needle" } };
  const one = await broker.search({ query, size: 1 });
  expect(one.hits.hits[0]?._source?.["value"]).toBe(value);
  const two = await broker.search({ query });
  expect(two).toMatchObject({
    status: 400,
    error: { reason: expect.stringContaining("the answer exceeds 1500000 bytes") },
  });
  const withoutValues = await broker.search({ query, _source: { excludes: "value" } });
  expect(withoutValues.hits.hits.length).toBe(2);
});

test("searcher: a page of many hits from many batches is read back in order", async () => {
  await using broker = await SearchFixture.open();
  for (let batch = 0; batch < 40; batch += 1) {
    const records = Array.from({ length: 100 }, (_, index) => ({
      key: `${batch}-${index}`,
      value: `v${"y".repeat(2_000)}`,
    }));
    await broker.produce("pages", records, { partition: batch % 4, compression: "gzip" });
  }
  const seen: string[] = [];
  for (let from = 0; from < 4_000; from += 1_000) {
    const page = await broker.search({
      from,
      size: 1_000,
      sort: [{ _offset: "desc" }],
      _source: ["partition", "offset", "key"],
    });
    for (const { _id, _source } of page.hits.hits) {
      expect(_id).toBe(`pages/${_source?.["partition"]}/${_source?.["offset"]}`);
      seen.push(_id);
    }
  }
  expect(new Set(seen).size).toBe(4_000);
  expect(seen[0]).toBe("pages/0/999");
});

test("searcher: what takes too long, or is one too many, is refused", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using broker = await SearchFixture.open();
  await broker.produce("slow", [{ value: "a" }]);
  await broker.search(undefined);
  let timeoutMs = 50;
  const createStuck = (searchTimeoutMs: number) =>
    createSearcher({
      indexer: broker.indexer,
      logStartOffsetsOf: () => [],
      readBatchAt: async () => {
        await gate;
        return undefined;
      },
      clock: systemClock,
      logger: silentLogger,
      searchTimeoutMs,
      searchConcurrencyMax: 1,
      searchResultWindowMax: 100,
      searchBucketsMax: 10_000,
      searchAggregationBytesMax: 64 * 2 ** 20,
      responseBytesMax: 1_000_000,
    });
  const input = { topics: undefined, parameters: "", body: new Uint8Array(0) };
  const hasty = createStuck(timeoutMs);
  expect(await errorOf(hasty.search(input))).toMatchObject({ status: 504 });
  hasty.stop();
  timeoutMs = 20_000;
  const patient = createStuck(timeoutMs);
  const first = patient.search(input);
  expect(await errorOf(patient.search(input))).toMatchObject({ status: 429 });
  open();
  // The record is gone when it is to be read: no hit, and none counted.
  const { body } = await first;
  expect(JSON.parse(new TextDecoder().decode(body)).hits.total).toEqual({
    value: 0,
    relation: "eq",
  });
  patient.stop();
});

test("searcher: when it stops, waiting searches are told", async () => {
  await using broker = await SearchFixture.open();
  await broker.produce("t", [{ value: "a" }]);
  const search = errorOf(
    broker.searcher.search({ topics: undefined, parameters: "", body: new Uint8Array(0) }),
  );
  broker.searcher.stop();
  expect(await search).toMatchObject({ status: 503 });
});

test("searcher: over HTTP, with GET and a body, pretty, and with errors", async () => {
  await using broker = await SearchFixture.open();
  await broker.produce("web", [{ key: "k", value: "hello world" }]);
  const http = await startHttpServer({
    hostname: "127.0.0.1",
    port: 0,
    connectionsMax: 8,
    bodyBytesLimit: 10_000,
    searchConcurrencyMax: 4,
    search: broker.searcher,
    api: apiWithoutTopics(),
    metrics: createMetrics(),
    isReady: () => true,
    logger: silentLogger,
    clock: systemClock,
    version: "test",
    topics: () => [],
  });
  const url = `http://127.0.0.1:${http.port}`;
  const curl = async (...parameters: string[]) => {
    const process = Bun.spawn(["curl", "--silent", ...parameters]);
    return await new Response(process.stdout).text();
  };
  const body = JSON.stringify({ query: { match: { _value: "hello" } } });
  const found = JSON.parse(await curl("-X", "GET", `${url}/web/_search?refresh`, "-d", body));
  expect(found.hits.hits[0]._id).toBe("web/0/0");
  const pretty = await (await fetch(`${url}/_search?q=world&pretty`)).text();
  expect(pretty).toContain('\n    "total": {\n      "value": 1,');
  const missing = await fetch(`${url}/nope/_search`);
  expect(missing.status).toBe(404);
  const malformed = await fetch(`${url}/_search`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: '{"query":{"matchh":{}}}',
  });
  expect(malformed.status).toBe(400);
  expect(await malformed.json()).toMatchObject({
    error: { type: "parsing_exception", reason: "unknown query [matchh]" },
    status: 400,
  });
  await http.stop();
});

async function errorOf(promise: Promise<unknown>): Promise<SearchError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof SearchError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}
