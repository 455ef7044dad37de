/**
 * How many parts of the index a search looked into, in Elasticsearch's words: each segment's index and each generation
 * is a shard (source: Elasticsearch reference, "Search API"). One that could not be read has failed; one in which no
 * hit can be is skipped.
 */

import { segmentFileName } from "../segment/segment-writer.ts";
import { SearchError } from "./elasticsearch-error.ts";
import type { SearchPlan, SegmentFailure } from "./search-plan.ts";

/** `_shards` of an answer. */
export interface Shards {
  readonly total: number;
  readonly successful: number;
  readonly skipped: number;
  readonly failed: number;
  readonly failures?: readonly ShardFailure[];
}

export interface ShardFailure {
  readonly shard: number;
  /** The object's name. */
  readonly index: string;
  readonly reason: { readonly type: string; readonly reason: string };
}

/** `failures`: all of them, those that were planned included. */
export function shardsOf(plan: SearchPlan, failures: readonly SegmentFailure[]): Shards {
  const { indexNumbers, segments, prunedCount } = plan;
  const total = indexNumbers.length + segments.length + plan.failures.length + prunedCount;
  const counts = { total, successful: total - failures.length, skipped: prunedCount };
  if (failures.length === 0) return { ...counts, failed: 0 };
  return { ...counts, failed: failures.length, failures: failures.map(shardFailureOf) };
}

/** @throws SearchError 500 if nothing could be searched, or a part could not and all is wanted */
export function checkShards(shards: Shards, allowsPartial: boolean): void {
  const { successful, skipped, failed, failures = [] } = shards;
  if (failed === 0) return;
  const isNothing = successful === skipped;
  if (allowsPartial && !isNothing) return;
  const reason = isNothing ? "all shards failed" : "Partial shards failure";
  throw new SearchError(500, "search_phase_execution_exception", reason, {
    phase: "query",
    grouped: true,
    failed_shards: failures,
  });
}

function shardFailureOf({ segment, reason }: SegmentFailure, shard: number): ShardFailure {
  const name = segmentFileName(segment.segmentId);
  return {
    shard,
    index: name,
    reason: {
      type: "corrupt_index_exception",
      // Where the data directory lies is no client's business.
      reason: reason.replaceAll(segment.path, name),
    },
  };
}
