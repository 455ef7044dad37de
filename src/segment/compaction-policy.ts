/**
 * Which partitions are due to be compacted, and how far: Apache Kafka's `LogCleanerManager`, over ranges of segments
 * in the place of Kafka's log segments. What is still in the WAL is Kafka's active segment: it is left alone.
 *
 * A partition is due when more than `min.cleanable.dirty.ratio` of its bytes were never compacted, or when the oldest
 * of them has waited longer than `max.compaction.lag.ms`. What is younger than `min.compaction.lag.ms`, or lies at or
 * beyond the last stable offset, stays as it is, and all behind it.
 */

export interface CompactionLimits {
  readonly dirtyRatioMin: number;
  readonly lagMsMin: number;
  readonly lagMsMax: number;
}

/** A range as the policy sees it; all that a partition has, in the order of offsets. */
export interface CompactibleRange {
  readonly segmentId: string;
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
  readonly sizeBytes: number;
  readonly minTimestampMs: number;
  readonly maxTimestampMs: number;
  /** Its search index is awaited: compacted without, its records would not be found for a while. */
  readonly isAwaited: boolean;
}

export interface CompactionState {
  /** Below it everything is compacted. */
  readonly dirtyOffset: number;
  readonly lastStableOffset: number;
  readonly nowMs: number;
  /** Segments that one compaction may read. */
  readonly segmentCountMax: number;
}

/** What of a partition is to be compacted. */
export interface DuePartition {
  /** Exclusive end. */
  readonly endOffset: number;
  readonly dirtyRatio: number;
  readonly segmentIds: readonly string[];
  /** Of all its ranges before the end. */
  readonly sizeBytes: number;
}

/** Undefined if it is not due. */
export function duePartition(
  ranges: Iterable<CompactibleRange>,
  limits: CompactionLimits,
  state: CompactionState,
): DuePartition | undefined {
  const { dirtyOffset, lastStableOffset, nowMs, segmentCountMax } = state;
  const segmentIds: string[] = [];
  let cleanBytes = 0;
  let dirtyBytes = 0;
  let oldestMs = Number.POSITIVE_INFINITY;
  let endOffset = 0;
  for (const range of ranges) {
    const isYoung = limits.lagMsMin > 0 && range.maxTimestampMs > nowMs - limits.lagMsMin;
    const isBeyond = range.endOffset > lastStableOffset || segmentIds.length === segmentCountMax;
    if (isYoung || isBeyond || range.isAwaited) break;
    segmentIds.push(range.segmentId);
    endOffset = range.endOffset;
    const dirty = dirtyBytesOf(range, dirtyOffset);
    cleanBytes += range.sizeBytes - dirty;
    dirtyBytes += dirty;
    if (dirty > 0 && range.minTimestampMs > 0) oldestMs = Math.min(oldestMs, range.minTimestampMs);
  }
  if (dirtyBytes === 0) return undefined;
  const sizeBytes = cleanBytes + dirtyBytes;
  const dirtyRatio = dirtyBytes / sizeBytes;
  const isLate = nowMs - oldestMs > limits.lagMsMax;
  if (dirtyRatio <= limits.dirtyRatioMin && !isLate) return undefined;
  return { endOffset, dirtyRatio, segmentIds, sizeBytes };
}

/** About how many of its bytes lie at or behind `dirtyOffset`, as if batches were alike. */
function dirtyBytesOf(range: CompactibleRange, dirtyOffset: number): number {
  const { startOffset, endOffset, sizeBytes } = range;
  if (dirtyOffset >= endOffset) return 0;
  if (dirtyOffset <= startOffset) return sizeBytes;
  return Math.ceil((sizeBytes * (endOffset - dirtyOffset)) / (endOffset - startOffset));
}
