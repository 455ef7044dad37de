/**
 * Finds records of a partition by time (ListOffsets), exact to the record, CreateTime out of order included.
 *
 * Batches are opened one at a time and others get a turn in between: a client that asks for the times
 * of a large log makes only itself wait.
 */

import { nextTurn } from "../core/clock.ts";
import { recordsOf } from "../protocol/batch-records.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import { isMoved, type LogTiers, readBatches } from "./log-reader.ts";
import type { Partition } from "./partition.ts";
import type { SealedRange } from "./sealed-log.ts";

/** A record's place in time. */
export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
}

/** Batches are read this many bytes at a time. */
const SCAN_BYTES_MAX = 1024 * 1024;
/** A batch that is larger than this when it is decompressed is not looked into. */
const RECORDS_BYTES_MAX = 32 * 1024 * 1024;

/** The first record at or after `timestampMs` between log start and high watermark, in offset order. */
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
    const found = await firstIn(tiers, partition, { ...stretchOf(range), timestampMs });
    if (found !== undefined) return found;
    // What reached the time in it has been deleted.
    fromOffset = range.endOffset;
  }
  const runIndex = partition.batches.indexOfTimestamp(timestampMs);
  if (runIndex === -1) return undefined;
  const startOffset = partition.batches.runAt(runIndex).baseOffset;
  return await firstIn(tiers, partition, { startOffset, endOffset: highWatermark, timestampMs });
}

/** The record with the largest timestamp between log start and high watermark; the first of several. */
export async function recordOfMaxTimestamp(
  tiers: LogTiers,
  partition: Partition,
): Promise<TimestampedOffset | undefined> {
  const { logStartOffset } = partition;
  const stretch = stretchOfMaxTimestamp(tiers, partition, logStartOffset);
  if (stretch === undefined || stretch.startOffset >= logStartOffset) {
    return stretch && (await firstIn(tiers, partition, stretch));
  }
  // A part of it is deleted, and its largest timestamp perhaps with it.
  const kept = await recordOfMaxTimestampIn(tiers, partition, stretch.endOffset);
  const rest = stretchOfMaxTimestamp(tiers, partition, stretch.endOffset);
  if (rest === undefined || (kept && kept.timestampMs >= rest.timestampMs)) return kept;
  return (await firstIn(tiers, partition, rest)) ?? kept;
}

/** Batches of one partition that lie together, and the largest timestamp in them. */
interface Stretch {
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
  readonly timestampMs: number;
  /** Where it is sealed, if it is. */
  readonly range?: SealedRange;
}

function stretchOf(range: SealedRange): Stretch {
  const { startOffset, endOffset, maxTimestampMs } = range;
  return { startOffset, endOffset, timestampMs: maxTimestampMs, range };
}

/** The first stretch with the largest timestamp of those that end behind `fromOffset`. */
function stretchOfMaxTimestamp(
  tiers: LogTiers,
  { batches, highWatermark, place }: Partition,
  fromOffset: number,
): Stretch | undefined {
  const range = tiers.sealed.rangeOfMaxTimestamp(place, fromOffset);
  let latest = range && stretchOf(range);
  for (let index = 0; index < batches.runCount; index += 1) {
    const { baseOffset: startOffset, maxTimestampMs: timestampMs } = batches.runAt(index);
    // A run is durable as a whole.
    if (startOffset >= highWatermark) break;
    const isLast = index + 1 === batches.runCount;
    const nextOffset = isLast ? highWatermark : batches.runAt(index + 1).baseOffset;
    const endOffset = Math.min(nextOffset, highWatermark);
    if (endOffset <= fromOffset || timestampMs <= (latest?.timestampMs ?? Number.NEGATIVE_INFINITY))
      continue;
    latest = { startOffset, endOffset, timestampMs };
  }
  return latest;
}

/** The record with the largest timestamp from the log's start up to `endOffset`, by looking at every batch. */
async function recordOfMaxTimestampIn(
  tiers: LogTiers,
  partition: Partition,
  endOffset: number,
): Promise<TimestampedOffset | undefined> {
  const { logStartOffset } = partition;
  let latest: TimestampedOffset | undefined;
  for await (const batch of batchesIn(tiers, partition, { offset: logStartOffset, endOffset })) {
    const timestampMs = maxTimestampMsIn(batch, logStartOffset);
    if (latest !== undefined && timestampMs <= latest.timestampMs) continue;
    latest = firstOfBatch(batch, { timestampMs, logStartOffset }) ?? latest;
  }
  return latest;
}

/** The first record at or after a time among those from the log's start on in the batches of `[start, end)`. */
async function firstIn(
  tiers: LogTiers,
  partition: Partition,
  range: Stretch,
): Promise<TimestampedOffset | undefined> {
  const { endOffset, timestampMs } = range;
  const { logStartOffset } = partition;
  const offset = Math.max(await startSince(tiers, range), logStartOffset);
  for await (const batch of batchesIn(tiers, partition, { offset, endOffset })) {
    const found = firstOfBatch(batch, { timestampMs, logStartOffset });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Where to begin to look for the stretch's time: in a segment, its sparse index tells. */
async function startSince(tiers: LogTiers, stretch: Stretch): Promise<number> {
  const { startOffset, timestampMs, range } = stretch;
  if (range === undefined) return startOffset;
  try {
    return await tiers.sealed.startSince(range, timestampMs);
  } catch (thrown) {
    if (isMoved(thrown)) return startOffset;
    throw thrown;
  }
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
  if (header.recordCount === 0 || header.maxTimestampMs < timestampMs) return undefined;
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

/** Over the records from `logStartOffset` on; without one, no record has it. */
function maxTimestampMsIn(batch: Uint8Array, logStartOffset: number): number {
  const header = readBatchHeader(batch, 0);
  if (header.baseOffset >= logStartOffset || header.timestampType === "LogAppendTime") {
    return header.maxTimestampMs;
  }
  const cursor = recordsOf(batch, 0, header, RECORDS_BYTES_MAX);
  let deltaMax = Number.NEGATIVE_INFINITY;
  while (cursor.next()) {
    const isKept = header.baseOffset + cursor.offsetDelta >= logStartOffset;
    if (isKept) deltaMax = Math.max(deltaMax, cursor.timestampDelta);
  }
  return header.baseTimestampMs + deltaMax;
}
