/** Which indexes a search has to look into, and what must be left out of them. */

import type { ShimFilter } from "../core/shim-query.ts";
import type { TimeRange } from "../segment/segment-facts.ts";
import type { QueryBounds } from "./query-bounds.ts";

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
  /** Those of which it has batches, by topic id, where that is known. */
  readonly partitions?: ReadonlyMap<string, readonly number[]>;
  /** Of its records, where they are known. */
  readonly times?: TimeRange | null;
  /** Why it cannot be searched. */
  readonly damage?: string | undefined;
}

/** A segment that should be searched, and cannot be. */
export interface SegmentFailure {
  readonly segment: PlannedSegment;
  readonly reason: string;
}

/** For `searchIndexes`. */
export interface SearchPlan {
  readonly indexNumbers: readonly number[];
  /** Whose indexes are searched, too. */
  readonly segments: readonly PlannedSegment[];
  readonly filter: ShimFilter | undefined;
  /** Segments that were left out because no hit can be in them. */
  readonly prunedCount: number;
  /** Segments that are left out because they are known to be damaged. */
  readonly failures: readonly SegmentFailure[];
}

/** Where each partition of a topic begins whose first records were deleted. */
export type LogStartOffsetsOf = (
  topicId: string,
) => Iterable<{ readonly partition: number; readonly offset: number }>;

export interface PlanOptions {
  /** Topics that are searched, and their names. */
  readonly wanted: ReadonlyMap<string, string>;
  readonly logStartOffsetsOf: LogStartOffsetsOf;
  /** Of the query. */
  readonly bounds?: QueryBounds;
}

/**
 * The plan for a search. Indexes in which no hit can be are not opened; what else the others hold, deleted records
 * included, is filtered out.
 */
export function planSearch(
  generations: Iterable<SearchedGeneration>,
  { wanted, logStartOffsetsOf, bounds = {} }: PlanOptions,
): SearchPlan {
  const indexNumbers: number[] = [];
  const segments: PlannedSegment[] = [];
  const present = new Set<string>();
  const unwanted = new Set<string>();
  const searched = topicsWithin(wanted, bounds);
  const failures: SegmentFailure[] = [];
  let prunedCount = 0;
  for (const generation of generations) {
    const { indexNumber, segment, damage } = generation;
    if (indexNumber === undefined && segment === undefined) continue;
    const ids = [...generation.topicIds];
    if (!isWithin(generation, ids, { searched, bounds })) {
      prunedCount += segment === undefined ? 0 : 1;
      continue;
    }
    if (indexNumber !== undefined) indexNumbers.push(indexNumber);
    if (segment !== undefined && damage !== undefined) failures.push({ segment, reason: damage });
    else if (segment !== undefined) segments.push(segment);
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
  return { indexNumbers, segments, filter, prunedCount, failures };
}

function topicsWithin(
  wanted: ReadonlyMap<string, string>,
  { topics }: QueryBounds,
): ReadonlySet<string> {
  const names = topics && new Set(topics);
  const ids = [...wanted].filter(([, name]) => names?.has(name) ?? true);
  return new Set(ids.map(([topicId]) => topicId));
}

/** Whether a hit may be in an index. */
function isWithin(
  { times, partitions }: SearchedGeneration,
  topicIds: readonly string[],
  query: { readonly searched: ReadonlySet<string>; readonly bounds: QueryBounds },
): boolean {
  const { searched, bounds } = query;
  if (
    times &&
    (times.maxMs < (bounds.minMs ?? -Infinity) || times.minMs > (bounds.maxMs ?? Infinity))
  ) {
    return false;
  }
  return topicIds.some((topicId) => {
    if (!searched.has(topicId)) return false;
    const own = partitions?.get(topicId);
    if (own === undefined || bounds.partitions === undefined) return true;
    return bounds.partitions.some((partition) => own.includes(partition));
  });
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
