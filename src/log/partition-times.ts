/**
 * Finds records of a partition by time (ListOffsets), exact to the record, CreateTime out of order included.
 *
 * Batches are opened one at a time and others get a turn in between: a client that asks for the times
 * of a large log makes only itself wait.
 */

import { nextTurn } from "../core/clock.ts";
import { recordsOf } from "../protocol/batch-records.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import { type LogTiers, readBatches } from "./log-reader.ts";
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
  tiers: LogTiers,
  partition: Partition,
  timestampMs: number,
): Promise<TimestampedOffset | undefined> {
  const { place, highWatermark } = partition;
  let fromOffset = partition.logStartOffset;
  for (;;) {
    const range = tiers.sealed.rangeSince(place, { timestampMs, fromOffset });
    if (range === undefined) break;
    const found = await firstIn(tiers, partition, { ...range, timestampMs });
    if (found !== undefined) return found;
    // What reached the time in it has been deleted.
    fromOffset = range.endOffset;
  }
  const runIndex = partition.batches.indexOfTimestamp(timestampMs);
  if (runIndex === -1) return undefined;
  const startOffset = partition.batches.runAt(runIndex).baseOffset;
  return await firstIn(tiers, partition, { startOffset, endOffset: highWatermark, timestampMs });
}

/** The record with the largest timestamp below the high watermark; the first of several. */
export async function recordOfMaxTimestamp(
  tiers: LogTiers,
  partition: Partition,
): Promise<TimestampedOffset | undefined> {
  const { batches, highWatermark, place, logStartOffset } = partition;
  const range = tiers.sealed.rangeOfMaxTimestamp(place, logStartOffset);
  let maxTimestampMs = range?.maxTimestampMs ?? Number.NEGATIVE_INFINITY;
  let at: { startOffset: number; endOffset: number } | undefined = range;
  for (let index = 0; index < batches.runCount; index += 1) {
    const run = batches.runAt(index);
    // A run is durable as a whole.
    if (run.baseOffset >= highWatermark) break;
    if (run.maxTimestampMs <= maxTimestampMs) continue;
    maxTimestampMs = run.maxTimestampMs;
    const isLast = index + 1 === batches.runCount;
    const nextOffset = isLast ? highWatermark : batches.runAt(index + 1).baseOffset;
    at = { startOffset: run.baseOffset, endOffset: Math.min(nextOffset, highWatermark) };
  }
  if (at === undefined) return undefined;
  return await firstIn(tiers, partition, { ...at, timestampMs: maxTimestampMs });
}

/** The first record at or after a time among those from the log's start on in the batches of `[start, end)`. */
async function firstIn(
  tiers: LogTiers,
  partition: Partition,
  range: { startOffset: number; endOffset: number; timestampMs: number },
): Promise<TimestampedOffset | undefined> {
  const { startOffset, endOffset, timestampMs } = range;
  const { logStartOffset } = partition;
  const offset = Math.max(startOffset, logStartOffset);
  for await (const batch of batchesIn(tiers, partition, { offset, endOffset })) {
    const found = firstOfBatch(batch, { timestampMs, logStartOffset });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The batches that start in `[offset, endOffset)`, each a copy. */
async function* batchesIn(
  tiers: LogTiers,
  partition: Partition,
  { offset, endOffset }: { offset: number; endOffset: number },
): AsyncGenerator<Uint8Array> {
  let next = offset;
  while (next < endOffset) {
    const limits = { offset: next, endOffset, maxBytes: SCAN_BYTES_MAX, isOneBatchDue: true };
    const batches = await readBatches(tiers, partition, limits);
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
function firstOfBatch(
  batch: Uint8Array,
  { timestampMs, logStartOffset }: { timestampMs: number; logStartOffset: number },
): TimestampedOffset | undefined {
  const header = readBatchHeader(batch, 0);
  if (header.maxTimestampMs < timestampMs) return undefined;
  // With append time all records have the batch's.
  if (header.timestampType === "LogAppendTime") {
    const offset = Math.max(header.baseOffset, logStartOffset);
    return { offset, timestampMs: header.maxTimestampMs };
  }
  const cursor = recordsOf(batch, 0, header, RECORDS_BYTES_MAX);
  while (cursor.next()) {
    const recordMs = header.baseTimestampMs + cursor.timestampDelta;
    const offset = header.baseOffset + cursor.offsetDelta;
    if (recordMs >= timestampMs && offset >= logStartOffset) {
      return { offset, timestampMs: recordMs };
    }
  }
  return undefined;
}
