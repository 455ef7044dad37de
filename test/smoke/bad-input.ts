/** Hostile and broken input to the compiled file: an error for that client, nothing for the others, no growth. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { batchOfValues, RawKafkaClient } from "./kafka-client.ts";
import { LonelyDirectory, type Ready } from "./server-process.ts";

const MIB = 2 ** 20;

let directory: LonelyDirectory;
let ready: Ready;
let bystander: RawKafkaClient;
let bystanderOffset = 0;

beforeAll(async () => {
  directory = new LonelyDirectory();
  ready = await directory.start();
  bystander = await RawKafkaClient.connect(ready.kafkaPort);
  expect(await bystander.touchTopic("bystander")).toBe(0);
});
afterAll(() => directory.remove());

/** The connection that was open before is served as ever, and new ones are taken. */
async function expectOthersUnharmed(): Promise<void> {
  const batch = batchOfValues(["all is well"]);
  const answer = { errorCode: 0, baseOffset: bystanderOffset };
  expect(await bystander.produce("bystander", batch)).toMatchObject(answer);
  bystanderOffset += 1;
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  expect(await client.touchTopic("bystander")).toBe(0);
  client.close();
}

function residentBytes(): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${directory.pid}/status`, "utf8"));
  return Number(match?.[1]) * 1024;
}

/** A frame's bytes: its length, or another that is announced instead, and the body. */
function frame(writeBody: (writer: Writer) => void, announcedBytes?: number): Uint8Array {
  const writer = new Writer();
  writer.writeInt32(0);
  writeBody(writer);
  writer.setInt32At(0, announcedBytes ?? writer.position - 4);
  return writer.bytesWritten().slice();
}

function header(writer: Writer, apiKey: number, apiVersion: number): void {
  writer.writeInt16(apiKey);
  writer.writeInt16(apiVersion);
  writer.writeInt32(1);
  writer.writeNullableString("hostile");
}

/** Produce v3 up to the number of topics, which is `topicCount`. */
function produceOf(topicCount: number): Uint8Array {
  return frame((writer) => {
    header(writer, ApiKey.produce, 3);
    writer.writeNullableString(null);
    writer.writeInt16(-1);
    writer.writeInt32(1000);
    writer.writeInt32(topicCount);
  });
}

/** Produce v3 whose one topic's name has a length of `nameBytes`, and no bytes. */
function produceWithName(nameBytes: number): Uint8Array {
  const before = produceOf(1).slice(4);
  return frame((writer) => {
    writer.writeRaw(before);
    writer.writeInt16(nameBytes);
  });
}

/** Produce v3 whose one partition's records have a length of `recordsBytes`, and 10 bytes. */
function produceWithRecords(recordsBytes: number): Uint8Array {
  const before = produceOf(1).slice(4);
  return frame((writer) => {
    writer.writeRaw(before);
    writer.writeString("bystander");
    writer.writeInt32(1);
    writer.writeInt32(0);
    writer.writeInt32(recordsBytes);
    writer.writeRaw(new Uint8Array(10));
  });
}

const closing: [string, Uint8Array][] = [
  ["an HTTP request", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
  ["a TLS greeting", Uint8Array.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 3, 3])],
  ["bytes that are all 255", new Uint8Array(64).fill(255)],
  ["a frame of length -1", frame(() => {}, -1)],
  ["a frame of length -2^31", frame(() => {}, -(2 ** 31))],
  ["a frame of length 2^31-1", frame(() => {}, 2 ** 31 - 1)],
  ["a frame over the limit", frame(() => {}, 101 * MIB)],
  ["a frame too short for a header", frame((writer) => writer.writeInt16(0))],
  ["an unknown API", frame((writer) => header(writer, 9999, 0))],
  ["an unknown version", frame((writer) => header(writer, ApiKey.metadata, 99))],
  ["a produce request of 2^31-1 topics", produceOf(2 ** 31 - 1)],
  ["a produce request of -5 topics", produceOf(-5)],
  ["a topic name of 32767 bytes that are not there", produceWithName(32_767)],
  ["a topic name of length -2", produceWithName(-2)],
  ["records of 2^31-1 bytes that are not there", produceWithRecords(2 ** 31 - 1)],
  ["records of length -2^31", produceWithRecords(-(2 ** 31))],
];

test.each(closing)("bad input: %s closes that connection alone", async (_, bytes) => {
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  client.sendRaw(bytes);
  await client.whenClosed();
  await expectOthersUnharmed();
});

test("bad input: a request cut at any byte harms nobody", async () => {
  const whole = produceWithRecords(10);
  for (let end = 1; end < whole.length; end += 1) {
    const client = await RawKafkaClient.connect(ready.kafkaPort);
    client.sendRaw(whole.subarray(0, end));
    client.close();
  }
  await expectOthersUnharmed();
});

test("bad input: memory follows what arrives, not what is announced", async () => {
  await expectOthersUnharmed();
  const beforeBytes = residentBytes();
  const clients = await Promise.all(
    Array.from({ length: 100 }, () => RawKafkaClient.connect(ready.kafkaPort)),
  );
  for (const client of clients)
    client.sendRaw(frame((w) => header(w, ApiKey.produce, 3), 40 * MIB));
  await expectOthersUnharmed();
  expect(residentBytes() - beforeBytes).toBeLessThan(64 * MIB);
  for (const client of clients) client.close();
  await expectOthersUnharmed();
});

test("bad input: a batch with any bit flipped is CORRUPT_MESSAGE, and the connection goes on", async () => {
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  const batch = batchOfValues(["precious"]);
  for (const position of [21, 40, 57, 61, batch.length - 1]) {
    const flipped = batch.slice();
    flipped[position] = (flipped[position] ?? 0) ^ 1;
    expect((await client.produce("bystander", flipped)).errorCode).toBe(ErrorCode.corruptMessage);
  }
  await expectOthersUnharmed();
});

test.each<[string, Uint8Array | null]>([
  ["null records", null],
  ["no records", new Uint8Array(0)],
  ["records that are no batch", new Uint8Array(100).fill(7)],
  ["half a batch", batchOfValues(["half"]).slice(0, 40)],
])("bad input: %s are refused with an error code", async (_, records) => {
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  expect((await client.produce("bystander", records)).errorCode).not.toBe(ErrorCode.none);
  await expectOthersUnharmed();
});

test("bad input: a batch over the topic's limit is MESSAGE_TOO_LARGE", async () => {
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  const batch = batchOfValues(["x".repeat(2 * MIB)]);
  expect((await client.produce("bystander", batch)).errorCode).toBe(ErrorCode.messageTooLarge);
  await expectOthersUnharmed();
});

test.each([
  ["nothing", ""],
  ["a dot", "."],
  ["two dots", ".."],
  ["a space", "with space"],
  ["a slash", "with/slash"],
  ["an umlaut", "umläut"],
  ["250 letters", "x".repeat(250)],
])("bad input: a topic cannot be named with %s", async (_, topic) => {
  const client = await RawKafkaClient.connect(ready.kafkaPort);
  expect(await client.touchTopic(topic)).toBe(ErrorCode.invalidTopicException);
  await expectOthersUnharmed();
});

test.each<[string, string, RequestInit, number]>([
  ["a query that is no JSON", "/_search", { method: "POST", body: "{" }, 400],
  ["an unknown query", "/_search", { method: "POST", body: '{"query":{"near":{}}}' }, 400],
  ["a body over the limit", "/_search", { method: "POST", body: "x".repeat(3 * MIB) }, 413],
  ["an unknown path", "/nothing/here/at/all", {}, 404],
  ["another method", "/_search", { method: "DELETE" }, 405],
])("bad input: %s is answered over HTTP", async (_, path, init, status) => {
  const answer = await fetch(`http://127.0.0.1:${ready.httpPort}${path}`, init);
  expect(answer.status).toBe(status);
  await expectOthersUnharmed();
});
