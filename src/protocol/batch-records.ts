/** From a stored batch to its records, compressed or not: the one way for everything that reads records. */

import { DECOMPRESSED_BYTES_LIMIT, decompress } from "./compression.ts";
import { RecordCursor } from "./record.ts";
import { BATCH_HEADER_BYTES, type BatchHeader } from "./record-batch.ts";

/** A section of uncompressed records: `bytes` from `start` to `end`. */
export interface RecordsSection {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * The uncompressed records of the whole batch at `position`, whose header is `header`: a part of `bytes` itself
 * if the batch is not compressed, else a new array.
 * @throws KafkaError as `decompress`.
 */
export function recordsSectionOf(
  bytes: Uint8Array,
  position: number,
  header: BatchHeader,
  limitBytes = DECOMPRESSED_BYTES_LIMIT,
): RecordsSection {
  const start = position + BATCH_HEADER_BYTES;
  const end = position + header.sizeBytes;
  // Compaction may have left nothing but the header.
  if (header.compression === "none" || start === end) return { bytes, start, end };
  const content = decompress(header.compression, bytes.subarray(start, end), limitBytes);
  return { bytes: content, start: 0, end: content.length };
}

/** A walk over the records of the batch at `position`. @throws KafkaError as `decompress`. */
export function recordsOf(
  bytes: Uint8Array,
  position: number,
  header: BatchHeader,
  limitBytes = DECOMPRESSED_BYTES_LIMIT,
): RecordCursor {
  const section = recordsSectionOf(bytes, position, header, limitBytes);
  return new RecordCursor(section.bytes, header.recordCount, section.start, section.end);
}
