/** The index of segments done the slow way, and histories of seals, merges and deletions to compare with. */

import type { Random } from "../../src/core/clock.ts";
import { uuidOf } from "../../src/protocol/uuid.ts";
import {
  compareRanges,
  type PartitionRange,
  type SegmentFacts,
} from "../../src/segment/segment-facts.ts";
import type { FoundRange, SegmentIndex } from "../../src/segment/segment-index.ts";
import type { SegmentsChange } from "../../src/segment/segments-change.ts";

/** An id of chance that can be had again. */
export function uuidFrom(random: Random): string {
  const bytes = Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256));
  return uuidOf(bytes, 0);
}

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/** Lookups by looking at everything. */
export class ModelIndex {
  /** In the order of their records: of any partition, a later segment has later offsets. */
  segments: SegmentFacts[] = [];
  readonly deletedTopicIds = new Set<string>();
  readonly logStartOffsets = new Map<string, number>();

  logStartOffset(topicId: string, partition: number): number {
    return this.logStartOffsets.get(`${topicId}-${partition}`) ?? 0;
  }

  isLive(range: PartitionRange): boolean {
    if (this.deletedTopicIds.has(range.topicId)) return false;
    return range.endOffset > this.logStartOffset(range.topicId, range.partition);
  }

  ranges(topicId: string, partition: number): FoundRange[] {
    const found = this.segments.flatMap(({ segmentId, lengthBytes, ranges }) =>
      ranges.map((range) => ({ ...range, segmentId, lengthBytes })),
    );
    return found.filter(
      (range) => range.topicId === topicId && range.partition === partition && this.isLive(range),
    );
  }

  rangeOf(topicId: string, partition: number, offset: number): FoundRange | undefined {
    return this.ranges(topicId, partition).find(({ endOffset }) => endOffset > offset);
  }

  rangeSince(topicId: string, partition: number, timestampMs: number, fromOffset: number) {
    return this.ranges(topicId, partition).find(
      (range) => range.endOffset > fromOffset && range.maxTimestampMs >= timestampMs,
    );
  }

  rangeOfMaxTimestamp(topicId: string, partition: number, fromOffset: number) {
    const ranges = this.ranges(topicId, partition).filter((each) => each.endOffset > fromOffset);
    const maximum = Math.max(...ranges.map(({ maxTimestampMs }) => maxTimestampMs));
    return ranges.find(({ maxTimestampMs }) => maxTimestampMs === maximum);
  }

  startOffset(topicId: string, partition: number): number | undefined {
    const first = this.ranges(topicId, partition)[0];
    return first && Math.max(first.startOffset, this.logStartOffset(topicId, partition));
  }

  endOffset(topicId: string, partition: number): number | undefined {
    if (this.deletedTopicIds.has(topicId)) return undefined;
    const lastEnd = this.ranges(topicId, partition).at(-1)?.endOffset ?? 0;
    return Math.max(lastEnd, this.logStartOffset(topicId, partition)) || undefined;
  }

  liveBytes({ ranges }: SegmentFacts): number {
    return ranges.reduce((sum, each) => sum + (this.isLive(each) ? each.sizeBytes : 0), 0);
  }

  dataBytes({ ranges }: SegmentFacts): number {
    return ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }
}

/** Makes a history: each step changes the model and says what to do to an index. */
export class History {
  readonly model = new ModelIndex();
  readonly topicIds: readonly string[];
  readonly partitionCount = 4;
  readonly #random: Random;
  readonly #nextOffsets = new Map<string, number>();
  #address = 0;
  #nowMs = 1_000;

  constructor(random: Random, topicCount = 4) {
    this.#random = random;
    this.topicIds = Array.from({ length: topicCount }, () => uuidFrom(random));
  }

  /** One random step on the model and on `index`. */
  step(index: SegmentIndex): void {
    const chance = this.#random();
    if (chance < 0.55) index.apply(this.#sealed());
    else if (chance < 0.8) index.apply(this.#merged());
    else if (chance < 0.88) index.apply(this.#indexed());
    else if (chance < 0.97) this.#advanceLogStart(index);
    else if (chance < 0.98) this.#deleteTopic(index);
    else index.apply(this.#removed());
  }

  /** A place that there may be. */
  place(): { topicId: string; partition: number } {
    const topicId = this.topicIds[below(this.#random, this.topicIds.length)] ?? "";
    return { topicId, partition: below(this.#random, this.partitionCount) };
  }

  /** A new segment of some partitions, behind all others. */
  #sealed(): SegmentsChange {
    const ranges: PartitionRange[] = [];
    for (const topicId of this.topicIds) {
      for (let partition = 0; partition < this.partitionCount; partition += 1) {
        if (this.#random() < 0.4) ranges.push(this.#newRange(topicId, partition));
      }
    }
    const facts = this.#facts(ranges, 0);
    this.model.segments.push(facts);
    return { added: [facts], removedIds: [] };
  }

  /** Some neighbours become one segment, or one per topic; dead ranges are left out now and then. */
  #merged(): SegmentsChange {
    const { segments } = this.model;
    const start = below(this.#random, segments.length + 1);
    const old = segments.slice(start, start + 1 + below(this.#random, 6));
    if (old.length === 0) return { added: [], removedIds: [] };
    const isPurged = this.#random() < 0.5;
    const kept = mergedRanges(old).filter((range) => !isPurged || this.model.isLive(range));
    const topicIds = [...new Set(kept.map(({ topicId }) => topicId))];
    const parts =
      this.#random() < 0.5
        ? topicIds.map((topicId) => kept.filter((range) => range.topicId === topicId))
        : [kept].filter((ranges) => ranges.length > 0);
    const level = 1 + Math.max(...old.map((facts) => facts.level));
    const added = parts.map((ranges) => this.#facts(ranges, level));
    segments.splice(start, old.length, ...added);
    return { added, removedIds: old.map(({ segmentId }) => segmentId) };
  }

  /** A segment gets its search index, or loses a range while it keeps its id. */
  #indexed(): SegmentsChange {
    const { segments } = this.model;
    const position = below(this.#random, segments.length);
    const old = segments[position];
    if (old === undefined) return { added: [], removedIds: [uuidFrom(this.#random)] };
    const documentCount = below(this.#random, 99);
    const times =
      documentCount % 2 === 0 ? null : { minMs: documentCount, maxMs: 2 * documentCount };
    const searchIndex = { documentCount, sizeBytes: 7, times };
    const lengthBytes = old.lengthBytes + 100;
    const ranges = this.#random() < 0.2 ? old.ranges.slice(1) : old.ranges;
    const facts = { ...old, searchIndex, lengthBytes, ranges };
    segments[position] = facts;
    return { added: [facts], removedIds: [] };
  }

  #removed(): SegmentsChange {
    const { segments } = this.model;
    const removed = segments.splice(below(this.#random, segments.length + 1), 1);
    return { added: [], removedIds: removed.map(({ segmentId }) => segmentId) };
  }

  #advanceLogStart(index: SegmentIndex): void {
    const { topicId, partition } = this.place();
    const offset = below(this.#random, 1 + (this.#nextOffsets.get(`${topicId}-${partition}`) ?? 0));
    const known = this.model.logStartOffset(topicId, partition);
    this.model.logStartOffsets.set(`${topicId}-${partition}`, Math.max(known, offset));
    index.setLogStartOffset(topicId, partition, offset);
  }

  #deleteTopic(index: SegmentIndex): void {
    const { topicId } = this.place();
    this.model.deletedTopicIds.add(topicId);
    index.deleteTopic(topicId);
  }

  /** The next records of a partition, after a gap now and then; their times jump back and forth. */
  #newRange(topicId: string, partition: number): PartitionRange {
    const key = `${topicId}-${partition}`;
    const gap = this.#random() < 0.1 ? below(this.#random, 5) : 0;
    const startOffset = (this.#nextOffsets.get(key) ?? 0) + gap;
    const endOffset = startOffset + 1 + below(this.#random, 9);
    this.#nextOffsets.set(key, endOffset);
    this.#nowMs += 1;
    const minTimestampMs = this.#random() < 0.1 ? -1 : this.#nowMs + below(this.#random, 60) - 30;
    return {
      topicId,
      partition,
      startOffset,
      endOffset,
      position: 0,
      sizeBytes: 1 + below(this.#random, 1000),
      minTimestampMs,
      maxTimestampMs: minTimestampMs + below(this.#random, 20),
      batchCount: 1 + below(this.#random, 3),
      recordCount: endOffset - startOffset,
      rowStart: 0,
      rowCount: below(this.#random, 3),
    };
  }

  #facts(ranges: readonly PartitionRange[], level: number): SegmentFacts {
    this.#address += 10;
    return {
      segmentId: uuidFrom(this.#random),
      level,
      createdMs: this.#nowMs,
      lengthBytes: 1000 + below(this.#random, 1000),
      startAddress: this.#address - 10,
      endAddress: this.#address,
      searchIndex: null,
      ranges: placed(ranges),
    };
  }
}

/** One range per partition, from the first start to the last end. */
function mergedRanges(segments: readonly SegmentFacts[]): PartitionRange[] {
  const merged = new Map<string, PartitionRange>();
  for (const range of segments.flatMap(({ ranges }) => ranges)) {
    const key = `${range.topicId}-${range.partition}`;
    const last = merged.get(key);
    merged.set(key, {
      ...range,
      startOffset: last?.startOffset ?? range.startOffset,
      sizeBytes: (last?.sizeBytes ?? 0) + range.sizeBytes,
      minTimestampMs: Math.min(last?.minTimestampMs ?? Infinity, range.minTimestampMs),
      maxTimestampMs: Math.max(last?.maxTimestampMs ?? -Infinity, range.maxTimestampMs),
      recordCount: (last?.recordCount ?? 0) + range.recordCount,
    });
  }
  return [...merged.values()];
}

/** In order, each behind the one before it. */
function placed(ranges: readonly PartitionRange[]): PartitionRange[] {
  let position = 0;
  let rowStart = 0;
  return ranges.toSorted(compareRanges).map((range) => {
    const result = { ...range, position, rowStart };
    position += range.sizeBytes;
    rowStart += range.rowCount;
    return result;
  });
}
