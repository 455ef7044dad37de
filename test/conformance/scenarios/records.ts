/** 10,000 records with everything that a record may have, produced and read back, in each codec. */

import { generateRecords, type WireRecord } from "../records.ts";
import type { Bench, Scenario } from "../scenario.ts";
import { verifyRecords } from "../verify.ts";

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
    return undefined;
  },
}));

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
