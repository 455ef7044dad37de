/** Follows each partition through segments and WAL: every offset from its start to its end, once. */

import type { PartitionPlace } from "../log/sealed-log.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { SegmentIndex } from "./segment-index.ts";

/** Offsets that follow one another. */
interface Stretch {
  readonly start: number;
  /** Exclusive. */
  end: number;
}

/** What the WAL holds of one partition. */
interface WalReach extends PartitionPlace {
  readonly stretches: Stretch[];
  fault: string | undefined;
}

/** The batches of the WAL, by partition. */
export class WalReaches {
  readonly #reaches = new Map<string, WalReach>();

  /** The next batch, in the order of the WAL. */
  add({ topicId, partition }: PartitionPlace, header: BatchHeader): void {
    const { baseOffset, lastOffsetDelta } = header;
    const key = keyOf({ topicId, partition });
    let reach = this.#reaches.get(key);
    if (reach === undefined) {
      reach = { topicId, partition, stretches: [], fault: undefined };
      this.#reaches.set(key, reach);
    }
    const end = baseOffset + lastOffsetDelta + 1;
    const last = reach.stretches.at(-1);
    if (last !== undefined && baseOffset < last.end) {
      reach.fault ??= `offset ${baseOffset} comes again in the WAL, which has reached ${last.end}`;
    }
    if (last?.end === baseOffset) last.end = end;
    else reach.stretches.push({ start: baseOffset, end });
  }

  of(place: PartitionPlace): WalReach {
    return this.#reaches.get(keyOf(place)) ?? { ...place, stretches: [], fault: undefined };
  }
}

/** What a partition must have. */
export interface ExpectedReach extends PartitionPlace {
  readonly logStartOffset: number;
  /** Known to have been written, exclusive; 0 if nothing is known. */
  readonly logEndOffset: number;
  /** Compaction may have taken any offset. */
  readonly isCompacted: boolean;
}

/** What is wrong with one partition; undefined if nothing is. */
export function faultOfReach(
  expected: ExpectedReach,
  { index, walReaches }: { readonly index: SegmentIndex; readonly walReaches: WalReaches },
): string | undefined {
  const { topicId, partition, logStartOffset, logEndOffset, isCompacted } = expected;
  const { stretches, fault } = walReaches.of(expected);
  if (fault !== undefined) return fault;
  let next = logStartOffset;
  for (const range of index.ranges(topicId, partition)) {
    if (range.startOffset > next && !isCompacted) return gap(next, range.startOffset);
    next = Math.max(next, range.endOffset);
  }
  for (const { start, end } of stretches) {
    if (end <= next) continue;
    if (start > next && !isCompacted) return gap(next, start);
    next = end;
  }
  return next < logEndOffset ? gap(next, logEndOffset) : undefined;
}

function gap(start: number, end: number): string {
  return `offsets ${start} to ${end - 1} are neither in a segment nor in the WAL`;
}

function keyOf({ topicId, partition }: PartitionPlace): string {
  return `${topicId}/${partition}`;
}
