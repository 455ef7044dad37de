/** Finds records of a partition by time (ListOffsets), exact to the record, CreateTime out of order included. */

import { decodeBatch } from "../protocol/canonical-record.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import type { Wal } from "../wal/wal.ts";
import { collectRead, loadRead, planRead } from "./log-reader.ts";
import type { Partition } from "./partition.ts";

/** A record's place in time. */
export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
}

/** Batches are looked at this many bytes at a time. */
const SCAN_BYTES_MAX = 1024 * 1024;

/** The first record at or after `timestampMs` below the high watermark, in offset order. */
export async function firstRecordSince(
  wal: Wal,
  partition: Partition,
  timestampMs: number,
): Promise<TimestampedOffset | undefined> {
  const runIndex = partition.batches.indexOfTimestamp(timestampMs);
  if (runIndex === -1) return undefined;
  const from = partition.batches.runAt(runIndex).baseOffset;
  for await (const batch of batchesFrom(wal, partition, from)) {
    if (readBatchHeader(batch, 0).maxTimestampMs < timestampMs) continue;
    const found = recordTimes(batch).find((record) => record.timestampMs >= timestampMs);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The record with the largest timestamp below the high watermark; the first of several. */
export async function recordOfMaxTimestamp(
  wal: Wal,
  partition: Partition,
): Promise<TimestampedOffset | undefined> {
  const { batches } = partition;
  // The last run that starts below the high watermark has the maximum over all durable runs, and
  // perhaps over a few batches behind the high watermark that share the run.
  const lastIndex = batches.indexOfOffset(partition.highWatermark - 1);
  if (partition.highWatermark === 0 || lastIndex === -1) return undefined;
  const runIndex = batches.indexOfTimestamp(batches.runAt(lastIndex).maxTimestampMs);
  const best = await largestFrom(wal, partition, batches.runAt(Math.max(0, runIndex)).baseOffset);
  if (best?.timestampMs === batches.runAt(lastIndex).maxTimestampMs) return best;
  return largestFrom(wal, partition, partition.logStartOffset);
}

async function largestFrom(
  wal: Wal,
  partition: Partition,
  offset: number,
): Promise<TimestampedOffset | undefined> {
  let best: TimestampedOffset | undefined;
  for await (const batch of batchesFrom(wal, partition, offset)) {
    if (best !== undefined && readBatchHeader(batch, 0).maxTimestampMs <= best.timestampMs)
      continue;
    for (const record of recordTimes(batch)) {
      if (best === undefined || record.timestampMs > best.timestampMs) best = record;
    }
  }
  return best;
}

async function* batchesFrom(
  wal: Wal,
  partition: Partition,
  offset: number,
): AsyncGenerator<Uint8Array> {
  const endOffset = partition.highWatermark;
  let next = offset;
  while (next < endOffset) {
    const limits = { offset: next, endOffset, maxBytes: SCAN_BYTES_MAX, isOneBatchDue: true };
    const plan = planRead(partition, limits);
    let collected = collectRead(wal, plan);
    while (collected === undefined) {
      await loadRead(wal, plan);
      collected = collectRead(wal, plan);
    }
    if (collected.batches.length === 0) return;
    // Copied: the consumer of this generator may wait, and views of the slab do not last.
    for (const batch of collected.batches.map((view) => view.slice())) {
      const header = readBatchHeader(batch, 0);
      next = header.baseOffset + header.lastOffsetDelta + 1;
      yield batch;
    }
  }
}

/** The time of each record as consumers see it: with append time, the batch's. */
function recordTimes(batch: Uint8Array): TimestampedOffset[] {
  const { records, timestampType, maxTimestampMs } = decodeBatch(batch);
  const isAppendTime = timestampType === "LogAppendTime";
  return records.map(({ offset, timestampMs }) => ({
    offset,
    timestampMs: isAppendTime ? maxTimestampMs : timestampMs,
  }));
}
