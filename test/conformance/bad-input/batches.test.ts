/** Produce requests that are well formed and must not be believed: each is refused with Kafka's code. */
import { beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../../src/protocol/canonical-record.ts";
import { compress } from "../../../src/protocol/compression.ts";
import { ErrorCode } from "../../../src/protocol/errors.ts";
import { ApiKey } from "../../../src/protocol/generated/api-keys.ts";
import { writeCreateTopicsRequest } from "../../../src/protocol/generated/create-topics-request.ts";
import { readCreateTopicsResponse } from "../../../src/protocol/generated/create-topics-response.ts";
import { writeProduceRequest } from "../../../src/protocol/generated/produce-request.ts";
import { readProduceResponse } from "../../../src/protocol/generated/produce-response.ts";
import {
  ATTRIBUTES_OFFSET,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OFFSET,
  BATCH_LENGTH_OVERHEAD_BYTES,
  CONTROL_BIT,
  CRC_OFFSET,
  LAST_OFFSET_DELTA_OFFSET,
  RECORD_COUNT_OFFSET,
  writeCrc,
} from "../../../src/protocol/record-batch.ts";
import { batchOfValues } from "../../smoke/kafka-client.ts";
import { BrokerUnderTest, isPeer } from "./broker-under-test.ts";

const MIB = 2 ** 20;
const PRODUCE_VERSION = 12;
const CREATE_TOPICS_VERSION = 7;
const LAST_BATCH_POSITIONS = 200;

const broker = new BrokerUnderTest();
beforeAll(async () => {
  await broker.createTopic("victim");
});

/** Sends one batch with acks=all. @returns the error code */
async function produce(
  records: Uint8Array | null,
  { topic = "victim", partition = 0, acks = -1 } = {},
): Promise<number> {
  const client = await broker.connect();
  const reader = await client.exchange(ApiKey.produce, PRODUCE_VERSION, (writer) =>
    writeProduceRequest(
      writer,
      {
        acks,
        timeoutMs: 5_000,
        topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
      },
      PRODUCE_VERSION,
    ),
  );
  client.close();
  const { responses } = readProduceResponse(reader, PRODUCE_VERSION);
  return responses[0]?.partitionResponses[0]?.errorCode ?? Number.NaN;
}

/** A good batch, changed, with a checksum that fits again. */
function tampered(change: (batch: DataView) => void): Uint8Array {
  const batch = batchOfValues(["one", "two", "three"]).slice();
  change(new DataView(batch.buffer));
  writeCrc(batch, 0, batch.length);
  return batch;
}

test("bad input: a batch with any byte under the checksum changed is CORRUPT_MESSAGE", async () => {
  const batch = batchOfValues(["precious"]);
  const end = Math.min(batch.length, LAST_BATCH_POSITIONS);
  for (let position = CRC_OFFSET; position < end; position += 1) {
    const changed = batch.slice();
    changed[position] = (changed[position] ?? 0) ^ 0x01;
    expect(await produce(changed)).toBe(ErrorCode.corruptMessage);
  }
  await broker.expectOthersUnharmed();
});

test.each<[string, number, Uint8Array]>([
  ["half a header", ErrorCode.invalidRecord, batchOfValues(["half"]).slice(0, 40)],
  ["a batch cut in its records", ErrorCode.invalidRecord, batchOfValues(["cut"]).slice(0, -3)],
  [
    "a length that is too small",
    ErrorCode.corruptMessage,
    tampered((batch) => batch.setInt32(BATCH_LENGTH_OFFSET, 10)),
  ],
  [
    "a negative length",
    ErrorCode.corruptMessage,
    tampered((batch) => batch.setInt32(BATCH_LENGTH_OFFSET, -5)),
  ],
  [
    "a count of 2^31-1 records",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setInt32(RECORD_COUNT_OFFSET, 2 ** 31 - 1)),
  ],
  [
    "a negative count",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setInt32(RECORD_COUNT_OFFSET, -3)),
  ],
  [
    "a last offset that does not fit the count",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setInt32(LAST_OFFSET_DELTA_OFFSET, 9)),
  ],
  [
    "a record of negative length",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setUint8(BATCH_HEADER_BYTES, 0x05)),
  ],
  [
    "a record that is longer than the batch",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setUint8(BATCH_HEADER_BYTES, 0x7e)),
  ],
  [
    "a control batch of a client",
    ErrorCode.invalidRecord,
    tampered((batch) => batch.setInt16(ATTRIBUTES_OFFSET, CONTROL_BIT)),
  ],
  [
    "two batches at once",
    ErrorCode.invalidRecord,
    Uint8Array.from([...batchOfValues(["first"]), ...batchOfValues(["second"])]),
  ],
])("bad input: %s is refused", async (_, errorCode, records) => {
  expect(await produce(records)).toBe(errorCode);
  await broker.expectOthersUnharmed();
});

// The peer never answers these.
test.skipIf(isPeer).each<[string, Uint8Array | null]>([
  ["null records", null],
  ["empty records", new Uint8Array(0)],
])("bad input: %s are answered with an error", async (_, records) => {
  expect(await produce(records)).not.toBe(ErrorCode.none);
  await broker.expectOthersUnharmed();
});

test("bad input: a batch over the topic's limit is MESSAGE_TOO_LARGE", async () => {
  expect(await produce(batchOfValues(["x".repeat(2 * MIB)]))).toBe(ErrorCode.messageTooLarge);
  await broker.expectOthersUnharmed();
});

test("bad input: a small batch that unfolds to 100 MiB fills no memory", async () => {
  const section = compress("zstd", new Uint8Array(100 * MIB));
  const bomb = new Uint8Array(BATCH_HEADER_BYTES + section.length);
  bomb.set(batchOfValues(["header"]).subarray(0, BATCH_HEADER_BYTES));
  bomb.set(section, BATCH_HEADER_BYTES);
  const view = new DataView(bomb.buffer);
  view.setInt32(BATCH_LENGTH_OFFSET, bomb.length - BATCH_LENGTH_OVERHEAD_BYTES);
  view.setInt16(ATTRIBUTES_OFFSET, 4);
  writeCrc(bomb, 0, bomb.length);
  await broker.expectNoGrowth(async () => {
    for (let round = 0; round < 5; round += 1) {
      await produce(bomb); // Kafka opens it and refuses; Chronik keeps it as it came.
    }
    await broker.expectOthersUnharmed();
  });
});

test("bad input: a partition, acks and a topic that do not exist", async () => {
  const batch = batchOfValues(["lost"]);
  const unknown = ErrorCode.unknownTopicOrPartition;
  expect(await produce(batch, { partition: 99 })).toBe(unknown);
  expect(await produce(batch, { partition: -1 })).toBe(unknown);
  expect(await produce(batch, { topic: "no-such-topic" })).toBe(unknown);
  expect(await produce(batch, { acks: 5 })).toBe(ErrorCode.invalidRequiredAcks);
});

test("bad input: a record without a key in a compacted topic is INVALID_RECORD", async () => {
  expect(await createTopic("compacted", [{ name: "cleanup.policy", value: "compact" }])).toBe(0);
  await broker.createTopic("compacted");
  const keyless = batchOfValues(["no key"]);
  expect(await produce(keyless, { topic: "compacted" })).toBe(ErrorCode.invalidRecord);
  const keyed = batchOfValues(["a value"], "a key");
  expect(await produce(keyed, { topic: "compacted" })).toBe(ErrorCode.none);
});

test.each([
  ["nothing", ""],
  ["a dot", "."],
  ["two dots", ".."],
  ["a space", "with space"],
  ["a slash", "../../etc/passwd"],
  ["an umlaut", "umläut"],
  ["a line end", "line\n"],
  ["250 letters", "x".repeat(250)],
])("bad input: a topic cannot be named with %s", async (_, topic) => {
  expect(await createTopic(topic)).toBe(ErrorCode.invalidTopicException);
  const client = await broker.connect();
  expect(await client.touchTopic(topic)).toBe(ErrorCode.invalidTopicException);
  client.close();
  await broker.expectOthersUnharmed();
});

test.each([
  ["0 partitions", 0, 1],
  ["-5 partitions", -5, 1],
  ["2^31-1 partitions", 2 ** 31 - 1, 1],
  ["three replicas", 1, 3],
])("bad input: a topic cannot have %s", async (_, numPartitions, replicationFactor) => {
  const errorCode = await createTopic("sized", [], { numPartitions, replicationFactor });
  expect(errorCode).not.toBe(ErrorCode.none);
  await broker.expectOthersUnharmed();
});

async function createTopic(
  name: string,
  configs: { name: string; value: string }[] = [],
  { numPartitions = 1, replicationFactor = 1 } = {},
): Promise<number> {
  const client = await broker.connect();
  const reader = await client.exchange(ApiKey.createTopics, CREATE_TOPICS_VERSION, (writer) =>
    writeCreateTopicsRequest(
      writer,
      {
        topics: [{ name, numPartitions, replicationFactor, configs, assignments: [] }],
        timeoutMs: 5_000,
      },
      CREATE_TOPICS_VERSION,
    ),
  );
  client.close();
  const { topics } = readCreateTopicsResponse(reader, CREATE_TOPICS_VERSION);
  return topics[0]?.errorCode ?? Number.NaN;
}

test("bad input: a batch whose offsets do not begin at 0 is INVALID_RECORD", async () => {
  const record = {
    offset: 1_000_000,
    timestampMs: Date.now(),
    key: null,
    value: new TextEncoder().encode("far"),
    headers: [],
    attributes: 0,
  };
  expect(await produce(encodeBatch(batchOf([record])))).toBe(ErrorCode.invalidRecord);
});
