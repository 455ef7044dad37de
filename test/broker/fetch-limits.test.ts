/** Fetches under pressure: bounded memory for what is loaded, hostile limits, clients and topics that go. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Disk, type DiskFile, systemDisk } from "../../src/core/disk.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeDeleteTopicsRequest } from "../../src/protocol/generated/delete-topics-request.ts";
import { readDeleteTopicsResponse } from "../../src/protocol/generated/delete-topics-response.ts";
import { writeFetchRequest } from "../../src/protocol/generated/fetch-request.ts";
import { readFetchResponse } from "../../src/protocol/generated/fetch-response.ts";
import { writeMetadataRequest } from "../../src/protocol/generated/metadata-request.ts";
import { readMetadataResponse } from "../../src/protocol/generated/metadata-response.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const MIB = 2 ** 20;
const VALUE_BYTES = 100_000;
const BATCH_COUNT = 10;
/** Half of it is for answers. */
const FLAGS = ["--in-flight-bytes-max", String(2 * MIB)];
const ANSWERS_BYTES_MAX = MIB;

/** Reads of the WAL, which can be held back; counts how much was being read at once. */
class ReadGate {
  readingBytes = 0;
  readingBytesMax = 0;
  readCount = 0;
  #gate: Promise<void> = Promise.resolve();
  readonly disk: Disk = {
    ...systemDisk,
    open: async (path, mode) => this.#gated(await systemDisk.open(path, mode)),
  };

  /** @returns opens it again */
  close(): () => void {
    this.readingBytesMax = 0;
    this.readCount = 0;
    let open = (): void => {};
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => open();
  }

  #gated(file: DiskFile): DiskFile {
    if (!file.path.includes("/wal/")) return file;
    return {
      path: file.path,
      sizeBytes: () => file.sizeBytes(),
      write: (bytes, position) => file.write(bytes, position),
      writeDurably: (bytes, position) => file.writeDurably(bytes, position),
      sync: () => file.sync(),
      resize: (sizeBytes) => file.resize(sizeBytes),
      close: () => file.close(),
      read: async (target, position) => {
        this.readCount += 1;
        this.readingBytes += target.length;
        this.readingBytesMax = Math.max(this.readingBytesMax, this.readingBytes);
        await this.#gate;
        this.readingBytes -= target.length;
        return file.read(target, position);
      },
    };
  }
}

const gate = new ReadGate();
let broker: RunningBroker;
let client: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.startOn(gate.disk, ...FLAGS);
  client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic("cold");
  for (let count = 0; count < BATCH_COUNT; count += 1) await client.produce("cold", batch());
  client.close();
  // After a restart nothing of it is in memory.
  await broker.stop();
  await broker.start(...FLAGS);
  client = await PipelinedClient.connect(broker.kafkaPort);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

function batch(valueBytes = VALUE_BYTES): Uint8Array {
  const value = new Uint8Array(valueBytes).fill(120);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  return encodeBatch(batchOf([record]));
}

async function topicIdOf(name: string): Promise<string> {
  const reader = await client.exchange(ApiKey.metadata, 12, (writer) =>
    writeMetadataRequest(writer, { topics: [{ name }] }, 12),
  );
  return readMetadataResponse(reader, 12).topics[0]?.topicId ?? "";
}

async function deleteTopic(name: string): Promise<void> {
  const reader = await client.exchange(ApiKey.deleteTopics, 5, (writer) =>
    writeDeleteTopicsRequest(writer, { topicNames: [name], timeoutMs: 1000 }, 5),
  );
  expect(readDeleteTopicsResponse(reader, 5).responses[0]?.errorCode).toBe(ErrorCode.none);
}

test("fetch: many at once of what is not in memory load no more than the memory for answers", async () => {
  const open = gate.close();
  const clients = await Promise.all(
    Array.from({ length: 40 }, () => PipelinedClient.connect(broker.kafkaPort)),
  );
  const limits = { maxBytes: 2 * VALUE_BYTES, maxWaitMs: 60_000 };
  const fetches = clients.map((each, index) => each.fetch("cold", index % BATCH_COUNT, limits));
  // By its answer every fetch before it has begun: they came earlier.
  for (let count = 0; count < 5; count += 1) await topicIdOf("cold");
  expect(gate.readingBytes).toBeGreaterThan(0);
  open();
  for (const fetched of await Promise.all(fetches)) {
    expect(fetched?.errorCode).toBe(ErrorCode.none);
    expect(fetched?.records?.length).toBeGreaterThan(VALUE_BYTES);
  }
  expect(gate.readingBytesMax).toBeLessThanOrEqual(1.25 * ANSWERS_BYTES_MAX);
  for (const each of clients) each.close();
});

test("fetch: a client that has gone while it waited is not loaded for", async () => {
  const open = gate.close();
  const waiting = await PipelinedClient.connect(broker.kafkaPort);
  const polled = waiting.fetch("cold", 9, { minBytes: 2 * VALUE_BYTES, maxWaitMs: 600_000 });
  await topicIdOf("cold");
  expect(gate.readCount).toBe(0);
  waiting.close();
  await expect(polled).rejects.toThrow("closed");
  for (let count = 0; count < 20; count += 1) await topicIdOf("cold");
  expect(gate.readCount).toBe(0);
  open();
});

test("fetch: more bytes than the answer may hold are not waited for", async () => {
  await client.createTopic("little");
  for (let count = 0; count < 3; count += 1) await client.produce("little", batch(500));
  const limits = { minBytes: 2 ** 31 - 1, maxWaitMs: 600_000 };
  const fetched = await client.fetch("little", 0, { ...limits, maxBytes: 1000 });
  expect(fetched?.records?.length).toBeGreaterThan(500);
});

test("fetch: of a topic that is deleted meanwhile is answered with its code, by id and by name", async () => {
  for (const [version, code] of [
    [13, ErrorCode.unknownTopicId],
    [12, ErrorCode.unknownTopicOrPartition],
  ] as const) {
    const topic = `short-lived-${version}`;
    await client.createTopic(topic);
    const topicId = await topicIdOf(topic);
    const waiting = await PipelinedClient.connect(broker.kafkaPort);
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: MIB }];
    const name = version === 13 ? { topicId } : { topic };
    const polled = waiting.exchange(ApiKey.fetch, version, (writer) =>
      writeFetchRequest(
        writer,
        { maxWaitMs: 600_000, minBytes: 1, sessionEpoch: -1, topics: [{ ...name, partitions }] },
        version,
      ),
    );
    await topicIdOf(topic);
    await deleteTopic(topic);
    const { responses } = readFetchResponse(await polled, version);
    expect(responses[0]?.partitions[0]?.errorCode).toBe(code);
    waiting.close();
  }
});
