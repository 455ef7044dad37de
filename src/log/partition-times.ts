/**
 * Finds records of a partition by time (ListOffsets), exact to the record, CreateTime out of order included.
 *
 * Batches are opened one at a time and others get a turn in between: a client that asks for the times
 * of a large log makes only itself wait.
 */

import { nextTurn } from "../core/clock.ts";
import { recordsOf } from "../protocol/batch-records.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import type { Wal } from "../wal/wal.ts";
import { readBatches } from "./log-reader.ts";
import type { Partition } from "./partition.ts";

/** A record's place in time. */
export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
}

/** Batches are read this many bytes at a time. */
const SCAN_BYTES_MAX = 1024 * 1024;
/** A batch that is larger than this when it is decompressed is not looked into. */
const RECORDS_BYTES_MAX = 32 * 1024 * 1024;

/** The first record at or after `timestampMs` below the high watermark, in offset order. */
export async function firstRecordSince(
  wal: Wal,
  partition: Partition,
  timestampMs: number,
): Promise<TimestampedOffset | undefined> {
  const runIndex = partition.batches.indexOfTimestamp(timestampMs);
  if (runIndex === -1) return undefined;
  const offset = partition.batches.runAt(runIndex).baseOffset;
  const range = { offset, endOffset: partition.highWatermark };
  for await (const batch of batchesIn(wal, partition, range)) {
    const found = firstIn(batch, timestampMs);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The record with the largest timestamp below the high watermark; the first of several. */
export async function recordOfMaxTimestamp(
  wal: Wal,
  partition: Partition,
): Promise<TimestampedOffset | undefined> {
  const { batches, highWatermark } = partition;
  const lastIndex = batches.indexOfOffset(highWatermark - 1);
  if (highWatermark === 0 || lastIndex === -1) return undefined;
  // A run is durable as a whole, so the running maximum up to the last durable one is exact.
  const { maxTimestampMs } = batches.runAt(lastIndex);
  const runIndex = Math.max(0, batches.indexOfTimestamp(maxTimestampMs));
  const endOffset = runIndex < lastIndex ? batches.runAt(runIndex + 1).baseOffset : highWatermark;
  const range = { offset: batches.runAt(runIndex).baseOffset, endOffset };
  for await (const batch of batchesIn(wal, partition, range)) {
    const found = firstIn(batch, maxTimestampMs);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The batches that start in `[offset, endOffset)`, each a copy. */
async function* batchesIn(
  wal: Wal,
  partition: Partition,
  { offset, endOffset }: { offset: number; endOffset: number },
): AsyncGenerator<Uint8Array> {
  let next = offset;
  while (next < endOffset) {
    const limits = { offset: next, endOffset, maxBytes: SCAN_BYTES_MAX, isOneBatchDue: true };
    const batches = await readBatches(wal, partition, limits);
    if (batches.length === 0) return;
    for (const batch of batches) {
      const header = readBatchHeader(batch, 0);
      next = header.baseOffset + header.lastOffsetDelta + 1;
      yield batch;
      await nextTurn();
    }
  }
}

/** The first record of the batch at or after `timestampMs`, as consumers see its time. */
function firstIn(batch: Uint8Array, timestampMs: number): TimestampedOffset | undefined {
  const header = readBatchHeader(batch, 0);
  if (header.maxTimestampMs < timestampMs) return undefined;
  // With append time all records have the batch's.
  if (header.timestampType === "LogAppendTime") {
    return { offset: header.baseOffset, timestampMs: header.maxTimestampMs };
  }
  const cursor = recordsOf(batch, 0, header, RECORDS_BYTES_MAX);
  while (cursor.next()) {
    const recordMs = header.baseTimestampMs + cursor.timestampDelta;
    if (recordMs >= timestampMs) {
      return { offset: header.baseOffset + cursor.offsetDelta, timestampMs: recordMs };
    }
  }
  return undefined;
}
