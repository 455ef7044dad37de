/**
 * Which records lie in which object: all registered segments, in memory, and their ranges by partition. A lookup is
 * a binary search. The main thread is the only owner; a change is whole or not at all.
 *
 * Invariant: ranges of one partition never overlap, whatever segments they lie in; offsets between them may be
 * missing. Of each segment it is known how many of its bytes lookups can still return.
 */

import { assert } from "../core/assert.ts";
import { NO_PLACE, type RangePlace, type RangeTable } from "./range-table.ts";
import { RangeTables } from "./range-tables.ts";
import { SegmentCounts, type SegmentIndexStats } from "./segment-counts.ts";
import {
  compareRanges,
  faultOfFacts,
  type PartitionRange,
  type SegmentFacts,
} from "./segment-facts.ts";
import { SegmentSnapshot } from "./segment-snapshot.ts";
import { type SegmentSummary, SegmentTable } from "./segment-table.ts";
import type { SegmentsChange } from "./segments-change.ts";

/** A range as lookups give it. */
export interface FoundRange extends PartitionRange {
  readonly segmentId: string;
  /** Of the object. */
  readonly lengthBytes: number;
}

/** A change, by the slots that it takes. */
interface ChangePlan {
  readonly removedSlots: ReadonlySet<number>;
  /** Their ranges stay as they are. */
  readonly updates: readonly (readonly [slot: number, facts: SegmentFacts])[];
  readonly additions: readonly SegmentFacts[];
}

/** The single owner of what is registered. */
export class SegmentIndex {
  #version = 0;
  readonly #segments = new SegmentTable();
  readonly #tables = new RangeTables();
  readonly #counts = new SegmentCounts();
  readonly #snapshots = new Set<SegmentSnapshot>();

  /** Rises with every change. */
  get version(): number {
    return this.#version;
  }

  /** Bytes of the tables in memory. It takes a while where there are many partitions. */
  get memoryBytes(): number {
    let sum = this.#segments.sizeBytes;
    for (const table of this.#tables.all()) sum += table.sizeBytes;
    return sum;
  }

  /**
   * Removes segments, then adds others; one that is known is replaced, and removing an unknown one does nothing.
   * @throws AssertionError, with nothing changed, if a range would overlap one of another segment
   */
  apply(change: SegmentsChange): void {
    const { removedSlots, updates, additions } = this.#planOf(change);
    const overlap = this.#overlapOf(additions, removedSlots);
    assert(overlap === undefined, overlap ?? "");
    if (removedSlots.size > 0) this.#remove(removedSlots);
    for (const facts of additions) this.#add(facts, "inOrder");
    for (const [slot, facts] of updates) this.#update(slot, facts);
    if (removedSlots.size + additions.length + updates.length > 0) this.#version += 1;
  }

  /** Why `apply` would refuse the change: a range would overlap another segment's. Undefined if it would not. */
  overlapOf(change: SegmentsChange): string | undefined {
    const { removedSlots, additions } = this.#planOf(change);
    return this.#overlapOf(additions, removedSlots);
  }

  /** Takes in a segment of a saved index, in any order, before anything else; `finishRestore` must follow. */
  restore(facts: SegmentFacts): void {
    this.#add(facts, "anyOrder");
  }

  /** @returns what is wrong with the segments that were restored. */
  finishRestore(): string | undefined {
    this.#version += 1;
    for (const table of this.#tables.all()) {
      if (!table.sort()) return `two segments have the same offset of ${nameOf(table)}`;
    }
    return undefined;
  }

  /** The range that holds `offset`, or the next one after it; undefined behind the last. */
  rangeOf(topicId: string, partition: number, offset: number): FoundRange | undefined {
    const table = this.#tables.findLive(topicId, partition);
    if (table === undefined) return undefined;
    return this.#found(table, table.indexOf(Math.max(offset, table.logStartOffset)));
  }

  /**
   * The first range, in the order of offsets, that has a record at or after `timestampMs` and ends after
   * `fromOffset`. The record itself may lie before `fromOffset`, in a range that holds both.
   */
  rangeSince(
    topicId: string,
    partition: number,
    timestampMs: number,
    fromOffset: number,
  ): FoundRange | undefined {
    const table = this.#tables.findLive(topicId, partition);
    if (table === undefined) return undefined;
    const from = table.indexOf(Math.max(fromOffset, table.logStartOffset));
    return this.#found(table, table.indexSince(timestampMs, from));
  }

  /** Of the ranges that end after `fromOffset`, the first with the largest of their maximum timestamps. */
  rangeOfMaxTimestamp(
    topicId: string,
    partition: number,
    fromOffset: number,
  ): FoundRange | undefined {
    const table = this.#tables.findLive(topicId, partition);
    if (table === undefined) return undefined;
    const from = table.indexOf(Math.max(fromOffset, table.logStartOffset));
    return this.#found(table, table.indexOfMaxTimestamp(from));
  }

  /** Of the first record that a lookup can return; undefined if there is none. */
  startOffset(topicId: string, partition: number): number | undefined {
    const table = this.#tables.findLive(topicId, partition);
    if (table === undefined) return undefined;
    const first = table.indexOf(table.logStartOffset);
    if (first === table.count) return undefined;
    return Math.max(table.startOffset(first), table.logStartOffset);
  }

  /** Exclusive end of what is in segments, deleted or not; undefined if nothing is. */
  endOffset(topicId: string, partition: number): number | undefined {
    const table = this.#tables.findLive(topicId, partition);
    if (table === undefined || table.count === 0) return undefined;
    return table.endOffset(table.count - 1);
  }

  /** All that lookups can return of a partition, in the order of offsets. Changes meanwhile do no harm. */
  *ranges(topicId: string, partition: number): Generator<FoundRange> {
    let range = this.rangeOf(topicId, partition, 0);
    while (range !== undefined) {
      yield range;
      range = this.rangeOf(topicId, partition, range.endOffset);
    }
  }

  /** Topics that are not deleted and have ranges. */
  topicIds(): Iterable<string> {
    return this.#tables.topicIds();
  }

  /** Partitions of a topic that have ranges, ascending; none of a deleted one. */
  partitions(topicId: string): readonly number[] {
    return this.#tables.partitions(topicId);
  }

  /** The facts as registered, ranges that lookups no longer return included. */
  segment(segmentId: string): SegmentFacts | undefined {
    const slot = this.#segments.slotOf(segmentId);
    return slot < 0 ? undefined : this.#factsAt(slot);
  }

  /** The facts without the ranges. */
  summary(segmentId: string): SegmentSummary | undefined {
    const slot = this.#segments.slotOf(segmentId);
    return slot < 0 ? undefined : this.#segments.summary(slot);
  }

  /** Every segment, in no particular order. The index must not change meanwhile. */
  *segments(): Generator<SegmentSummary> {
    for (let slot = 0; slot < this.#segments.slotEnd; slot += 1) {
      if (this.#segments.isUsed(slot)) yield this.#segments.summary(slot);
    }
  }

  /** Bytes of batches that lookups can return; 0 if the segment is unknown. */
  liveBytes(segmentId: string): number {
    const slot = this.#segments.slotOf(segmentId);
    return slot < 0 ? 0 : this.#segments.liveBytes(slot);
  }

  /** Bytes of batches that no lookup returns any more; 0 if the segment is unknown. */
  deadBytes(segmentId: string): number {
    const slot = this.#segments.slotOf(segmentId);
    return slot < 0 ? 0 : this.#segments.dataBytes(slot) - this.#segments.liveBytes(slot);
  }

  /** Segments of which lookups return nothing any more. */
  emptySegmentIds(): readonly string[] {
    return [...this.#segments.emptySlots].map((slot) => this.#segments.segmentId(slot));
  }

  stats(): SegmentIndexStats {
    return this.#counts.stats();
  }

  /** From now on no lookup returns a range of the topic, nor of one that is registered later. */
  deleteTopic(topicId: string): void {
    const tables = this.#tables.deleteTopic(topicId);
    if (tables.length === 0) return;
    for (const table of tables) {
      const firstLive = table.indexOf(table.logStartOffset);
      this.#lose(table, firstLive, table.count);
      this.#tables.maybeDrop(table);
    }
    this.#version += 1;
  }

  /** From now on no lookup returns a range that ends by `offset`. A log's start never goes back. */
  setLogStartOffset(topicId: string, partition: number, offset: number): void {
    if (offset <= (this.#tables.find(topicId, partition)?.logStartOffset ?? 0)) return;
    const table = this.#tables.ensure(topicId, partition);
    if (!table.isDeleted) {
      this.#lose(table, table.indexOf(table.logStartOffset), table.indexOf(offset));
    }
    table.logStartOffset = offset;
    this.#tables.maybeDrop(table);
    this.#version += 1;
  }

  /** The segments as they are now, to be walked over while others come and go. It must be closed. */
  snapshot(): SegmentSnapshot {
    const slots = {
      segmentCount: this.#segments.count,
      slotEnd: this.#segments.slotEnd,
      factsAt: (slot: number) =>
        slot < this.#segments.slotEnd && this.#segments.isUsed(slot)
          ? this.#factsAt(slot)
          : undefined,
    };
    const snapshot = new SegmentSnapshot(slots, () => this.#snapshots.delete(snapshot));
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  /** The row at `index` of a table as a lookup gives it; undefined if there is no such row. */
  #found(table: RangeTable, index: number): FoundRange | undefined {
    if (index < 0 || index >= table.count) return undefined;
    const slot = table.slot(index);
    const segmentId = this.#segments.segmentId(slot);
    return table.found(index, { segmentId, lengthBytes: this.#segments.lengthBytes(slot) });
  }

  /** The rows of a segment, in the order of its ranges. */
  *#rowsOf(slot: number): Generator<{ readonly table: RangeTable; readonly index: number }> {
    let place: RangePlace = this.#segments.head(slot);
    while (place.tableNumber !== NO_PLACE.tableNumber) {
      const table = this.#tables.byNumber(place.tableNumber);
      const index = table.indexOf(place.startOffset);
      assert(table.slot(index) === slot, "a segment's range is another's");
      place = table.next(index);
      yield { table, index };
    }
  }

  #factsAt(slot: number): SegmentFacts {
    const { rangeCount, dataBytes, deadBytes, ...rest } = this.#segments.summary(slot);
    const ranges: PartitionRange[] = [];
    for (const { table, index } of this.#rowsOf(slot)) ranges.push(table.range(index));
    assert(ranges.length === rangeCount, "a segment has lost a range");
    return { ...rest, ranges };
  }

  #hasRanges(slot: number, ranges: readonly PartitionRange[]): boolean {
    const known = this.#factsAt(slot).ranges;
    return (
      known.length === ranges.length &&
      known.every((range, index) => Bun.deepEquals(range, ranges[index]))
    );
  }

  /** What a change does to which slots. @throws AssertionError if it can't be */
  #planOf({ added, removedIds }: SegmentsChange): ChangePlan {
    const addedIds = new Set(added.map(({ segmentId }) => segmentId));
    assert(addedIds.size === added.length, "a segment is added twice");
    const removedSlots = new Set<number>();
    for (const segmentId of removedIds) {
      const slot = this.#segments.slotOf(segmentId);
      if (slot >= 0) removedSlots.add(slot);
    }
    const updates: (readonly [slot: number, facts: SegmentFacts])[] = [];
    const additions: SegmentFacts[] = [];
    for (const facts of added) {
      const fault = faultOfFacts(facts);
      assert(fault === undefined, `segment ${facts.segmentId}: ${fault}`);
      const slot = this.#segments.slotOf(facts.segmentId);
      const isKept = slot >= 0 && !removedSlots.has(slot) && this.#hasRanges(slot, facts.ranges);
      if (isKept) updates.push([slot, facts]);
      else additions.push(facts);
      if (slot >= 0 && !isKept) removedSlots.add(slot);
    }
    return { removedSlots, updates, additions };
  }

  /** Which two ranges would overlap; undefined if none would. */
  #overlapOf(
    additions: readonly SegmentFacts[],
    removedSlots: ReadonlySet<number>,
  ): string | undefined {
    const ranges = additions.flatMap((facts) => facts.ranges);
    for (const range of ranges) {
      const table = this.#tables.find(range.topicId, range.partition);
      if (table?.hasOverlap(range, removedSlots)) {
        return `${nameOf(range)}: another segment has offset ${range.startOffset} too`;
      }
    }
    if (additions.length < 2) return undefined;
    ranges.sort((one, other) => compareRanges(one, other) || one.startOffset - other.startOffset);
    for (const [index, range] of ranges.entries()) {
      const last = ranges[index - 1];
      const isFree =
        last === undefined || compareRanges(last, range) < 0 || last.endOffset <= range.startOffset;
      if (!isFree) return `${nameOf(range)}: two segments have offset ${range.startOffset}`;
    }
    return undefined;
  }

  #add(facts: SegmentFacts, order: "inOrder" | "anyOrder"): void {
    const tables = facts.ranges.map((range) => this.#tables.ensure(range.topicId, range.partition));
    let dataBytes = 0;
    let liveBytes = 0;
    for (const [index, range] of facts.ranges.entries()) {
      dataBytes += range.sizeBytes;
      if (tables[index]?.isLive(range.endOffset)) liveBytes += range.sizeBytes;
    }
    const slot = this.#segments.add(facts, { dataBytes, liveBytes });
    for (const snapshot of this.#snapshots) snapshot.skip(slot);
    // From the last to the first, because each names the next.
    let next = NO_PLACE;
    for (const range of facts.ranges.toReversed()) {
      const table = tables.pop();
      assert(table !== undefined, "a range has a table");
      if (order === "inOrder") table.insert(range, { slot, next });
      else table.append(range, { slot, next });
      next = { tableNumber: table.number, startOffset: range.startOffset };
    }
    this.#segments.setHead(slot, next);
    this.#counts.add(this.#segments.summary(slot));
  }

  #remove(slots: ReadonlySet<number>): void {
    const indexes = new Map<RangeTable, number[]>();
    for (const slot of slots) {
      for (const snapshot of this.#snapshots) snapshot.beforeChange(slot);
      for (const { table, index } of this.#rowsOf(slot)) {
        const list = indexes.get(table);
        if (list === undefined) indexes.set(table, [index]);
        else list.push(index);
      }
    }
    for (const [table, list] of indexes) {
      table.remove(list);
      this.#tables.maybeDrop(table);
    }
    for (const slot of slots) {
      this.#counts.remove(this.#segments.summary(slot));
      this.#segments.remove(slot);
    }
  }

  /** Replaces all but the ranges. */
  #update(slot: number, facts: SegmentFacts): void {
    for (const snapshot of this.#snapshots) snapshot.beforeChange(slot);
    this.#counts.remove(this.#segments.summary(slot));
    this.#segments.update(slot, facts);
    this.#counts.add(this.#segments.summary(slot));
  }

  /** The live rows `[start, end)` of a table die. */
  #lose(table: RangeTable, start: number, end: number): void {
    for (let index = start; index < end; index += 1) {
      const slot = table.slot(index);
      const bytes = table.sizeBytesAt(index);
      this.#segments.loseBytes(slot, bytes);
      this.#counts.loseBytes(this.#segments.level(slot), bytes);
    }
  }
}

function nameOf({ topicId, partition }: { topicId: string; partition: number }): string {
  return `${topicId}-${partition}`;
}
