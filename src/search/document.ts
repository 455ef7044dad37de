/**
 * Which records of the WAL become documents, and on what bytes. A batch is decompressed and checked here; the
 * shim takes its records apart: key, value and headers as text (what is not UTF-8 becomes replacement
 * characters), and the leaves of JSON values by their paths.
 *
 * Control batches are no documents.
 */

import type { RecordPack } from "../core/record-pack.ts";
import { decompress } from "../protocol/compression.ts";
import { RecordCursor } from "../protocol/record.ts";
import { BATCH_HEADER_BYTES, type BatchHeader, readBatchHeader } from "../protocol/record-batch.ts";
import type { WalEntry } from "../wal/group-scan.ts";
import { batchOfLegacyPayload } from "../wal/legacy-entry.ts";
import { ENTRY_VERSION } from "../wal/wal-format.ts";

/** A batch with more content than this is not searchable, and not shown by a search. */
const SEARCH_BATCH_BYTES_LIMIT = 64 * 1024 * 1024;

/** The records of a stored batch, uncompressed: they are `records[start, end)`. */
export interface BatchRecords {
  readonly header: BatchHeader;
  readonly records: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * Adds the records of a batch entry to `pack`.
 * @returns how many there are. @throws KafkaError if the batch cannot be read; then nothing was added
 */
export function packEntry(pack: RecordPack, entry: WalEntry, topic: string): number {
  const isLegacy = entry.version < ENTRY_VERSION;
  const bytes = isLegacy ? batchOfLegacyPayload(entry.payload) : entry.payload;
  return packBatch(pack, bytes, { topicId: entry.topicId, topic, partition: entry.partition });
}

/** The same for a batch as it is stored. */
export function packBatch(
  pack: RecordPack,
  bytes: Uint8Array,
  place: { readonly topicId: string; readonly topic: string; readonly partition: number },
): number {
  const { header, records, start, end } = recordsOf(bytes);
  if (header.isControl || header.recordCount === 0) return 0;
  pack.add(
    {
      topicId: place.topicId,
      topic: place.topic,
      partition: place.partition,
      recordCount: header.recordCount,
      baseOffset: header.baseOffset,
      baseTimestampMs: header.baseTimestampMs,
      ...(header.timestampType === "LogAppendTime"
        ? { logAppendTimestampMs: header.maxTimestampMs }
        : {}),
    },
    records,
    start,
    end,
  );
  return header.recordCount;
}

/** Decompresses and checks a batch. @throws KafkaError if it is damaged or too large */
export function recordsOf(bytes: Uint8Array): BatchRecords {
  const header = readBatchHeader(bytes, 0);
  const isPlain = header.compression === "none";
  const records = isPlain
    ? bytes
    : decompress(header.compression, bytes.subarray(BATCH_HEADER_BYTES), SEARCH_BATCH_BYTES_LIMIT);
  const start = isPlain ? BATCH_HEADER_BYTES : 0;
  const end = records.length;
  const cursor = new RecordCursor(records, header.recordCount, start, end);
  while (cursor.next()) while (cursor.nextHeader());
  return { header, records, start, end };
}
