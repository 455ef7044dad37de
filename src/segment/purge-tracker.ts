/**
 * What has died in which segment, and when: the input of `purge-policy.ts`. It hears of every deletion before
 * the `SegmentIndex` does, and of every registration after it. What it knows is not kept over a restart: what is
 * found dead then is due at once.
 *
 * A range that lies in part before its log start offset is not dead for the index; how many of its bytes are dead is
 * taken from its offsets, as if batches were alike. Its time begins anew with each deletion in it, so that a client
 * that deletes what it has consumed does not make the broker write again what is dead as a whole soon after.
 */

import type { PurgeCandidate } from "./purge-policy.ts";
import type { FoundRange, SegmentIndex } from "./segment-index.ts";
import type { SegmentsChange } from "./segments-change.ts";

/** Names one partition for good. */
interface Place {
  readonly topicId: string;
  readonly partition: number;
}

/** When something was deleted, and how long its bytes may stay. */
export interface Deletion {
  readonly nowMs: number;
  readonly delayMs: number;
}

export interface PurgeTrackerOptions {
  readonly index: Pick<
    SegmentIndex,
    "rangeOf" | "partitions" | "liveBytes" | "deadBytes" | "segments" | "emptySegmentIds"
  >;
  /** 0 where no records were deleted. */
  logStartOffset(topicId: string, partition: number): number;
}

/** The dead part of a range that lives. */
interface DeadPart {
  readonly segmentId: string;
  readonly sizeBytes: number;
  readonly dueMs: number;
}

/** A partition whose log start offset lies in a range. */
interface StartedPartition {
  part: DeadPart | undefined;
  /** What was to go before it has gone; the batch that holds it is all that may be left. */
  purgedOffset: number;
}

/** It must be gone already. */
const DUE = Number.NEGATIVE_INFINITY;
/** Its share alone decides. */
const NEVER = Number.POSITIVE_INFINITY;

/** Invariant: every segment in which the index counts dead bytes has a time, from `start` on. */
export class PurgeTracker {
  readonly #options: PurgeTrackerOptions;
  /** When ranges of a segment that are dead have to be gone. */
  readonly #dueMs = new Map<string, number>();
  /** By topic id and partition: a log start offset lies in one range. */
  readonly #started = new Map<string, Map<number, StartedPartition>>();

  constructor(options: PurgeTrackerOptions) {
    this.#options = options;
  }

  /** Looks at what is dead when the broker starts; `places` are those whose first records were deleted. */
  start(places: Iterable<Place>): void {
    for (const { segmentId, deadBytes } of this.#options.index.segments()) {
      if (deadBytes > 0) this.#note(segmentId, DUE);
    }
    for (const place of places) this.#notePart(place, this.#logStartOffset(place), NEVER);
  }

  /** Before the index forgets the topic. */
  topicDeleted(topicId: string, { nowMs, delayMs }: Deletion): void {
    const dueMs = nowMs + delayMs;
    for (const partition of this.#options.index.partitions(topicId)) {
      const ranges = this.#rangesBelow({ topicId, partition }, NEVER);
      for (const { segmentId } of ranges) this.#note(segmentId, dueMs);
    }
    this.#started.delete(topicId);
  }

  /** Records below `offset` are deleted; before the index knows. */
  recordsDeleted(place: Place, offset: number, { nowMs, delayMs }: Deletion): void {
    const dueMs = nowMs + delayMs;
    for (const { segmentId, endOffset } of this.#rangesBelow(place, offset)) {
      if (endOffset <= offset) this.#note(segmentId, dueMs);
    }
    this.#notePart(place, offset, dueMs);
  }

  /** After the index has taken it in. */
  segmentsChanged({ added, removedIds }: SegmentsChange): void {
    const gone = new Set(removedIds);
    for (const { segmentId } of added) gone.delete(segmentId);
    let inheritedMs = NEVER;
    for (const segmentId of gone) {
      inheritedMs = Math.min(inheritedMs, this.#dueMs.get(segmentId) ?? NEVER);
      this.#dueMs.delete(segmentId);
    }
    for (const { segmentId, ranges } of added) {
      // What died while it was written was noted for the segments that it comes from.
      const isDead = this.#options.index.deadBytes(segmentId) > 0;
      if (isDead) this.#note(segmentId, inheritedMs === NEVER ? DUE : inheritedMs);
      for (const range of ranges) {
        const offset = this.#logStartOffset(range);
        if (offset <= range.startOffset || offset >= range.endOffset) continue;
        const started = this.#startedOf(range);
        // Whoever wrote segments again has left out what was dead.
        if (gone.size > 0) started.purgedOffset = offset;
        if (started.part?.segmentId !== segmentId) this.#notePart(range, offset, NEVER);
      }
    }
    for (const started of this.#allStarted()) {
      if (started.part && gone.has(started.part.segmentId)) started.part = undefined;
    }
  }

  /** Every segment in which something is dead. */
  candidates(): PurgeCandidate[] {
    const { index } = this.#options;
    const parts = this.#partsBySegment();
    const segmentIds = [...index.emptySegmentIds(), ...this.#dueMs.keys(), ...parts.keys()];
    return [...new Set(segmentIds)].map((segmentId) => {
      const part = parts.get(segmentId) ?? { sizeBytes: 0, dueMs: NEVER };
      return {
        segmentId,
        liveBytes: index.liveBytes(segmentId) - part.sizeBytes,
        deadBytes: index.deadBytes(segmentId) + part.sizeBytes,
        dueMs: Math.min(part.dueMs, this.#dueMs.get(segmentId) ?? NEVER),
      };
    });
  }

  #partsBySegment(): Map<string, { sizeBytes: number; dueMs: number }> {
    const bySegment = new Map<string, { sizeBytes: number; dueMs: number }>();
    for (const { part } of this.#allStarted()) {
      if (part === undefined) continue;
      const { segmentId, sizeBytes, dueMs } = part;
      const sum = bySegment.get(segmentId);
      if (sum === undefined) bySegment.set(segmentId, { sizeBytes, dueMs });
      else {
        sum.sizeBytes += sizeBytes;
        sum.dueMs = Math.min(sum.dueMs, dueMs);
      }
    }
    return bySegment;
  }

  #note(segmentId: string, dueMs: number): void {
    const known = this.#dueMs.get(segmentId) ?? NEVER;
    this.#dueMs.set(segmentId, Math.min(known, dueMs));
  }

  /** Replaces what is known of the place: the part that died last decides when. */
  #notePart(place: Place, offset: number, dueMs: number): void {
    const range = this.#options.index.rangeOf(place.topicId, place.partition, offset);
    const started = this.#startedOf(place);
    const sizeBytes = range === undefined ? 0 : deadBytesOf(range, started.purgedOffset, offset);
    const isDead = range !== undefined && sizeBytes > 0;
    started.part = isDead ? { segmentId: range.segmentId, sizeBytes, dueMs } : undefined;
  }

  #startedOf({ topicId, partition }: Place): StartedPartition {
    const partitions = this.#started.get(topicId) ?? new Map<number, StartedPartition>();
    this.#started.set(topicId, partitions);
    const started = partitions.get(partition) ?? { part: undefined, purgedOffset: 0 };
    partitions.set(partition, started);
    return started;
  }

  *#allStarted(): Generator<StartedPartition> {
    for (const partitions of this.#started.values()) yield* partitions.values();
  }

  *#rangesBelow({ topicId, partition }: Place, offset: number): Generator<FoundRange> {
    const { index } = this.#options;
    let range = index.rangeOf(topicId, partition, 0);
    while (range !== undefined && range.startOffset < offset) {
      yield range;
      range = index.rangeOf(topicId, partition, range.endOffset);
    }
  }

  #logStartOffset({ topicId, partition }: Place): number {
    return this.#options.logStartOffset(topicId, partition);
  }
}

/** About how many bytes of a range lie before `offset` and can go. The batch that holds it stays whole. */
function deadBytesOf(range: FoundRange, purgedOffset: number, offset: number): number {
  const { endOffset, sizeBytes, batchCount } = range;
  const startOffset = Math.max(range.startOffset, purgedOffset);
  const share = Math.max(0, (offset - startOffset) / (endOffset - startOffset));
  return Math.max(0, Math.floor(sizeBytes * share - sizeBytes / batchCount));
}
