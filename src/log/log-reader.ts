/**
 * Reads batches of one partition from wherever they lie: segments first, then the WAL's files, then its slab.
 * A read has three steps, so that nothing is copied that is not needed:
 *
 *   plan     which sealed ranges and which runs of the WAL to look at (pure, from the indexes)
 *   load     reads those from disk that are not in the slab (waits)
 *   collect  views of the whole batches, in order (synchronous; views of the slab are valid only
 *            until the caller gives up control, so it must use or copy them at once)
 *   release  gives the memory of what was loaded back, for the next read; who forgets it leaves it to the collector
 *
 * Between plan and collect a run can leave the slab; `collect` then says so, and the caller loads again. Between
 * plan and load batches can move from the WAL to a segment, or to another one: `loadRead` then throws what
 * `isMoved` knows, and the caller plans again.
 */

import { type BufferPool, takenBytesOf } from "../core/buffer-pool.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { type BatchHeader, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import { batchOfLegacyPayload } from "../wal/legacy-entry.ts";
import type { Wal } from "../wal/wal.ts";
import { WalFreedError } from "../wal/wal-errors.ts";
import { ENTRY_HEADER_BYTES } from "../wal/wal-format.ts";
import type { Run } from "./batch-index.ts";
import type { Partition } from "./partition.ts";
import { RangeMovedError, type SealedLog, type SealedRange } from "./sealed-log.ts";

/** Two runs at most this far apart in a file are read at once. */
const READ_GAP_BYTES_MAX = 32 * 1024;
/** One read from a file at most, but for a larger batch. */
const READ_BYTES_MAX = 1024 * 1024;
/** What a loaded run takes beside its bytes, about. */
const RUN_OVERHEAD_BYTES = 256;
/** Sealed ranges of one read at most: small ones have not been merged yet. */
const SEALED_RANGES_MAX = 64;
/** Larger batches than this are rare; of a sealed range it is not known before it is read. */
const LARGE_BATCH_BYTES = 1024 * 1024;

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

interface PlannedRange {
  readonly range: SealedRange;
  /** First offset wanted of it. */
  readonly offset: number;
  readonly maxBytes: number;
  loaded: Uint8Array | undefined;
}

/** A read between its steps. */
export interface ReadPlan {
  readonly limits: ReadLimits;
  /** These come before `runs`. */
  readonly sealed: readonly PlannedRange[];
  readonly runs: readonly PlannedRun[];
  /** What views in `runs` are of. */
  readonly buffers: Uint8Array[];
}

/** Where the batches of all partitions lie. */
export interface LogTiers {
  readonly wal: Wal;
  readonly sealed: SealedLog;
  /** For what is read from the WAL's files. */
  readonly buffers: BufferPool;
}

/** Batches in offset order, and their bytes together. */
export interface CollectedBatches {
  readonly batches: readonly Uint8Array[];
  readonly sizeBytes: number;
}

/** Where the wanted batches may lie. */
export function planRead(tiers: LogTiers, partition: Partition, limits: ReadLimits): ReadPlan {
  if (limits.offset >= limits.endOffset) return { limits, sealed: [], runs: [], buffers: [] };
  const { ranges, isAll } = planSealed(tiers.sealed, partition, limits);
  // What follows a range that is read in part would leave a gap.
  if (!isAll) return { limits, sealed: ranges, runs: [], buffers: [] };
  const sealedBytes = ranges.reduce((sum, { range }) => sum + range.sizeBytes, 0);
  const runs = planRuns(partition, limits, sealedBytes);
  return { limits, sealed: ranges, runs, buffers: [] };
}

/** Whether a plan found nothing to read. */
export function isEmptyPlan({ sealed, runs }: ReadPlan): boolean {
  return sealed.length === 0 && runs.length === 0;
}

/** `isAll`: the rest of what is wanted is in the WAL. */
function planSealed(
  log: SealedLog,
  { place }: Partition,
  { offset, endOffset, maxBytes }: ReadLimits,
): { readonly ranges: readonly PlannedRange[]; readonly isAll: boolean } {
  const ranges: PlannedRange[] = [];
  let nextOffset = offset;
  let leftBytes = maxBytes;
  for (;;) {
    const range = log.rangeAt(place, nextOffset);
    if (range === undefined || range.startOffset >= endOffset) return { ranges, isAll: true };
    if (ranges.length === SEALED_RANGES_MAX) return { ranges, isAll: false };
    if (ranges.length > 0 && leftBytes <= 0) return { ranges, isAll: false };
    const startOffset = Math.max(nextOffset, range.startOffset);
    ranges.push({ range, offset: startOffset, maxBytes: leftBytes, loaded: undefined });
    if (range.sizeBytes > leftBytes) return { ranges, isAll: false };
    // Of the first one an unknown part lies before the offset: it does not count.
    if (offset <= range.startOffset) leftBytes -= range.sizeBytes;
    nextOffset = range.endOffset;
  }
}

function planRuns(
  { batches }: Partition,
  limits: ReadLimits,
  alreadyPlannedBytes: number,
): PlannedRun[] {
  const runs: PlannedRun[] = [];
  let plannedBytes = alreadyPlannedBytes;
  let index = Math.max(0, batches.indexOfOffset(limits.offset));
  for (; index < batches.runCount && plannedBytes < limits.maxBytes + 1; index += 1) {
    const run = batches.runAt(index);
    if (run.baseOffset >= limits.endOffset) break;
    runs.push({ ...run, loaded: undefined });
    // The first run may lie before the offset almost wholly: it does not count.
    if (runs.length > 1) plannedBytes += run.spanBytes;
  }
  return runs;
}

/**
 * How much memory `loadRead` takes at most, its buffers included; 0 if everything is in memory, so that
 * `collectRead` works without it.
 */
export function bytesToLoad({ wal, sealed }: LogTiers, plan: ReadPlan): number {
  let keptBytes = 0;
  let passingBytesMax = 0;
  for (const { range, maxBytes, loaded } of plan.sealed) {
    if (loaded !== undefined) continue;
    keptBytes += Math.min(range.sizeBytes, maxBytes + LARGE_BATCH_BYTES);
    passingBytesMax = sealed.readOverheadBytes;
  }
  let first = 0;
  while (first < plan.runs.length) {
    const run = plan.runs[first];
    if (run === undefined || isInMemory(wal, run)) {
      first += 1;
      continue;
    }
    const group = neighboursFrom(wal, plan.runs, first);
    const { lengthBytes, isSparse, spanBytes } = readOf(group);
    keptBytes +=
      group.length * RUN_OVERHEAD_BYTES + (isSparse ? spanBytes : takenBytesOf(lengthBytes));
    if (isSparse) passingBytesMax = Math.max(passingBytesMax, takenBytesOf(lengthBytes));
    first += Math.max(1, group.length);
  }
  return keptBytes + passingBytesMax;
}

/**
 * Reads from segments and the WAL's files what is not in memory.
 * @throws KafkaError KAFKA_STORAGE_ERROR if they do not hold what was written; what `isMoved` knows
 */
export async function loadRead(tiers: LogTiers, plan: ReadPlan): Promise<void> {
  for (const planned of plan.sealed) {
    const { range, offset, maxBytes } = planned;
    planned.loaded ??= await tiers.sealed.read(range, offset, maxBytes);
  }
  const { wal } = tiers;
  let first = 0;
  while (first < plan.runs.length) {
    const group = neighboursFrom(wal, plan.runs, first);
    if (group.length > 0) await loadNeighbours(tiers, plan, group);
    first += Math.max(1, group.length);
  }
}

/** Whether a load failed because the batches lie elsewhere by now: planned again, it can be repeated. */
export function isMoved(thrown: unknown): boolean {
  return thrown instanceof WalFreedError || thrown instanceof RangeMovedError;
}

/**
 * The batches of a loaded plan.
 * @returns undefined if a run has left memory since; load again
 */
export function collectRead({ wal }: LogTiers, plan: ReadPlan): CollectedBatches | undefined {
  const collecting = new Collecting(plan.limits);
  for (const { loaded } of plan.sealed) {
    if (loaded === undefined) return undefined;
    if (!collecting.take(loaded, 0)) return collecting;
  }
  for (const run of plan.runs) {
    const bytes = run.loaded ?? wal.viewOf(run.address, run.spanBytes);
    if (bytes === undefined) return undefined;
    if (!collecting.take(bytes, ENTRY_HEADER_BYTES)) return collecting;
  }
  return collecting;
}

/** Gives back what a load took. The plan has nothing loaded any more; what was collected of it is not valid. */
export function releaseRead({ buffers }: LogTiers, plan: ReadPlan): void {
  for (const run of plan.runs) run.loaded = undefined;
  for (const buffer of plan.buffers.splice(0)) buffers.give(buffer);
}

/** Picks the wanted batches, in order. */
class Collecting implements CollectedBatches {
  readonly batches: Uint8Array[] = [];
  sizeBytes = 0;
  readonly #limits: ReadLimits;

  constructor(limits: ReadLimits) {
    this.#limits = limits;
  }

  /** @returns false if nothing more is wanted */
  take(bytes: Uint8Array, gapBytes: number): boolean {
    const { offset, endOffset, maxBytes, isOneBatchDue } = this.#limits;
    let position = 0;
    while (position < bytes.length) {
      const header = readBatchHeader(bytes, position);
      const end = position + header.sizeBytes;
      if (header.baseOffset >= endOffset) return false;
      if (header.baseOffset + header.lastOffsetDelta >= offset) {
        const isDue = isOneBatchDue && this.batches.length === 0;
        if (this.sizeBytes + header.sizeBytes > maxBytes && !isDue) return false;
        this.batches.push(bytes.subarray(position, end));
        this.sizeBytes += header.sizeBytes;
      }
      position = end + gapBytes;
    }
    return true;
  }
}

/** Reads one stored batch: the one that holds `offset`, copied; undefined if there is none that is shown. */
export async function readBatchAt(
  tiers: LogTiers,
  partition: Partition,
  offset: number,
): Promise<Uint8Array | undefined> {
  if (offset < partition.logStartOffset) return undefined;
  const endOffset = partition.highWatermark;
  const limits = { offset, endOffset, maxBytes: 0, isOneBatchDue: true };
  const [batch] = await readBatches(tiers, partition, limits);
  return batch;
}

/** All three steps for a caller that waits in between: the batches, each a copy. */
export async function readBatches(
  tiers: LogTiers,
  partition: Partition,
  limits: ReadLimits,
): Promise<Uint8Array[]> {
  let plan = planRead(tiers, partition, limits);
  for (;;) {
    try {
      await loadRead(tiers, plan);
      const collected = collectRead(tiers, plan);
      if (collected !== undefined) {
        const copies = collected.batches.map((view) => view.slice());
        releaseRead(tiers, plan);
        return copies;
      }
    } catch (thrown) {
      if (!isMoved(thrown)) throw thrown;
      plan = planRead(tiers, partition, limits);
    }
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

async function loadNeighbours(
  { wal, buffers }: LogTiers,
  plan: ReadPlan,
  group: readonly PlannedRun[],
): Promise<void> {
  const first = group[0];
  if (first === undefined) return;
  const { lengthBytes, isSparse } = readOf(group);
  const buffer = buffers.take(lengthBytes);
  const bytes = buffer.subarray(0, lengthBytes);
  await wal.read(first.address, bytes, 0, bytes.length);
  for (const run of group) {
    const start = run.address - first.address;
    const span = bytes.subarray(start, start + run.spanBytes);
    if (run.isLegacy) run.loaded = batchOfLegacyPayload(span);
    // A view would keep what lies between in memory.
    else run.loaded = checked(isSparse ? span.slice() : span, run);
  }
  if (isSparse) buffers.give(buffer);
  else plan.buffers.push(buffer);
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
