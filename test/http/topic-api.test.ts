/** `/api` of a running broker: topics, time travel through the Worker, errors. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { RunningBroker } from "../broker/running-broker.ts";

const BASE_MS = Date.now() - 3_600_000;

let broker: RunningBroker;
beforeAll(async () => {
  broker = await RunningBroker.start();
  using client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic("orders", 2);
  for (const [index, at, key, value] of [
    [0, 0, "a", "1"],
    [1, 10, "b", "2"],
    [0, 20, "a", "3"],
    [1, 30, "b", null],
    [0, 40, "c", Uint8Array.of(255)],
  ] as const) {
    const record = {
      offset: 0,
      timestampMs: BASE_MS + at,
      key: Buffer.from(key),
      value: typeof value === "string" ? Buffer.from(value) : value,
      headers: [{ key: Buffer.from("h"), value: null }],
      attributes: 0,
    };
    const answer = await client.produce("orders", encodeBatch(batchOf([record])), { index });
    expect(answer?.errorCode).toBe(0);
  }
});
afterAll(() => broker.remove());

async function get(path: string, init?: RequestInit) {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}${path}`, init);
  expect(response.headers.get("content-type")).toBe("application/json");
  return { status: response.status, body: JSON.parse(await response.text()) };
}

test("api: topics with their offsets and bytes", async () => {
  const { status, body } = await get("/api/topics");
  expect(status).toBe(200);
  const orders = {
    topic: "orders",
    topic_id: expect.any(String),
    created: expect.any(Number),
    offset_count: 5,
    size_bytes: expect.any(Number),
    partitions: [
      { partition: 0, start_offset: 0, end_offset: 3, size_bytes: expect.any(Number) },
      { partition: 1, start_offset: 0, end_offset: 2, size_bytes: expect.any(Number) },
    ],
  };
  expect(body).toEqual({ topics: [orders] });
  expect(body.topics[0].size_bytes).toBeGreaterThan(5 * 61);
  expect((await get("/api/topics/orders")).body).toEqual(orders);
});

test("api: records by time over partitions, in pages", async () => {
  const path = `/api/topics/orders/records?from=${BASE_MS + 10}`;
  const first = await get(`${path}&limit=2`);
  expect(first).toMatchObject({ status: 200, body: { topic: "orders", at_end: false } });
  expect(first.body.records).toEqual([
    {
      ...{ topic: "orders", partition: 1, offset: 0, timestamp: BASE_MS + 10 },
      ...{ key: "b", value: "2", headers: [{ key: "h", value: null }] },
    },
    expect.objectContaining({ partition: 0, offset: 1, key: "a", value: "3" }),
  ]);
  const second = await get(`${path}&cursor=${first.body.cursor}`);
  expect(second.body).toMatchObject({
    at_end: true,
    records: [
      { partition: 1, offset: 1, value: null },
      { partition: 0, offset: 2, value: "\ufffd", value_base64: "/w==" },
    ],
  });
});

test("api: the table as of a time", async () => {
  const valuesAt = async (query: string): Promise<string> => {
    const { body } = await get(`/api/topics/orders/table${query}`);
    return body.records.map((record: { key: string; value: string }) => record.value).join(" ");
  };
  expect(await valuesAt("")).toBe("3 \ufffd");
  expect(await valuesAt(`?at=${BASE_MS + 10}`)).toBe("1 2");
  expect(await valuesAt(`?at=${BASE_MS + 20}`)).toBe("3 2");
  expect(await valuesAt(`?at=${BASE_MS + 29}&key=b`)).toBe("2");
  expect(await valuesAt("?key=b")).toBe("");
  expect(await valuesAt("?at=-2h")).toBe("");
});

test.each([
  ["/api/topics/nowhere", 404, "resource_not_found_exception", "no such topic [nowhere]"],
  ["/api/topics/nowhere/table", 404, "resource_not_found_exception", "no such topic [nowhere]"],
  ["/api/topics/orders/records?limit=x", 400, "illegal_argument_exception", "[limit] must be "],
  ["/api/topics/%zz/records", 400, "illegal_argument_exception", "[%zz] is not percent-encoded"],
  ["/api/topics/orders/nothing", 404, "resource_not_found_exception", "nothing is served at "],
  ["/api/nothing", 404, "resource_not_found_exception", "nothing is served at [/api/nothing]"],
])("api: GET %s is %i", async (path, status, error, reason) => {
  const got = await get(path);
  expect(got.status).toBe(status);
  expect(Object.keys(got.body)).toEqual(["error", "reason"]);
  expect(got.body.error).toBe(error);
  expect(got.body.reason).toStartWith(reason);
});

test("api: other methods are refused; a topic called api can be searched", async () => {
  const { status, body } = await get("/api/topics", { method: "DELETE" });
  expect({ status, error: body.error }).toEqual({
    status: 405,
    error: "method_not_allowed_exception",
  });
  const search = await get("/api/_search");
  expect(search.body.error.type).toBe("index_not_found_exception");
});

test("api: many reads at once are answered, or refused with 429", async () => {
  const reads = Array.from({ length: 60 }, () => get("/api/topics/orders/table"));
  const statuses = (await Promise.all(reads)).map(({ status }) => status);
  // One runs, and 16 wait.
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(17);
  expect(statuses.every((status) => status === 200 || status === 429)).toBe(true);
  expect((await get("/api/topics/orders/table")).status).toBe(200);
});

test("api: segments are counted", async () => {
  const { status, body } = await get("/api/segments");
  expect(status).toBe(200);
  expect(body).toMatchObject({ segment_count: 0, object_bytes: 0, levels: [] });
});

test("api: records and tables over segments and the WAL", async () => {
  const flags = ["--no-enable-wal-indexing", "--wal-indexing-interval-secs", "1"];
  const sealing = await RunningBroker.start(...flags);
  try {
    using client = await PipelinedClient.connect(sealing.kafkaPort);
    await client.createTopic("tiers", 2);
    const url = `http://127.0.0.1:${sealing.httpPort}/api`;
    const read = async (path: string) => JSON.parse(await (await fetch(url + path)).text());
    const produce = async (from: number, to: number): Promise<void> => {
      for (let index = from; index < to; index += 1) {
        const value = Buffer.from(`${index}`.padEnd(20_000, "x"));
        const key = Buffer.from(`k${index % 5}`);
        const timestampMs = BASE_MS + index;
        const record = { offset: 0, timestampMs, key, value, headers: [], attributes: 0 };
        const batch = encodeBatch(batchOf([record]));
        await client.produce("tiers", batch, { index: index % 2 });
      }
    };
    await produce(0, 60);
    for (let isSealed = false; !isSealed; ) {
      const { segment_count: count } = await read("/segments");
      isSealed = count > 0;
      if (!isSealed) await Bun.sleep(20);
    }
    await produce(60, 100);
    const shown: number[] = [];
    for (let cursor = "", isAtEnd = false; !isAtEnd; ) {
      const page = await read(`/topics/tiers/records?limit=7${cursor}`);
      for (const { value } of page.records) shown.push(Number.parseInt(value, 10));
      cursor = `&cursor=${page.cursor}`;
      isAtEnd = page.at_end;
    }
    expect(shown).toEqual(Array.from({ length: 100 }, (_, index) => index));
    const at = BASE_MS + 50;
    const table = await read(`/topics/tiers/table?at=${at}`);
    expect(table.records.map(({ value }: { value: string }) => Number.parseInt(value, 10))).toEqual(
      [50, 46, 47, 48, 49],
    );
  } finally {
    await sealing.remove();
  }
});

test("api: the same after a restart, without what was deleted", async () => {
  const before = await get("/api/topics/orders/records");
  await broker.stop();
  await broker.start();
  const after = await get("/api/topics/orders/records");
  expect(after.body.records).toEqual(before.body.records);
  using client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic("other", 1);
  expect((await get("/api/topics")).body.topics).toHaveLength(2);
  expect((await get(`/api/topics/other/records?cursor=${after.body.cursor}`)).status).toBe(400);
});
