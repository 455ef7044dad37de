/** A client that does not read: its answers wait in bounded memory, all of them arrive, others are served meanwhile. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const VALUE_BYTES = 200_000;
const BATCH_COUNT = 20;

setDefaultTimeout(30_000);

let broker: RunningBroker;
let client: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.start();
  client = await PipelinedClient.connect(broker.kafkaPort);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

test("slow reader: every answer arrives whole and in order once it reads", async () => {
  await client.createTopic("large");
  const value = new Uint8Array(VALUE_BYTES).fill(120);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  const batch = encodeBatch(batchOf([record]));
  for (let count = 0; count < BATCH_COUNT; count += 1) await client.produce("large", batch);

  using slow = await PipelinedClient.connect(broker.kafkaPort);
  slow.setReading(false);
  const limits = { maxBytes: 2 * VALUE_BYTES + 1000 };
  const fetches = Array.from({ length: BATCH_COUNT }, (_, offset) =>
    slow.fetch("large", offset, limits),
  );
  expect((await client.fetch("large", 0, limits))?.records?.length).toBeGreaterThan(VALUE_BYTES);
  expect((await client.produce("large", batch))?.baseOffset).toBe(BATCH_COUNT);
  slow.setReading(true);
  for (const [offset, fetched] of (await Promise.all(fetches)).entries()) {
    const view = new DataView((fetched?.records ?? new Uint8Array(8)).slice().buffer);
    expect(Number(view.getBigInt64(0))).toBe(offset);
    expect(fetched?.records?.length).toBeGreaterThan(VALUE_BYTES);
  }
});

test("slow reader: one that goes away leaves nothing behind", async () => {
  const slow = await PipelinedClient.connect(broker.kafkaPort);
  slow.setReading(false);
  const fetches = Array.from({ length: BATCH_COUNT }, (_, offset) => slow.fetch("large", offset));
  slow.close();
  const results = await Promise.allSettled(fetches);
  expect(results.some(({ status }) => status === "rejected")).toBe(true);
  expect((await client.fetch("large", 0))?.errorCode).toBe(0);
});
