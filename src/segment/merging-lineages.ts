/**
 * The registered segments as lineages of the merge policy, kept up to date with every change. Takes about 200 bytes
 * for each segment.
 */

import { assert } from "../core/assert.ts";
import { type MergeLimits, type OwnCandidate, ownWindow, sharedWindow } from "./merge-policy.ts";
import type { SegmentFacts } from "./segment-facts.ts";

export interface MergeWindow {
  readonly kind: "shared" | "own";
  /** In the order of the log. */
  readonly segmentIds: readonly string[];
}

interface Candidate extends OwnCandidate {
  /** Of the one topic of an own segment; undefined for a shared one. */
  readonly topicId: string | undefined;
  /** Tells own segments of one merge apart, which were split by partitions. */
  readonly partition: number;
  readyMs: number;
  separatedFrom: string | undefined;
}

export class MergingLineages {
  readonly #ownBytesMin: number;
  readonly #indexWaitMs: number;
  readonly #isIndexed: (topicId: string) => boolean;
  readonly #candidates = new Map<string, Candidate>();
  /** In the order of the log, by topic; those of undefined are the shared ones. */
  readonly #lineages = new Map<string | undefined, Candidate[]>();
  /** Lineages in which there may be a window. */
  readonly #changed = new Set<string | undefined>();

  /**
   * @param options.ownBytesMin a sealed segment of one topic with so many bytes is the topic's own
   * @param options.indexWaitMs so long a merge waits for a segment's search index; 0 where there will be none
   * @param options.isIndexed whether a topic's records are to be found; where none is, no index is waited for
   */
  constructor(options: {
    readonly ownBytesMin: number;
    readonly indexWaitMs: number;
    readonly isIndexed: (topicId: string) => boolean;
  }) {
    this.#ownBytesMin = options.ownBytesMin;
    this.#indexWaitMs = options.indexWaitMs;
    this.#isIndexed = options.isIndexed;
  }

  /** Adds a segment; one that is known takes on the new facts. */
  add(facts: SegmentFacts): void {
    this.remove(facts.segmentId);
    const candidate = this.#candidateOf(facts);
    const lineage = this.#lineages.get(candidate.topicId) ?? [];
    this.#lineages.set(candidate.topicId, lineage);
    lineage.splice(placeOf(lineage, candidate), 0, candidate);
    this.#candidates.set(candidate.segmentId, candidate);
    this.#changed.add(candidate.topicId);
  }

  remove(segmentId: string): void {
    const candidate = this.#candidates.get(segmentId);
    if (candidate === undefined) return;
    this.#candidates.delete(segmentId);
    const lineage = this.#lineages.get(candidate.topicId) ?? [];
    const place = placeOf(lineage, candidate);
    assert(lineage[place] === candidate, "a candidate lies in its lineage");
    lineage.splice(place, 1);
    if (lineage.length === 0) this.#lineages.delete(candidate.topicId);
    this.#changed.add(candidate.topicId);
  }

  /** What to merge next; shared segments first, as every topic's objects become fewer with them. */
  nextWindow(limits: MergeLimits, nowMs: number): MergeWindow | undefined {
    const shared = this.#windowOf(undefined, limits, nowMs);
    if (shared !== undefined) return shared;
    for (const topicId of this.#changed) {
      const window = this.#windowOf(topicId, limits, nowMs);
      if (window !== undefined) return window;
    }
    return undefined;
  }

  /** Looks at all lineages again: time has passed. */
  recheck(): void {
    for (const topicId of this.#lineages.keys()) this.#changed.add(topicId);
  }

  /** Others' ranges lie between these two own segments: they are not merged with each other. */
  separate(segmentId: string, beforeId: string): void {
    const candidate = this.#candidates.get(segmentId);
    if (candidate === undefined) return;
    candidate.separatedFrom = beforeId;
    this.#changed.add(candidate.topicId);
  }

  #candidateOf(facts: SegmentFacts): Candidate {
    const { segmentId, level, startAddress, createdMs, ranges } = facts;
    const first = ranges[0];
    const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    const hasOneTopic = first !== undefined && ranges.at(-1)?.topicId === first.topicId;
    const isAwaited =
      facts.searchIndex === null &&
      this.#indexWaitMs > 0 &&
      ranges.some(({ topicId }) => this.#isIndexed(topicId));
    // A small one as sealed was made for all topics, of which one was written to.
    const isOwn = hasOneTopic && (level > 0 || sizeBytes >= this.#ownBytesMin);
    return {
      segmentId,
      level,
      startAddress,
      sizeBytes,
      recordCount: ranges.reduce((sum, range) => sum + range.recordCount, 0),
      rangeCount: ranges.length,
      readyMs: isAwaited ? createdMs + this.#indexWaitMs : 0,
      topicId: isOwn ? first.topicId : undefined,
      partition: first?.partition ?? 0,
      separatedFrom: undefined,
    };
  }

  /** Leaves segments alone for a while: merging them failed. */
  setAside(segmentIds: readonly string[], untilMs: number): void {
    for (const segmentId of segmentIds) {
      const candidate = this.#candidates.get(segmentId);
      if (candidate !== undefined) candidate.readyMs = untilMs;
    }
  }

  #windowOf(
    topicId: string | undefined,
    limits: MergeLimits,
    nowMs: number,
  ): MergeWindow | undefined {
    if (!this.#changed.has(topicId)) return undefined;
    const lineage = this.#lineages.get(topicId) ?? [];
    const find = topicId === undefined ? sharedWindow : ownWindow;
    const window = find(lineage, limits, nowMs);
    if (window === undefined) {
      this.#changed.delete(topicId);
      return undefined;
    }
    const segmentIds = window.map(({ segmentId }) => segmentId);
    return { kind: topicId === undefined ? "shared" : "own", segmentIds };
  }
}

/** Where a candidate lies, or belongs, in its lineage. */
function placeOf(lineage: readonly Candidate[], candidate: Candidate): number {
  let low = 0;
  let high = lineage.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = lineage[middle];
    if (other !== undefined && compareCandidates(other, candidate) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compareCandidates(one: Candidate, other: Candidate): number {
  return (
    one.startAddress - other.startAddress ||
    one.partition - other.partition ||
    (one.segmentId < other.segmentId ? -1 : Number(one.segmentId > other.segmentId))
  );
}
