/** How many segments there are and how large they are, kept up with each change. */

import type { SegmentSummary } from "./segment-table.ts";

/** Sums over segments. */
export interface SegmentSums {
  readonly segmentCount: number;
  /** Stretches of one partition in one segment. */
  readonly rangeCount: number;
  /** Of the objects as they lie in the store. */
  readonly objectBytes: number;
  /** Of the batches in them, as clients sent them. */
  readonly dataBytes: number;
  /** Of those, bytes that no lookup returns: of deleted topics, or below the log's start. */
  readonly deadBytes: number;
  /** Segments that have a search index, and what those hold. */
  readonly indexedSegmentCount: number;
  readonly documentCount: number;
  readonly searchIndexBytes: number;
}

/** For `/metrics` and `GET /api/segments`. */
export interface SegmentIndexStats extends SegmentSums {
  /** Ascending; levels without a segment are left out. */
  readonly byLevel: readonly (SegmentSums & { readonly level: number })[];
}

type MutableSums = { -readonly [Field in keyof SegmentSums]: number };

/** The sums of all segments and of each level. */
export class SegmentCounts {
  readonly #total = zero();
  readonly #byLevel = new Map<number, MutableSums>();

  add(segment: SegmentSummary): void {
    let level = this.#byLevel.get(segment.level);
    if (level === undefined) {
      level = zero();
      this.#byLevel.set(segment.level, level);
    }
    account(this.#total, segment, 1);
    account(level, segment, 1);
  }

  /** @param segment as it is now, bytes that died meanwhile included */
  remove(segment: SegmentSummary): void {
    const level = this.#byLevel.get(segment.level) ?? zero();
    account(this.#total, segment, -1);
    account(level, segment, -1);
    if (level.segmentCount === 0) this.#byLevel.delete(segment.level);
  }

  /** Live bytes of a segment died. */
  loseBytes(level: number, bytes: number): void {
    this.#total.deadBytes += bytes;
    const sums = this.#byLevel.get(level);
    if (sums !== undefined) sums.deadBytes += bytes;
  }

  stats(): SegmentIndexStats {
    const byLevel = [...this.#byLevel].map(([level, sums]) => ({ level, ...sums }));
    byLevel.sort((one, other) => one.level - other.level);
    return { ...this.#total, byLevel };
  }
}

function zero(): MutableSums {
  return {
    segmentCount: 0,
    rangeCount: 0,
    objectBytes: 0,
    dataBytes: 0,
    deadBytes: 0,
    indexedSegmentCount: 0,
    documentCount: 0,
    searchIndexBytes: 0,
  };
}

function account(sums: MutableSums, segment: SegmentSummary, sign: 1 | -1): void {
  sums.segmentCount += sign;
  sums.rangeCount += sign * segment.rangeCount;
  sums.objectBytes += sign * segment.lengthBytes;
  sums.dataBytes += sign * segment.dataBytes;
  sums.deadBytes += sign * segment.deadBytes;
  if (segment.searchIndex === null) return;
  sums.indexedSegmentCount += sign;
  sums.documentCount += sign * segment.searchIndex.documentCount;
  sums.searchIndexBytes += sign * segment.searchIndex.sizeBytes;
}
