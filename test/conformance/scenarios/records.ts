/** 10,000 records with everything that a record may have, produced and read back, in each codec. */

import { BATCH_HEADER_BYTES, readBatchHeader } from "../../../src/protocol/record-batch.ts";
import { PipelinedClient } from "../../broker/pipelined-client.ts";
import { generateRecords, type WireRecord } from "../records.ts";
import type { Bench, Scenario } from "../scenario.ts";
import { expectTrue, verifyRecords } from "../verify.ts";

export const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
export const PARTITIONS = 4;
const COUNT = 10_000;
const AGE_MS = 3_600_000;
const BASE_TIMESTAMP_MS = Date.now() - AGE_MS;

export const recordScenarios: readonly Scenario[] = CODECS.map((codec) => ({
  name: `records-${codec}`,
  title: `10,000 records, ${codec === "none" ? "uncompressed" : codec}: keys, headers, nulls, timestamps, offsets`,
  run: async (bench) => {
    const topic = recordsTopicOf(bench.client.name, codec);
    await bench.createTopic(topic, PARTITIONS);
    const sent = recordsOf(bench);
    const acks = await bench.produce({ topic, records: sent, codec });
    const read = await bench.consume(topic, PARTITIONS, sent.length);
    verifyRecords({ sent, acks, read });
    const stored = await storedCodecs(bench, topic);
    expectTrue(stored.has(codec), `${codec} is among the stored codecs: ${[...stored]}`);
    return undefined;
  },
}));

/** The codecs of the batches at the start of partition 0: a client that ignores the setting would pass otherwise. */
async function storedCodecs({ broker }: Bench, topic: string): Promise<Set<string>> {
  using client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  const answer = await client.fetch(topic, 0);
  const records = answer?.records ?? new Uint8Array(0);
  const codecs = new Set<string>();
  let position = 0;
  while (position + BATCH_HEADER_BYTES <= records.length) {
    const { compression, sizeBytes } = readBatchHeader(records, position);
    codecs.add(compression);
    position += sizeBytes;
  }
  return codecs;
}

export function recordsTopicOf(clientName: string, codec: string): string {
  return `${clientName}-records-${codec}`;
}

/** What this client sends, the same in every codec. */
export function recordsOf(bench: Pick<Bench, "client">): WireRecord[] {
  return generateRecords({
    count: COUNT,
    partitions: PARTITIONS,
    baseTimestampMs: BASE_TIMESTAMP_MS,
    limits: bench.client.limits,
  });
}
