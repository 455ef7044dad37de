/**
 * Up to which offset a partition's records have passed `retention.ms` or `retention.bytes`. The rule is Apache
 * Kafka's (`UnifiedLog.deleteOldSegments`): oldest first, a unit goes as a whole when its largest timestamp is older
 * than `retention.ms`, or when what is left without it is at least `retention.bytes`; the first that stays keeps all
 * behind it. Also what was written last goes, as Kafka's active segment does. A timestamp in the future therefore
 * holds back what follows it.
 *
 * A unit is what lies together: a range of the partition in a segment, or a run of the WAL. A range that is larger
 * than `segment.bytes`, or spans more than `segment.ms`, is cut at its sparse index, where Kafka's log would have
 * rolled: so merged segments do not make retention coarser than a topic asks for.
 */

/** A topic's settings. Times and sizes of -1 are no limit. */
export interface RetentionLimits {
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
}

/** Batches of one partition that lie together. */
export interface RetainedUnit {
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
  /** Of its batches, deleted ones included. */
  readonly sizeBytes: number;
  /** About. */
  readonly minTimestampMs: number;
  /** Where records have no time, when they were written; infinite where that is not known yet. */
  readonly maxTimestampMs: number;
  /** Where it can be cut; undefined if it cannot. Each is an offset within, behind what was named. */
  readonly cuts?: {
    /** All before it are older than `timestampMs`. */
    beforeTimestamp(timestampMs: number): Promise<number>;
    /** At most the first `sizeBytes` lie before it. */
    behindBytes(sizeBytes: number): Promise<number>;
  };
}

/** One partition, as it is now. */
export interface RetainedLog {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  /** The unit that holds `offset`, or the next; undefined behind the last. */
  unitAt(offset: number): RetainedUnit | undefined;
}

/** The offset at which the log is to start; at or above its start, at or below its high watermark. */
export async function retainedStart(
  log: RetainedLog,
  limits: RetentionLimits,
  nowMs: number,
): Promise<number> {
  const startOffset = await startByTime(log, limits, nowMs);
  return await startBySize(log, limits, startOffset);
}

async function startByTime(
  log: RetainedLog,
  limits: RetentionLimits,
  nowMs: number,
): Promise<number> {
  let { logStartOffset: startOffset } = log;
  if (limits.retentionMs < 0) return startOffset;
  const expiredMs = nowMs - limits.retentionMs;
  for (let unit = nextUnit(log, startOffset); unit; unit = nextUnit(log, startOffset)) {
    if (unit.maxTimestampMs >= expiredMs) {
      if (unit.minTimestampMs >= expiredMs || !isCoarse(unit, limits)) return startOffset;
      const cut = await unit.cuts?.beforeTimestamp(expiredMs);
      return cutOf(unit, startOffset, cut);
    }
    startOffset = unit.endOffset;
  }
  return startOffset;
}

async function startBySize(
  log: RetainedLog,
  limits: RetentionLimits,
  fromOffset: number,
): Promise<number> {
  let startOffset = fromOffset;
  if (limits.retentionBytes < 0) return startOffset;
  let overBytes = -limits.retentionBytes;
  for (let unit = log.unitAt(fromOffset); unit; unit = log.unitAt(unit.endOffset)) {
    overBytes += keptBytesOf(unit, fromOffset);
  }
  for (let unit = nextUnit(log, startOffset); unit; unit = nextUnit(log, startOffset)) {
    const keptBytes = keptBytesOf(unit, startOffset);
    if (keptBytes > overBytes) {
      if (overBytes <= 0 || !isCoarse(unit, limits)) return startOffset;
      const cut = await unit.cuts?.behindBytes(unit.sizeBytes - keptBytes + overBytes);
      return cutOf(unit, startOffset, cut);
    }
    overBytes -= keptBytes;
    startOffset = unit.endOffset;
  }
  return startOffset;
}

/** The unit that may go next: all of it is shown to consumers. */
function nextUnit(log: RetainedLog, offset: number): RetainedUnit | undefined {
  const unit = log.unitAt(offset);
  return unit !== undefined && unit.endOffset <= log.highWatermark ? unit : undefined;
}

function isCoarse(unit: RetainedUnit, { segmentBytes, segmentMs }: RetentionLimits): boolean {
  const spanMs = unit.maxTimestampMs - unit.minTimestampMs;
  return unit.sizeBytes > segmentBytes || spanMs > segmentMs;
}

function cutOf(unit: RetainedUnit, startOffset: number, cut = startOffset): number {
  return Math.max(startOffset, Math.min(cut, unit.endOffset));
}

/** About how many of its bytes lie behind `offset`, as if batches were alike. */
function keptBytesOf({ startOffset, endOffset, sizeBytes }: RetainedUnit, offset: number): number {
  if (offset <= startOffset) return sizeBytes;
  return Math.ceil((sizeBytes * (endOffset - offset)) / (endOffset - startOffset));
}
