/** Bytes that are no request end the connection they came through, and nothing else. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeFetchRequest } from "../../src/protocol/generated/fetch-request.ts";
import { writeRequestHeader } from "../../src/protocol/request-header.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const BAD_LENGTH = new Uint8Array(4).fill(0xff);
const FETCH_VERSION = 12;

let broker: RunningBroker;
let bystander: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.start();
  bystander = await PipelinedClient.connect(broker.kafkaPort);
  await bystander.createTopic("known");
});
afterAll(async () => {
  bystander.close();
  await broker.remove();
});

function fetchRequest(maxWaitMs: number): Uint8Array {
  const writer = new Writer();
  writer.writeInt32(0);
  const header = { apiKey: ApiKey.fetch, apiVersion: FETCH_VERSION, correlationId: 1 };
  writeRequestHeader(writer, { ...header, clientId: "hostile" });
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }];
  const topics = [{ topic: "known", partitions }];
  const limits = { maxWaitMs, minBytes: 1, maxBytes: 1000, sessionEpoch: -1 };
  writeFetchRequest(writer, { ...limits, topics }, FETCH_VERSION);
  writer.setInt32At(0, writer.position - 4);
  return writer.bytesWritten().slice();
}

/** Sends `chunks`. @returns the number of bytes that came back before the broker closed */
async function sendAndAwaitEnd(...chunks: readonly Uint8Array[]): Promise<number> {
  const ended = Promise.withResolvers<void>();
  let receivedBytes = 0;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: broker.kafkaPort,
    socket: {
      data: (_socket, chunk) => {
        receivedBytes += chunk.length;
      },
      close: () => ended.resolve(),
    },
  });
  socket.setNoDelay(true);
  for (const chunk of chunks) {
    socket.write(chunk);
    // The bystander's round trip makes it likely that the broker sees each chunk alone.
    await bystander.listOffset("known", -1);
  }
  await ended.promise;
  return receivedBytes;
}

test("hostile frames: a bad length alone ends the connection", async () => {
  expect(await sendAndAwaitEnd(BAD_LENGTH)).toBe(0);
  expect(broker.failure).toBeUndefined();
});

test("hostile frames: a bad length behind a waiting request, in one piece or two", async () => {
  const fetch = fetchRequest(200);
  expect(await sendAndAwaitEnd(Buffer.concat([fetch, BAD_LENGTH]))).toBeGreaterThan(0);
  expect(await sendAndAwaitEnd(fetch, BAD_LENGTH)).toBeGreaterThan(0);
  expect((await bystander.fetch("known", 0))?.errorCode).toBe(0);
});

test("hostile frames: none of the connections is left behind", async () => {
  const metrics = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text();
  expect(/^chronik_connections (\d+)$/m.exec(metrics)?.[1]).toBe("1");
});
