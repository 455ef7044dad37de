/**
 * Lets Apache Kafka 4.3.1 compact a topic, and keeps what went in and what came out for the tests:
 *
 *   bun test/conformance/compacted-by-kafka.ts    writes test/fixtures/segment/compacted-by-kafka.json
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { batchOf, decodeBatch, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { batchesIn } from "../../src/protocol/record-batch.ts";
import { createTopic } from "../bench/topic-access.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker } from "./broker.ts";
import { kafka } from "./broker-kinds.ts";
import { CACHE_DIRECTORY, PROJECT_DIRECTORY } from "./paths.ts";

const TOPIC = "compacted";
const DELETE_RETENTION_MS = 100_000_000;
const BATCH_COUNT = 60;
/** Records that are later than that go to another segment; Kafka leaves its last one alone. */
const SEGMENT_MS = 2000;
const CONFIGS = {
  "cleanup.policy": "compact",
  "min.cleanable.dirty.ratio": "0.001",
  "segment.ms": String(SEGMENT_MS),
  "delete.retention.ms": String(DELETE_RETENTION_MS),
};
const CODECS = ["none", "none", "none", "gzip", "snappy", "lz4", "zstd"] as const;
const TRIES = 30;

const random = seededRandom(1);
const below = (limit: number): number => Math.floor(random() * limit);

/** Keys come again and again, some values are null, and a part of the batches is an idempotent producer's. */
function batchesToSend(nowMs: number): Uint8Array[] {
  let baseSequence = 0;
  return Array.from({ length: BATCH_COUNT }, (_, index) => {
    const count = 1 + below(5);
    const records = Array.from({ length: count }, (_unused, offset) => ({
      ...{ offset, timestampMs: nowMs + index * 10 - below(30), attributes: 0 },
      key: Buffer.from(`k${below(25)}`),
      value: below(6) === 0 ? null : Buffer.from(`v${index}-${offset}`),
      headers: below(3) === 0 ? [{ key: Buffer.from("h"), value: null }] : [],
    }));
    const compression = CODECS[below(CODECS.length)] ?? "none";
    if (index < 5 || index >= 30) return encodeBatch(batchOf(records, { compression }));
    const producer = { producerId: 4000, producerEpoch: 0, baseSequence };
    baseSequence += count;
    return encodeBatch(batchOf(records, { compression, ...producer }));
  });
}

async function readAll(client: PipelinedClient): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for (let offset = 0; ; ) {
    const records = (await client.fetch(TOPIC, offset))?.records ?? new Uint8Array(0);
    if (records.length === 0) return found;
    for (const [start, end] of batchesIn(records)) {
      const batch = records.slice(start, end);
      const { baseOffset, lastOffsetDelta } = decodeBatch(batch);
      found.push(batch);
      offset = baseOffset + lastOffsetDelta + 1;
    }
  }
}

const directory = join(CACHE_DIRECTORY, "compacted-by-kafka");
const broker = await Broker.start(kafka({ properties: ["log.cleaner.backoff.ms=500"] }), directory);
try {
  await createTopic(broker, { name: TOPIC, partitionCount: 1, configs: CONFIGS });
  using client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  const sent = batchesToSend(Date.now());
  for (const batch of sent) {
    const answer = await client.produce(TOPIC, batch.slice());
    if (answer?.errorCode !== 0) throw new Error(`Producing failed: ${answer?.errorCode}`);
  }
  const before = await readAll(client);
  // By the records' times, another segment begins.
  const [first] = batchesToSend(Date.now() + 2 * SEGMENT_MS);
  await client.produce(TOPIC, first ?? new Uint8Array(0));
  let after = before;
  for (let tries = 0; after.length >= before.length && tries < TRIES; tries += 1) {
    await Bun.sleep(1000);
    after = await readAll(client);
  }
  if (after.length >= before.length) throw new Error("Kafka did not compact it.");
  const base64 = (batches: readonly Uint8Array[]) => batches.map((one) => one.toBase64());
  const kept = {
    deleteRetentionMs: DELETE_RETENTION_MS,
    before: base64(before),
    // Without the batch that began another segment.
    after: base64(after.slice(0, -1)),
  };
  const path = join(PROJECT_DIRECTORY, "test/fixtures/segment/compacted-by-kafka.json");
  writeFileSync(path, `${JSON.stringify(kept, null, 1)}\n`);
} finally {
  await broker.kill();
  rmSync(directory, { recursive: true, force: true });
}
process.exit(0);
