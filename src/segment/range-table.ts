/**
 * The ranges of one partition in all segments: rows in the order of their offsets, in typed arrays. They never
 * overlap; between them offsets may be missing. A row takes 88 bytes, and a few for the maxima of its time.
 */

import { assert } from "../core/assert.ts";
import { MaximumTree } from "./maximum-tree.ts";
import { Rows, resized } from "./rows.ts";
import type { PartitionRange } from "./segment-facts.ts";

const GROWTH = 1.5;
const CAPACITY_MIN = 4;

/** Fields of a row: float64 first, then the words behind them. */
const END_OFFSET = 0;
const POSITION = 1;
const SIZE_BYTES = 2;
const MIN_TIMESTAMP_MS = 3;
const RECORD_COUNT = 4;
const NEXT_START_OFFSET = 5;
const BATCH_COUNT = 12;
const ROW_START = 13;
const ROW_COUNT = 14;
const SLOT = 15;
const NEXT_TABLE = 16;
/** In float64. */
const WIDTH = 9;
/** In words. */
const WORDS = 2 * WIDTH;

/** Where a segment's range lies: in which table, and the row that starts at `startOffset`. */
export interface RangePlace {
  readonly tableNumber: number;
  readonly startOffset: number;
}

/** The place of a range that there is not. */
export const NO_PLACE: RangePlace = { tableNumber: 0xffff_ffff, startOffset: 0 };

/** The object that a range lies in. */
export interface RangeObject {
  readonly segmentId: string;
  readonly lengthBytes: number;
}

const NO_OBJECT: RangeObject = { segmentId: "", lengthBytes: 0 };

/** What a row says beside its range. */
export interface RangeLink {
  /** Of its segment in the segment table. */
  readonly slot: number;
  /** The segment's next range, or `NO_PLACE`. */
  readonly next: RangePlace;
}

/** Rows that lookups may return are those with `endOffset > logStartOffset`, unless the topic is deleted. */
export class RangeTable {
  readonly topicId: string;
  readonly partition: number;
  /** By which segments refer to it. */
  readonly number: number;
  logStartOffset = 0;
  isDeleted = false;
  #count = 0;
  #starts = new Float64Array(0);
  #maxTimestamps = new Float64Array(0);
  readonly #rows = new Rows(WIDTH);
  readonly #maxima = new MaximumTree();
  /** Rows from here on changed since the maxima were computed; infinite if none did. */
  #staleFrom = Number.POSITIVE_INFINITY;

  constructor(place: { readonly topicId: string; readonly partition: number }, number: number) {
    this.topicId = place.topicId;
    this.partition = place.partition;
    this.number = number;
  }

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    const columnBytes = this.#starts.byteLength + this.#maxTimestamps.byteLength;
    return columnBytes + this.#rows.sizeBytes + this.#maxima.sizeBytes;
  }

  startOffset(index: number): number {
    return this.#starts[index] as number;
  }

  endOffset(index: number): number {
    return this.#rows.numbers[index * WIDTH + END_OFFSET] as number;
  }

  sizeBytesAt(index: number): number {
    return this.#rows.numbers[index * WIDTH + SIZE_BYTES] as number;
  }

  slot(index: number): number {
    return this.#rows.words[index * WORDS + SLOT] as number;
  }

  next(index: number): RangePlace {
    return {
      tableNumber: this.#rows.words[index * WORDS + NEXT_TABLE] as number,
      startOffset: this.#rows.numbers[index * WIDTH + NEXT_START_OFFSET] as number,
    };
  }

  /** Whether the range of a row, or one that ends there, may be returned. */
  isLive(endOffset: number): boolean {
    return !this.isDeleted && endOffset > this.logStartOffset;
  }

  /** The first row that ends after `offset`; `count` if there is none. */
  indexOf(offset: number): number {
    // Lookups by time begin at the log's start as a rule.
    if (this.#count === 0 || this.endOffset(0) > offset) return 0;
    const starts = this.#starts;
    let low = 1;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    // `low` is the first row that starts after `offset`; the one before may reach beyond it.
    return this.endOffset(low - 1) > offset ? low - 1 : low;
  }

  /** The first row from `from` on with a record at or after `timestampMs`; -1 if there is none. */
  indexSince(timestampMs: number, from: number): number {
    this.#refresh();
    return this.#maxima.firstAtLeast(this.#maxTimestamps, this.#count, from, timestampMs);
  }

  /** The first row from `from` on with the largest of their maximum timestamps; -1 if there is none. */
  indexOfMaxTimestamp(from: number): number {
    this.#refresh();
    const maximum = this.#maxima.maximum(this.#maxTimestamps, this.#count, from);
    return this.#maxima.firstAtLeast(this.#maxTimestamps, this.#count, from, maximum);
  }

  /** The range of a row alone. */
  range(index: number): PartitionRange {
    const { segmentId, lengthBytes, ...range } = this.found(index, NO_OBJECT);
    return range;
  }

  /** The range of a row with the object it lies in: in one piece, because a copy costs as much as the search. */
  found(index: number, { segmentId, lengthBytes }: RangeObject): PartitionRange & RangeObject {
    const { numbers, words } = this.#rows;
    const at = index * WIDTH;
    const wordsAt = index * WORDS;
    return {
      topicId: this.topicId,
      partition: this.partition,
      startOffset: this.#starts[index] as number,
      endOffset: numbers[at + END_OFFSET] as number,
      position: numbers[at + POSITION] as number,
      sizeBytes: numbers[at + SIZE_BYTES] as number,
      minTimestampMs: numbers[at + MIN_TIMESTAMP_MS] as number,
      maxTimestampMs: this.#maxTimestamps[index] as number,
      batchCount: words[wordsAt + BATCH_COUNT] as number,
      recordCount: numbers[at + RECORD_COUNT] as number,
      rowStart: words[wordsAt + ROW_START] as number,
      rowCount: words[wordsAt + ROW_COUNT] as number,
      segmentId,
      lengthBytes,
    };
  }

  /** Whether a row that is in none of `ignoredSlots` shares an offset with `range`. */
  hasOverlap(range: PartitionRange, ignoredSlots: ReadonlySet<number>): boolean {
    let index = this.indexOf(range.startOffset);
    for (; index < this.#count && this.startOffset(index) < range.endOffset; index += 1) {
      if (!ignoredSlots.has(this.slot(index))) return true;
    }
    return false;
  }

  /** Puts a row in its place by offset. */
  insert(range: PartitionRange, link: RangeLink): void {
    const index = this.indexOf(range.startOffset);
    assert(
      index === this.#count || this.startOffset(index) >= range.endOffset,
      `${this.topicId}-${this.partition}: two segments have offset ${range.startOffset}`,
    );
    this.#ensure(this.#count + 1);
    this.#move(index, this.#count, index + 1);
    this.#count += 1;
    this.#write(index, range, link);
  }

  /** Adds a row behind the others, whatever its offset. `sort` must follow before anything is looked up. */
  append(range: PartitionRange, link: RangeLink): void {
    this.#ensure(this.#count + 1);
    this.#count += 1;
    this.#write(this.#count - 1, range, link);
  }

  /** Puts appended rows in order. @returns whether no two overlap. */
  sort(): boolean {
    if (!this.#isSorted()) {
      const order = Uint32Array.from({ length: this.#count }, (_, index) => index);
      const starts = this.#starts;
      order.sort((one, other) => (starts[one] as number) - (starts[other] as number));
      this.#starts = permuted(this.#starts, order);
      this.#maxTimestamps = permuted(this.#maxTimestamps, order);
      this.#rows.permute(order);
    }
    this.#staleFrom = 0;
    for (let index = 1; index < this.#count; index += 1) {
      if (this.endOffset(index - 1) > this.startOffset(index)) return false;
    }
    return true;
  }

  /** Removes rows. @param indexes of the rows, in any order, each once; never empty */
  remove(indexes: number[]): void {
    indexes.sort((one, other) => one - other);
    let target = indexes[0] as number;
    this.#staleFrom = Math.min(this.#staleFrom, target);
    for (const [position, index] of indexes.entries()) {
      const end = indexes[position + 1] ?? this.#count;
      this.#move(index + 1, end, target);
      target += end - index - 1;
    }
    this.#count = target;
    if (target * GROWTH * GROWTH < this.#starts.length) this.#resize(Math.ceil(target * GROWTH));
  }

  #isSorted(): boolean {
    for (let index = 1; index < this.#count; index += 1) {
      if (this.startOffset(index - 1) > this.startOffset(index)) return false;
    }
    return true;
  }

  #refresh(): void {
    if (this.#staleFrom === Number.POSITIVE_INFINITY) return;
    this.#maxima.update(this.#maxTimestamps, this.#count, this.#staleFrom);
    this.#staleFrom = Number.POSITIVE_INFINITY;
  }

  #write(index: number, range: PartitionRange, { slot, next }: RangeLink): void {
    this.#staleFrom = Math.min(this.#staleFrom, index);
    this.#starts[index] = range.startOffset;
    this.#maxTimestamps[index] = range.maxTimestampMs;
    const { numbers, words } = this.#rows;
    const at = index * WIDTH;
    numbers[at + END_OFFSET] = range.endOffset;
    numbers[at + POSITION] = range.position;
    numbers[at + SIZE_BYTES] = range.sizeBytes;
    numbers[at + MIN_TIMESTAMP_MS] = range.minTimestampMs;
    numbers[at + RECORD_COUNT] = range.recordCount;
    numbers[at + NEXT_START_OFFSET] = next.startOffset;
    const wordsAt = index * WORDS;
    words[wordsAt + BATCH_COUNT] = range.batchCount;
    words[wordsAt + ROW_START] = range.rowStart;
    words[wordsAt + ROW_COUNT] = range.rowCount;
    words[wordsAt + SLOT] = slot;
    words[wordsAt + NEXT_TABLE] = next.tableNumber;
  }

  /** Moves the rows `[start, end)` so that they begin at `target`. */
  #move(start: number, end: number, target: number): void {
    if (start === end) return;
    this.#starts.copyWithin(target, start, end);
    this.#maxTimestamps.copyWithin(target, start, end);
    this.#rows.move(start, end, target);
  }

  #ensure(count: number): void {
    const capacity = this.#starts.length;
    if (count > capacity) this.#resize(Math.max(CAPACITY_MIN, Math.ceil(capacity * GROWTH)));
  }

  #resize(capacity: number): void {
    this.#starts = resized(this.#starts, capacity);
    this.#maxTimestamps = resized(this.#maxTimestamps, capacity);
    this.#rows.resize(capacity);
  }
}

/** A copy whose number i is number `order[i]` of `column`. */
function permuted(column: Float64Array, order: Uint32Array): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(column.length);
  for (const [target, source] of order.entries()) copy[target] = column[source] as number;
  return copy;
}
