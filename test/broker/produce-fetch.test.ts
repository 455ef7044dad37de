/** Produce and fetch over a real socket and a real WAL: order, offsets, limits, restarts, long polls. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, decodeBatch, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { batchesIn, readBatchHeader, verifyBatch } from "../../src/protocol/record-batch.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

let broker: RunningBroker;
let client: PipelinedClient;
let topicCount = 0;

beforeAll(async () => {
  broker = await RunningBroker.start();
  client = await PipelinedClient.connect(broker.kafkaPort);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

async function newTopic(configs: Record<string, string> = {}): Promise<string> {
  topicCount += 1;
  const name = `topic-${topicCount}`;
  expect(await client.createTopic(name, 1, configs)).toBe(ErrorCode.none);
  return name;
}

function batchOfValues(values: readonly string[], timestampMs = 1000): Uint8Array {
  const records = values.map((value, offset) => ({
    offset,
    timestampMs,
    key: null,
    value: Buffer.from(value),
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records));
}

function valuesIn(bytes: Uint8Array | null | undefined): string[] {
  const values: string[] = [];
  for (const [start, end] of batchesIn(bytes ?? new Uint8Array(0))) {
    for (const { value } of decodeBatch((bytes ?? new Uint8Array(0)).subarray(start, end))
      .records) {
      values.push(Buffer.from(value ?? "").toString());
    }
  }
  return values;
}

test("produce: pipelined batches get offsets in the order they were sent, and come back so", async () => {
  const topic = await newTopic();
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => client.produce(topic, batchOfValues([`v${index}`]))),
  );
  expect(answers.map((answer) => answer?.baseOffset)).toEqual([...Array(200).keys()]);
  const fetched = await client.fetch(topic, 0);
  expect(valuesIn(fetched?.records)).toEqual([...Array(200).keys()].map((index) => `v${index}`));
  expect(fetched?.highWatermark).toBe(200);
});

test("produce: the stored batch is the one sent, but for base offset and leader epoch", async () => {
  const topic = await newTopic();
  const sent = batchOfValues(["a", "b", "c"]);
  await client.produce(topic, sent);
  await client.produce(topic, sent);
  const fetched = await client.fetch(topic, 4);
  const stored = fetched?.records ?? new Uint8Array(0);
  expect(readBatchHeader(stored, 0).baseOffset).toBe(3);
  expect(stored.subarray(16)).toEqual(sent.subarray(16));
});

test("fetch: from the middle of a batch, and with a limit smaller than a batch, one batch comes", async () => {
  const topic = await newTopic();
  for (const value of ["x", "y"]) {
    await client.produce(topic, batchOfValues([`${value}1`, `${value}2`, `${value}3`]));
  }
  const middle = await client.fetch(topic, 1, { maxBytes: 1 });
  expect(valuesIn(middle?.records)).toEqual(["x1", "x2", "x3"]);
  const second = await client.fetch(topic, 3, { maxBytes: 1 });
  expect(valuesIn(second?.records)).toEqual(["y1", "y2", "y3"]);
});

test("fetch: offsets outside of the log are refused, its end is not", async () => {
  const topic = await newTopic();
  await client.produce(topic, batchOfValues(["only"]));
  expect((await client.fetch(topic, 2))?.errorCode).toBe(ErrorCode.offsetOutOfRange);
  expect((await client.fetch(topic, -1))?.errorCode).toBe(ErrorCode.offsetOutOfRange);
  expect((await client.fetch(topic, 1))?.errorCode).toBe(ErrorCode.none);
});

test("fetch: a long poll is woken by the produce that it waits for", async () => {
  const topic = await newTopic();
  const waiting = await PipelinedClient.connect(broker.kafkaPort);
  const polled = waiting.fetch(topic, 0, { maxWaitMs: 600_000 });
  await client.produce(topic, batchOfValues(["awake"]));
  expect(valuesIn((await polled)?.records)).toEqual(["awake"]);
  waiting.close();
});

test("fetch: a long poll ends with its connection, and when its topic is deleted nothing hangs", async () => {
  const topic = await newTopic();
  const waiting = await PipelinedClient.connect(broker.kafkaPort);
  const polled = waiting.fetch(topic, 0, { maxWaitMs: 600_000 });
  waiting.close();
  await expect(polled).rejects.toThrow("closed");
  expect((await client.produce(topic, batchOfValues(["later"])))?.errorCode).toBe(ErrorCode.none);
});

test("requests of a connection: a slow fetch is answered before the fast request behind it", async () => {
  const topic = await newTopic();
  const order: string[] = [];
  const slow = client.fetch(topic, 0, { maxWaitMs: 50 }).then(() => order.push("slow"));
  const fast = client.listOffset(topic, -1).then(() => order.push("fast"));
  await Promise.all([slow, fast]);
  expect(order).toEqual(["slow", "fast"]);
});

test("produce: acks=0 is not answered, and its records are there for what comes after", async () => {
  const topic = await newTopic();
  client.produceUnanswered(topic, batchOfValues(["silent"]));
  expect((await client.produce(topic, batchOfValues(["loud"])))?.baseOffset).toBe(1);
  expect(valuesIn((await client.fetch(topic, 0))?.records)).toEqual(["silent", "loud"]);
});

test("produce: acks=1 is answered, other values are INVALID_REQUIRED_ACKS", async () => {
  const topic = await newTopic();
  const one = await client.produce(topic, batchOfValues(["one"]), { acks: 1 });
  expect(one).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 0 });
  const two = await client.produce(topic, batchOfValues(["two"]), { acks: 2 });
  expect(two?.errorCode).toBe(ErrorCode.invalidRequiredAcks);
});

test("produce: append time is the broker's, and its CRC is right", async () => {
  const topic = await newTopic({ "message.timestamp.type": "LogAppendTime" });
  const before = Date.now();
  const answer = await client.produce(topic, batchOfValues(["now"], 5));
  expect(answer?.logAppendTimeMs).toBeGreaterThanOrEqual(before);
  const stored = (await client.fetch(topic, 0))?.records ?? new Uint8Array(0);
  const header = verifyBatch(stored, 0, stored.length);
  expect(header.timestampType).toBe("LogAppendTime");
  expect(header.maxTimestampMs).toBe(answer?.logAppendTimeMs ?? -1);
  expect((await client.listOffset(topic, before))?.timestamp).toBe(header.maxTimestampMs);
});

test("produce: a topic's own codec is applied", async () => {
  const topic = await newTopic({ "compression.type": "zstd" });
  await client.produce(topic, batchOfValues(["z".repeat(1000)]));
  const stored = (await client.fetch(topic, 0))?.records ?? new Uint8Array(0);
  expect(readBatchHeader(stored, 0).compression).toBe("zstd");
  expect(valuesIn(stored)).toEqual(["z".repeat(1000)]);
});

test("list offsets: by time, of the largest timestamp, earliest and latest", async () => {
  const topic = await newTopic();
  for (const timestampMs of [100, 300, 200, 400]) {
    await client.produce(topic, batchOfValues([`t${timestampMs}`], timestampMs));
  }
  const offsetOf = async (timestamp: number) => (await client.listOffset(topic, timestamp))?.offset;
  expect(await offsetOf(-2)).toBe(0);
  expect(await offsetOf(-1)).toBe(4);
  expect(await offsetOf(-3)).toBe(3);
  expect(await offsetOf(150)).toBe(1);
  expect(await offsetOf(301)).toBe(3);
  expect(await offsetOf(401)).toBe(-1);
});

test("restart: everything is there again, and offsets go on", async () => {
  const topic = await newTopic();
  const values = Array.from({ length: 50 }, (_, index) => `kept-${index}`);
  for (const value of values) await client.produce(topic, batchOfValues([value]));
  client.close();
  await broker.stop();
  await broker.start();
  client = await PipelinedClient.connect(broker.kafkaPort);
  expect(valuesIn((await client.fetch(topic, 0))?.records)).toEqual(values);
  expect((await client.produce(topic, batchOfValues(["next"])))?.baseOffset).toBe(50);
});
