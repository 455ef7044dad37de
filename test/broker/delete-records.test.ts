/** DeleteRecords over a socket: what it answers, what is hidden from then on, and that a restart keeps it. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeOffsetCommitRequest } from "../../src/protocol/generated/offset-commit-request.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;

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

/** Record `i` has the time `baseTimestampMs + i * stepMs`. */
function batchOfRecords(recordCount: number, baseTimestampMs = 1000, stepMs = 1): Uint8Array {
  const records = Array.from({ length: recordCount }, (_, offset) => ({
    offset,
    timestampMs: baseTimestampMs + offset * stepMs,
    key: Buffer.from("k"),
    value: Buffer.from(`v${offset}`),
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records));
}

/** A topic of two batches of ten records each, which have the same ten times. */
async function filledTopic(configs: Record<string, string> = {}): Promise<string> {
  topicCount += 1;
  const topic = `topic-${topicCount}`;
  expect(await client.createTopic(topic, 2, configs)).toBe(ErrorCode.none);
  for (const baseOffset of [0, 10]) {
    expect((await client.produce(topic, batchOfRecords(10)))?.baseOffset).toBe(baseOffset);
  }
  return topic;
}

/** The answer for partition 0: error code and low watermark. */
async function deleteUpTo(topic: string, offset: number): Promise<readonly (number | undefined)[]> {
  const [answer] = await client.deleteRecords(topic, { 0: offset });
  return [answer?.errorCode, answer?.lowWatermark];
}

async function offsetAt(topic: string, timestamp: number): Promise<number | undefined> {
  return (await client.listOffset(topic, timestamp))?.offset;
}

test("DeleteRecords: the log starts at the offset from then on", async () => {
  const topic = await filledTopic();
  expect(await deleteUpTo(topic, 5)).toEqual([ErrorCode.none, 5]);
  expect((await client.fetch(topic, 4))?.errorCode).toBe(ErrorCode.offsetOutOfRange);
  const fetched = await client.fetch(topic, 5);
  expect(fetched).toMatchObject({
    errorCode: ErrorCode.none,
    logStartOffset: 5,
    highWatermark: 20,
  });
  // The batch that holds the offset is served whole, as it is stored.
  expect(readBatchHeader(fetched?.records ?? new Uint8Array(0), 0).baseOffset).toBe(0);
  expect(await offsetAt(topic, EARLIEST)).toBe(5);
  expect(await offsetAt(topic, EARLIEST_LOCAL)).toBe(5);
  expect(await offsetAt(topic, LATEST)).toBe(20);
  expect(await client.produce(topic, batchOfRecords(1))).toMatchObject({
    baseOffset: 20,
    logStartOffset: 5,
  });
});

test("DeleteRecords: by time, only records that are left are found", async () => {
  const topic = await filledTopic();
  await deleteUpTo(topic, 5);
  expect(await offsetAt(topic, 0)).toBe(5);
  expect(await offsetAt(topic, 1003)).toBe(5);
  expect(await offsetAt(topic, 1007)).toBe(7);
  await deleteUpTo(topic, 10);
  expect(await offsetAt(topic, 1007)).toBe(17);
  expect(await offsetAt(topic, 1010)).toBe(-1);
});

test("DeleteRecords: the record of the largest timestamp is one that is left", async () => {
  const topic = "times";
  await client.createTopic(topic);
  // 5000, 4999, … in the first batch, each a little later than all of the second.
  await client.produce(topic, batchOfRecords(10, 5000, -1));
  await client.produce(topic, batchOfRecords(10, 1000, 1));
  expect(await offsetAt(topic, MAX_TIMESTAMP)).toBe(0);
  await deleteUpTo(topic, 1);
  expect(await client.listOffset(topic, MAX_TIMESTAMP)).toMatchObject({
    offset: 1,
    timestamp: 4999,
  });
  await deleteUpTo(topic, 10);
  expect(await client.listOffset(topic, MAX_TIMESTAMP)).toMatchObject({
    offset: 19,
    timestamp: 1009,
  });
  await deleteUpTo(topic, 20);
  expect(await offsetAt(topic, MAX_TIMESTAMP)).toBe(-1);
});

test("DeleteRecords: -1 means up to the high watermark", async () => {
  const topic = await filledTopic();
  expect(await deleteUpTo(topic, -1)).toEqual([ErrorCode.none, 20]);
  expect(await offsetAt(topic, EARLIEST)).toBe(20);
  expect(await offsetAt(topic, 0)).toBe(-1);
  const fetched = await client.fetch(topic, 20);
  expect([fetched?.errorCode, fetched?.records?.length ?? 0]).toEqual([ErrorCode.none, 0]);
  expect((await client.produce(topic, batchOfRecords(1)))?.baseOffset).toBe(20);
});

test("DeleteRecords: an offset below the log start changes nothing", async () => {
  const topic = await filledTopic();
  await deleteUpTo(topic, 12);
  expect(await deleteUpTo(topic, 3)).toEqual([ErrorCode.none, 12]);
  expect(await offsetAt(topic, EARLIEST)).toBe(12);
});

test("DeleteRecords: what cannot be is refused for its partition alone", async () => {
  const topic = await filledTopic();
  expect(await deleteUpTo(topic, 21)).toEqual([ErrorCode.offsetOutOfRange, -1]);
  expect(await deleteUpTo(topic, -2)).toEqual([ErrorCode.offsetOutOfRange, -1]);
  expect(await deleteUpTo("none", 0)).toEqual([ErrorCode.unknownTopicOrPartition, -1]);
  const answers = await client.deleteRecords(topic, { 0: 4, 1: 1, 7: 0 });
  expect(Object.fromEntries(answers.map((one) => [one.partitionIndex, one.errorCode]))).toEqual({
    0: ErrorCode.none,
    1: ErrorCode.offsetOutOfRange,
    7: ErrorCode.unknownTopicOrPartition,
  });
});

test("DeleteRecords: a topic that is only compacted is refused by its policy", async () => {
  const compacted = await filledTopic({ "cleanup.policy": "compact" });
  expect(await deleteUpTo(compacted, 5)).toEqual([ErrorCode.policyViolation, -1]);
  for (const policy of ["compact,delete", ""]) {
    const topic = await filledTopic({ "cleanup.policy": policy });
    expect([policy, ...(await deleteUpTo(topic, 5))]).toEqual([policy, ErrorCode.none, 5]);
  }
});

test("DeleteRecords: a fetch that waits at a deleted offset is told at once", async () => {
  const topic = await filledTopic();
  using waiting = await PipelinedClient.connect(broker.kafkaPort);
  const fetched = waiting.fetch(topic, 15, { maxWaitMs: 60_000, minBytes: 1_000_000 });
  await deleteUpTo(topic, 16);
  expect((await fetched)?.errorCode).toBe(ErrorCode.offsetOutOfRange);
});

test("DeleteRecords: search finds no deleted record", async () => {
  const topic = await filledTopic();
  const search = async (): Promise<unknown> => {
    const url = `http://127.0.0.1:${broker.httpPort}/${topic}/_search?refresh=true&size=2&sort=_offset`;
    const { hits } = (await (await fetch(url)).json()) as {
      hits: { total: { value: number }; hits: { _id: string }[] };
    };
    return [hits.total.value, ...hits.hits.map(({ _id }) => _id)];
  };
  expect(await search()).toEqual([20, `${topic}/0/0`, `${topic}/0/1`]);
  await deleteUpTo(topic, 13);
  expect(await search()).toEqual([7, `${topic}/0/13`, `${topic}/0/14`]);
});

test("DeleteRecords: a group lags behind only by records that are left", async () => {
  const topic = await filledTopic();
  const commit = {
    groupId: "slow",
    generationIdOrMemberEpoch: -1,
    memberId: "",
    topics: [
      {
        name: topic,
        partitions: [{ partitionIndex: 0, committedOffset: 4, committedMetadata: null }],
      },
    ],
  };
  await client.exchange(ApiKey.offsetCommit, 8, (writer) =>
    writeOffsetCommitRequest(writer, commit, 8),
  );
  const lag = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text();
    const line = new RegExp(`^chronik_consumer_lag_records\\{.*"${topic}".*\\} (\\d+)`, "m");
    return Number(line.exec(text)?.[1]);
  };
  expect(await lag()).toBe(16);
  await deleteUpTo(topic, 3);
  expect(await lag()).toBe(16);
  await deleteUpTo(topic, 15);
  expect(await lag()).toBe(5);
});

test.each([true, false])("DeleteRecords: a restart keeps it (clean stop: %p)", async (isClean) => {
  const running = await RunningBroker.start();
  try {
    using before = await PipelinedClient.connect(running.kafkaPort);
    await before.createTopic("partly");
    await before.createTopic("wholly");
    for (const topic of ["partly", "wholly"]) {
      await before.produce(topic, batchOfRecords(10));
      await before.produce(topic, batchOfRecords(10));
    }
    await before.deleteRecords("partly", { 0: 14 });
    await before.deleteRecords("wholly", { 0: -1 });
    if (!isClean) running.failure = new Error("stopped without a sync");
    await running.stop();
    await running.start();
    using after = await PipelinedClient.connect(running.kafkaPort);
    expect((await after.listOffset("partly", EARLIEST))?.offset).toBe(14);
    expect((await after.listOffset("wholly", EARLIEST))?.offset).toBe(20);
    expect((await after.fetch("partly", 13))?.errorCode).toBe(ErrorCode.offsetOutOfRange);
    const fetched = await after.fetch("partly", 14);
    expect(readBatchHeader(fetched?.records ?? new Uint8Array(0), 0).baseOffset).toBe(10);
    for (const topic of ["partly", "wholly"]) {
      expect((await after.produce(topic, batchOfRecords(1)))?.baseOffset).toBe(20);
    }
  } finally {
    await running.remove();
  }
});

test("DeleteRecords: files of the WAL whose records are deleted are given back, and a restart still knows", async () => {
  const flags = [
    "--wal-file-bytes",
    "1M",
    "--message-max-bytes",
    "400K",
    "--wal-indexing-interval-secs",
    "86400",
  ];
  const running = await RunningBroker.start(...flags);
  const walFileCount = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${running.httpPort}/metrics`)).text();
    return Number(/^chronik_wal_files (\d+)/m.exec(text)?.[1]);
  };
  try {
    using before = await PipelinedClient.connect(running.kafkaPort);
    await before.createTopic("big");
    const value = new Uint8Array(300_000).map((_, index) => (index * 2_654_435_761) >>> 24);
    const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
    const batch = encodeBatch(batchOf([record]));
    for (let count = 0; count < 12; count += 1) await before.produce("big", batch);
    const fileCount = await walFileCount();
    expect(fileCount).toBeGreaterThanOrEqual(4);
    await before.deleteRecords("big", { 0: -1 });
    while ((await walFileCount()) >= fileCount);
    running.failure = new Error("stopped without a sync");
    await running.stop();
    await running.start(...flags);
    using after = await PipelinedClient.connect(running.kafkaPort);
    expect((await after.listOffset("big", EARLIEST))?.offset).toBe(12);
    expect((await after.produce("big", batchOfRecords(1)))?.baseOffset).toBe(12);
  } finally {
    await running.remove();
  }
});
