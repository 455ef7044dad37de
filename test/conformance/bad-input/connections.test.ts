/** Connections that behave badly in time: they come and go by the thousand, do not read, or ask without waiting. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { ApiKey } from "../../../src/protocol/generated/api-keys.ts";
import { writeFetchRequest } from "../../../src/protocol/generated/fetch-request.ts";
import { writeMetadataRequest } from "../../../src/protocol/generated/metadata-request.ts";
import { writeProduceRequest } from "../../../src/protocol/generated/produce-request.ts";
import { readProduceResponse } from "../../../src/protocol/generated/produce-response.ts";
import { Reader } from "../../../src/protocol/reader.ts";
import { readResponseHeader, writeRequestHeader } from "../../../src/protocol/request-header.ts";
import { Writer } from "../../../src/protocol/writer.ts";
import { batchOfValues } from "../../smoke/kafka-client.ts";
import { BrokerUnderTest } from "./broker-under-test.ts";

const MIB = 2 ** 20;
const VERSION = 12;
const CONNECTION_COUNT = 3_000;
const TOGETHER = 60;
const IDLE_MS = 500;

const broker = new BrokerUnderTest();

function request(apiKey: number, correlationId: number, writeBody: (writer: Writer) => void) {
  const writer = new Writer();
  writer.writeInt32(0);
  writeRequestHeader(writer, { apiKey, apiVersion: VERSION, correlationId, clientId: "bad" });
  writeBody(writer);
  writer.setInt32At(0, writer.position - 4);
  return writer.bytesWritten().slice();
}

function produceRequest(correlationId: number, topic: string, value: string): Uint8Array {
  const partitionData = [{ index: 0, records: batchOfValues([value]) }];
  const body = { acks: -1, timeoutMs: 5_000, topicData: [{ name: topic, partitionData }] };
  return request(ApiKey.produce, correlationId, (w) => writeProduceRequest(w, body, VERSION));
}

function fetchRequest(
  correlationId: number,
  topic: string,
  { fetchOffset = 0, maxWaitMs = 0 } = {},
): Uint8Array {
  const partition = { partition: 0, fetchOffset, partitionMaxBytes: 8 * MIB };
  const topics = [{ topic, partitions: [partition] }];
  const body = { maxWaitMs, minBytes: 1, maxBytes: 8 * MIB, topics };
  return request(ApiKey.fetch, correlationId, (w) => writeFetchRequest(w, body, VERSION));
}

function metadataRequest(correlationId: number): Uint8Array {
  const body = { topics: [{ name: "bystander" }] };
  return request(ApiKey.metadata, correlationId, (w) => writeMetadataRequest(w, body, VERSION));
}

async function open(): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port: broker.port, host: "127.0.0.1" });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.on("error", () => undefined);
      resolve(socket);
    });
  });
}

/** Reads whole answers until there are `count`. */
async function readAnswers(socket: Socket, count: number): Promise<Uint8Array[]> {
  const answers: Uint8Array[] = [];
  const chunks: Buffer[] = [];
  let receivedBytes = 0;
  return await new Promise((resolve, reject) => {
    socket.once("close", () => reject(new Error(`closed after ${answers.length} answers`)));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      receivedBytes += chunk.length;
      const first = chunks[0];
      if (first && first.length >= 4 && receivedBytes < 4 + first.readInt32BE(0)) return;
      let rest = Buffer.concat(chunks.splice(0));
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const end = 4 + rest.readInt32BE(0);
        answers.push(new Uint8Array(rest.subarray(4, end)));
        rest = rest.subarray(end);
      }
      if (rest.length > 0) chunks.push(rest);
      receivedBytes = rest.length;
      if (answers.length >= count) resolve(answers);
    });
  });
}

function correlationIdOf(answer: Uint8Array): number {
  return new DataView(answer.buffer, answer.byteOffset).getInt32(0);
}

test("bad input: 3,000 connections that come and go leave nothing behind", async () => {
  const filesBefore = broker.openFileCount();
  await broker.expectNoGrowth(async () => {
    for (let start = 0; start < CONNECTION_COUNT; start += TOGETHER) {
      const sockets = await Promise.all(Array.from({ length: TOGETHER }, open));
      for (const [index, socket] of sockets.entries()) {
        if (index % 3 === 0) socket.write(metadataRequest(1).subarray(0, 1 + (index % 20)));
        if (index % 2 === 0) socket.resetAndDestroy();
        else socket.end();
      }
    }
    await broker.expectOthersUnharmed();
  });
  for (let tries = 0; tries < 100 && broker.openFileCount() > filesBefore + 10; tries += 1) {
    await Bun.sleep(20);
  }
  expect(broker.openFileCount()).toBeLessThanOrEqual(filesBefore + 10);
  const cpuBefore = broker.cpuSeconds();
  await Bun.sleep(IDLE_MS);
  expect(broker.cpuSeconds() - cpuBefore).toBeLessThan(IDLE_MS / 2_000);
});

test("bad input: pipelined requests of all kinds are answered in order", async () => {
  await broker.createTopic("pipelined");
  const socket = await open();
  const frames = Array.from({ length: 400 }, (_, index) => {
    switch (index % 4) {
      case 0:
        return produceRequest(index, "pipelined", `value ${index}`);
      case 1:
        return metadataRequest(index);
      case 2: // Waits for records that come a little later on the same connection, or for nothing.
        return fetchRequest(index, "bystander", { fetchOffset: 0, maxWaitMs: 20 });
      default:
        return fetchRequest(index, "pipelined");
    }
  });
  socket.write(Buffer.concat(frames));
  const answers = await readAnswers(socket, frames.length);
  socket.destroy();
  expect(answers.map(correlationIdOf)).toEqual(frames.map((_, index) => index));
  const offsets = answers
    .filter((_, index) => index % 4 === 0)
    .map((answer) => {
      const reader = new Reader(answer);
      readResponseHeader(reader, ApiKey.produce, VERSION);
      const { responses } = readProduceResponse(reader, VERSION);
      return responses[0]?.partitionResponses[0]?.baseOffset;
    });
  expect(offsets).toEqual(offsets.map((_, index) => index));
});

test("bad input: a client that asks for much and reads nothing holds up nobody", async () => {
  await broker.createTopic("large");
  const writer = await broker.connect();
  for (let round = 0; round < 16; round += 1) {
    expect(await writer.produce("large", batchOfValues(["y".repeat(MIB - 1_000)]))).toMatchObject({
      errorCode: 0,
    });
  }
  writer.close();
  const count = 24;
  await broker.expectNoGrowth(async () => {
    const socket = await open();
    socket.pause();
    const frames = Array.from({ length: count }, (_, index) => fetchRequest(index, "large"));
    socket.write(Buffer.concat(frames));
    for (let round = 0; round < 20; round += 1) await broker.expectOthersUnharmed();
    socket.resume();
    const answers = await readAnswers(socket, count);
    socket.destroy();
    expect(answers.map(correlationIdOf)).toEqual(frames.map((_, index) => index));
    // All answers together are 384 MiB. `in-flight-bytes-max` (63 MiB) bounds those that are held, and the collector
    // may not have taken as many again.
  }, 152 * MIB);
});

test("bad input: a request that arrives byte by byte is answered", async () => {
  const socket = await open();
  socket.setNoDelay(true);
  for (const byte of metadataRequest(7)) {
    socket.write(Uint8Array.of(byte));
    await Bun.sleep(0);
  }
  const [answer] = await readAnswers(socket, 1);
  socket.destroy();
  expect(answer && correlationIdOf(answer)).toBe(7);
});
