/** Turns one record of the WAL's first entry format into a batch of today's. */

import { batchOf, encodeBatch } from "./canonical-record.ts";
import type { RecordHeader } from "./record-writer.ts";

/** A record that was logged by itself, without producer, transaction or compression. */
export interface LegacyRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** An uncompressed batch of magic 2 that holds `record` alone, at its offset; leader epoch 0. */
export function batchOfLegacyRecord(record: LegacyRecord): Uint8Array {
  const { offset, timestampMs, key, value, headers } = record;
  return encodeBatch(batchOf([{ offset, timestampMs, key, value, headers, attributes: 0 }]));
}
