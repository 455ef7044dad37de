/** A partition as the retention policy reads it: ranges of segments first, then runs of the WAL. */

import type { Partition } from "../log/partition.ts";
import type { RetainedLog, RetainedUnit } from "./retention-policy.ts";
import type { FoundRange } from "./segment-index.ts";
import type { SegmentStore } from "./segment-store.ts";

/** No time is later: what has none is not taken for old. */
const NEVER = Number.POSITIVE_INFINITY;

/** The partition as it is now; cutting a range throws `RangeMovedError` once it is elsewhere. */
export function retainedLogOf(segments: SegmentStore, partition: Partition): RetainedLog {
  const { index } = segments;
  const { topicId, partition: number } = partition.place;
  return {
    logStartOffset: partition.logStartOffset,
    highWatermark: partition.highWatermark,
    unitAt: (offset) => {
      const range = index.rangeOf(topicId, number, offset);
      return range === undefined ? runAt(partition, offset) : unitOf(segments, range);
    },
  };
}

function unitOf(segments: SegmentStore, range: FoundRange): RetainedUnit {
  const { startOffset, endOffset, sizeBytes, minTimestampMs, maxTimestampMs } = range;
  const unit = { startOffset, endOffset, sizeBytes, minTimestampMs };
  // Where Kafka goes by when a file was last written, this goes by when the segment was.
  if (maxTimestampMs < 0) {
    return { ...unit, maxTimestampMs: segments.index.summary(range.segmentId)?.createdMs ?? NEVER };
  }
  return {
    ...unit,
    maxTimestampMs,
    cuts: {
      beforeTimestamp: (timestampMs) => segments.startSince(range, timestampMs),
      behindBytes: (bytes) => segments.offsetBehindBytes(range, bytes),
    },
  };
}

/** The run that holds `offset`, or the next. */
function runAt({ batches, logEndOffset }: Partition, offset: number): RetainedUnit | undefined {
  const { runCount } = batches;
  const run = Math.max(0, batches.indexOfOffset(offset));
  if (run >= runCount) return undefined;
  const { baseOffset: startOffset, spanBytes: sizeBytes, maxTimestampMs } = batches.runAt(run);
  const endOffset = run + 1 < runCount ? batches.runAt(run + 1).baseOffset : logEndOffset;
  if (endOffset <= offset) return undefined;
  const times = { minTimestampMs: maxTimestampMs, maxTimestampMs };
  if (maxTimestampMs < 0) times.maxTimestampMs = NEVER;
  return { startOffset, endOffset, sizeBytes, ...times };
}
