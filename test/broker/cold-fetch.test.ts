/** Consumers that read the WAL's files at the same time: the buffers that pass from one to the next mix nothing up. */

import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { batchesIn, readBatchHeader, verifyBatch } from "../../src/protocol/record-batch.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const SEED = Number(Bun.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const TOPICS = ["a", "b", "c", "d"];
const BATCH_COUNT = 40;
const VALUE_BYTES_MAX = 200_000;
/** Most of what is sent is soon in files only. */
const FLAGS = [
  "--wal-slab-bytes",
  "1M",
  "--message-max-bytes",
  "512K",
  "--wal-indexing-interval-secs",
  "86400",
];
/** Behind what the broker sets: base offset, length, leader epoch. */
const FIRST_SENT_POSITION = 16;

function batchWith(random: Random): Uint8Array {
  const value = new Uint8Array(Math.floor(random() * VALUE_BYTES_MAX)).map(() => random() * 256);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  return encodeBatch(batchOf([record]));
}

/** Everything of a topic, from answers of random sizes. */
async function readAll(client: PipelinedClient, topic: string, random: Random): Promise<Buffer[]> {
  const read: Buffer[] = [];
  while (read.length < BATCH_COUNT) {
    const maxBytes = 1 + Math.floor(random() * 2 ** 20);
    const answer = await client.fetch(topic, read.length, { maxBytes });
    const bytes = answer?.records ?? new Uint8Array(0);
    for (const [start, end] of batchesIn(bytes)) {
      verifyBatch(bytes, start, end);
      expect(readBatchHeader(bytes, start).baseOffset).toBe(read.length);
      read.push(Buffer.from(bytes.subarray(start + FIRST_SENT_POSITION, end)));
    }
  }
  return read;
}

test(`cold fetch: four consumers at once get what was sent, time and again (SEED=${SEED})`, async () => {
  const random = seededRandom(SEED);
  const broker = await RunningBroker.start(...FLAGS);
  const clients = await Promise.all(TOPICS.map(() => PipelinedClient.connect(broker.kafkaPort)));
  try {
    const sent = new Map<string, Buffer[]>(TOPICS.map((topic) => [topic, []]));
    for (const topic of TOPICS) await clients[0]?.createTopic(topic);
    for (let round = 0; round < BATCH_COUNT; round += 1) {
      for (const topic of TOPICS) {
        const batch = batchWith(random);
        expect((await clients[0]?.produce(topic, batch))?.errorCode).toBe(0);
        sent.get(topic)?.push(Buffer.from(batch.subarray(FIRST_SENT_POSITION)));
      }
    }
    for (let round = 0; round < 3; round += 1) {
      const reads = clients.map(async (client, index) => {
        const topic = TOPICS[index] ?? "";
        const read = await readAll(client, topic, random);
        const isSame = Buffer.concat(read).equals(Buffer.concat(sent.get(topic) ?? []));
        expect([topic, read.length, isSame]).toEqual([topic, BATCH_COUNT, true]);
      });
      await Promise.all(reads);
    }
  } finally {
    for (const client of clients) client.close();
    await broker.remove();
  }
});
