/**
 * Reads batches of one partition, from the slab where the WAL still has them in memory, else from
 * its files. A read has three steps, so that nothing is copied that is not needed:
 *
 *   plan     which runs of the WAL to look at (pure, from the batch index)
 *   load     reads those from disk that are not in the slab any more (waits)
 *   collect  views of the whole batches, in order (synchronous; views of the slab are valid only
 *            until the caller gives up control, so it must use or copy them at once)
 *
 * Between plan and collect a run can leave the slab; `collect` then says so, and the caller loads again.
 */

import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { type BatchHeader, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import { batchOfLegacyPayload } from "../wal/legacy-entry.ts";
import type { Wal } from "../wal/wal.ts";
import { ENTRY_HEADER_BYTES } from "../wal/wal-format.ts";
import type { Run } from "./batch-index.ts";
import type { Partition } from "./partition.ts";

/** Two runs at most this far apart in a file are read at once. */
const READ_GAP_BYTES_MAX = 32 * 1024;
/** One read from a file at most, but for a larger batch. */
const READ_BYTES_MAX = 1024 * 1024;
/** What a loaded run takes beside its bytes, about. */
const RUN_OVERHEAD_BYTES = 256;

/** What to read of a partition. */
export interface ReadLimits {
  /** First offset wanted; it may lie inside a batch. */
  readonly offset: number;
  /** Exclusive: batches that start at or beyond it are left out. */
  readonly endOffset: number;
  /** Of all batches together. */
  readonly maxBytes: number;
  /** The first batch is returned even if it is larger than `maxBytes`. */
  readonly isOneBatchDue: boolean;
}

interface PlannedRun extends Run {
  /** The run's bytes if they came from a file, every batch checked. */
  loaded: Uint8Array | undefined;
}

/** A read between its steps. */
export interface ReadPlan {
  readonly limits: ReadLimits;
  readonly runs: readonly PlannedRun[];
}

/** Batches in offset order, and their bytes together. */
export interface CollectedBatches {
  readonly batches: readonly Uint8Array[];
  readonly sizeBytes: number;
}

/** Which runs may hold the wanted batches. */
export function planRead(partition: Partition, limits: ReadLimits): ReadPlan {
  const runs: PlannedRun[] = [];
  if (limits.offset >= limits.endOffset) return { limits, runs };
  const { batches } = partition;
  let plannedBytes = 0;
  let index = Math.max(0, batches.indexOfOffset(limits.offset));
  for (; index < batches.runCount && plannedBytes < limits.maxBytes + 1; index += 1) {
    const run = batches.runAt(index);
    if (run.baseOffset >= limits.endOffset) break;
    runs.push({ ...run, loaded: undefined });
    // The first run may lie before the offset almost wholly: it does not count.
    if (runs.length > 1) plannedBytes += run.spanBytes;
  }
  return { limits, runs };
}

/**
 * How much memory `loadRead` takes at most, its buffers included; 0 if everything is in memory, so that
 * `collectRead` works without it.
 */
export function bytesToLoad(wal: Wal, plan: ReadPlan): number {
  let keptBytes = 0;
  let passingBytesMax = 0;
  let first = 0;
  while (first < plan.runs.length) {
    const run = plan.runs[first];
    if (run === undefined || isInMemory(wal, run)) {
      first += 1;
      continue;
    }
    const group = neighboursFrom(wal, plan.runs, first);
    const { lengthBytes, isSparse, spanBytes } = readOf(group);
    keptBytes += group.length * RUN_OVERHEAD_BYTES + (isSparse ? spanBytes : lengthBytes);
    if (isSparse) passingBytesMax = Math.max(passingBytesMax, lengthBytes);
    first += Math.max(1, group.length);
  }
  return keptBytes + passingBytesMax;
}

/**
 * Reads from the WAL's files what is not in memory.
 * @throws KafkaError KAFKA_STORAGE_ERROR if the file does not hold what was written
 */
export async function loadRead(wal: Wal, plan: ReadPlan): Promise<void> {
  let first = 0;
  while (first < plan.runs.length) {
    const group = neighboursFrom(wal, plan.runs, first);
    if (group.length > 0) await loadNeighbours(wal, group);
    first += Math.max(1, group.length);
  }
}

/**
 * The batches of a loaded plan.
 * @returns undefined if a run has left memory since; load again
 */
export function collectRead(wal: Wal, plan: ReadPlan): CollectedBatches | undefined {
  const { limits } = plan;
  const batches: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const run of plan.runs) {
    const bytes = run.loaded ?? wal.viewOf(run.address, run.spanBytes);
    if (bytes === undefined) return undefined;
    let position = 0;
    while (position < bytes.length) {
      const header = readBatchHeader(bytes, position);
      const end = position + header.sizeBytes;
      if (header.baseOffset >= limits.endOffset) return { batches, sizeBytes };
      if (header.baseOffset + header.lastOffsetDelta >= limits.offset) {
        const isDue = limits.isOneBatchDue && batches.length === 0;
        if (sizeBytes + header.sizeBytes > limits.maxBytes && !isDue) return { batches, sizeBytes };
        batches.push(bytes.subarray(position, end));
        sizeBytes += header.sizeBytes;
      }
      position = end + ENTRY_HEADER_BYTES;
    }
  }
  return { batches, sizeBytes };
}

/** Reads one stored batch: the one that holds `offset`, copied; undefined if there is none below `endOffset`. */
export async function readBatchAt(
  wal: Wal,
  partition: Partition,
  offset: number,
): Promise<Uint8Array | undefined> {
  const endOffset = partition.highWatermark;
  const limits = { offset, endOffset, maxBytes: 0, isOneBatchDue: true };
  const [batch] = await readBatches(wal, partition, limits);
  return batch;
}

/** All three steps for a caller that waits in between: the batches, each a copy. */
export async function readBatches(
  wal: Wal,
  partition: Partition,
  limits: ReadLimits,
): Promise<Uint8Array[]> {
  const plan = planRead(partition, limits);
  for (;;) {
    await loadRead(wal, plan);
    const collected = collectRead(wal, plan);
    if (collected !== undefined) return collected.batches.map((view) => view.slice());
  }
}

/** Runs from `first` on that are neither in memory nor far from each other in their file. */
function neighboursFrom(wal: Wal, runs: readonly PlannedRun[], first: number): PlannedRun[] {
  const group: PlannedRun[] = [];
  for (let index = first; index < runs.length; index += 1) {
    const run = runs[index];
    if (run === undefined) break;
    if (isInMemory(wal, run)) break;
    const start = group[0];
    const last = group.at(-1);
    if (start !== undefined && last !== undefined) {
      const isFar = run.address - (last.address + last.spanBytes) > READ_GAP_BYTES_MAX;
      const isLong = run.address + run.spanBytes - start.address > READ_BYTES_MAX;
      // Addresses of different files are 2^32 apart: never neighbours.
      if (isFar || isLong) break;
    }
    group.push(run);
  }
  return group;
}

function isInMemory(wal: Wal, run: PlannedRun): boolean {
  if (run.loaded !== undefined) return true;
  return !run.isLegacy && wal.viewOf(run.address, run.spanBytes) !== undefined;
}

/** What one read of neighbours brings: `isSparse` if less than half of it is wanted. */
function readOf(group: readonly PlannedRun[]) {
  const first = group[0];
  const last = group.at(-1);
  const lengthBytes = first && last ? last.address + last.spanBytes - first.address : 0;
  let spanBytes = 0;
  for (const run of group) spanBytes += run.spanBytes;
  return { lengthBytes, spanBytes, isSparse: spanBytes < lengthBytes / 2 };
}

async function loadNeighbours(wal: Wal, group: readonly PlannedRun[]): Promise<void> {
  const first = group[0];
  if (first === undefined) return;
  const { lengthBytes, isSparse } = readOf(group);
  const bytes = uninitializedBytes(lengthBytes);
  await wal.read(first.address, bytes, 0, bytes.length);
  for (const run of group) {
    const start = run.address - first.address;
    const span = bytes.subarray(start, start + run.spanBytes);
    if (run.isLegacy) run.loaded = batchOfLegacyPayload(span);
    // A view would keep what lies between in memory.
    else run.loaded = checked(isSparse ? span.slice() : span, run);
  }
}

/** The bytes, if every batch in them is as it was written. */
function checked(bytes: Uint8Array, run: Run): Uint8Array {
  let position = 0;
  let header: BatchHeader | undefined;
  try {
    while (position < bytes.length) {
      header = readBatchHeader(bytes, position);
      verifyBatch(bytes, position, position + header.sizeBytes);
      position += header.sizeBytes + ENTRY_HEADER_BYTES;
    }
  } catch (cause) {
    throw new KafkaError(
      ErrorCode.kafkaStorageError,
      `The WAL holds a damaged batch at address ${run.address + position}.`,
      { cause },
    );
  }
  return bytes;
}
