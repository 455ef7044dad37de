/** What a registration does to the segments there are. */

import type { SegmentFacts } from "./segment-facts.ts";

/** All at once; a segment that is both added and removed stays, with new facts. */
export interface SegmentsChange {
  readonly added: readonly SegmentFacts[];
  readonly removedIds: readonly string[];
}

/** The segments that are no longer there after the change. */
export function goneIdsOf({ added, removedIds }: SegmentsChange): string[] {
  const addedIds = new Set(added.map(({ segmentId }) => segmentId));
  return removedIds.filter((segmentId) => !addedIds.has(segmentId));
}
