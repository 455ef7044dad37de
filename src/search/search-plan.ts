/** Which indexes a search has to look into, and what must be left out of them. */

import type { ShimFilter } from "../core/shim-query.ts";

/** A segment whose index is to be opened. */
export interface PlannedSegment {
  readonly segmentId: string;
  /** Of its archive. */
  readonly path: string;
  readonly lengthBytes: number;
}

/** An index that may be searched. */
export interface SearchedGeneration {
  /** Undefined if it holds no record, or is that of a segment. */
  readonly indexNumber: number | undefined;
  readonly segment?: PlannedSegment;
  /** Topics that have records in it; deleted ones too. */
  readonly topicIds: Iterable<string>;
}

/** For `searchIndexes`. */
export interface SearchPlan {
  readonly indexNumbers: readonly number[];
  /** Whose indexes are searched, too. */
  readonly segments: readonly PlannedSegment[];
  readonly filter: ShimFilter | undefined;
}

/** Where each partition of a topic begins whose first records were deleted. */
export type LogStartOffsetsOf = (
  topicId: string,
) => Iterable<{ readonly partition: number; readonly offset: number }>;

/**
 * The plan for a search over the topics `wanted`. Indexes without any of them are not opened; what else they
 * hold, deleted records included, is filtered out.
 */
export function planSearch(
  generations: Iterable<SearchedGeneration>,
  wanted: ReadonlySet<string>,
  logStartOffsetsOf: LogStartOffsetsOf,
): SearchPlan {
  const indexNumbers: number[] = [];
  const segments: PlannedSegment[] = [];
  const present = new Set<string>();
  const unwanted = new Set<string>();
  for (const { indexNumber, segment, topicIds } of generations) {
    if (indexNumber === undefined && segment === undefined) continue;
    const ids = [...topicIds];
    if (!ids.some((topicId) => wanted.has(topicId))) continue;
    if (indexNumber !== undefined) indexNumbers.push(indexNumber);
    if (segment !== undefined) segments.push(segment);
    for (const topicId of ids) (wanted.has(topicId) ? present : unwanted).add(topicId);
  }
  const topics = topicFilterOf(present, unwanted);
  const offsetRanges = [...present].flatMap((topicId) =>
    Array.from(logStartOffsetsOf(topicId), ({ partition, offset: start }) => ({
      topicId,
      partition,
      start,
    })),
  );
  const filter = offsetRanges.length > 0 ? { ...topics, offsetRanges } : topics;
  return { indexNumbers, segments, filter };
}

/** Undefined if all topics that are there are wanted. */
function topicFilterOf(
  present: ReadonlySet<string>,
  unwanted: ReadonlySet<string>,
): ShimFilter | undefined {
  if (unwanted.size === 0) return undefined;
  return present.size <= unwanted.size
    ? { topicIds: [...present] }
    : { excludedTopicIds: [...unwanted] };
}
