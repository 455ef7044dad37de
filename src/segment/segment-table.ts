/**
 * The registered segments, without their ranges: one slot each, in typed arrays, found by id. A slot is used again
 * once its segment is gone. A segment takes about 126 bytes.
 */

import { assert } from "../core/assert.ts";
import { readUint32At, writeInt32At } from "../protocol/big-endian.ts";
import { setUuid, UUID_BYTES, uuidOf } from "../protocol/uuid.ts";
import { NO_PLACE, type RangePlace } from "./range-table.ts";
import { Rows } from "./rows.ts";
import type { SearchIndexFacts, SegmentFacts } from "./segment-facts.ts";

const CAPACITY_MIN = 16;
const GROWTH = 1.5;
const ID_WORDS = UUID_BYTES / 4;
/** Cells of the hash table per slot, at least: with half of them empty a search is short. */
const CELLS_PER_SLOT = 2;
const NO_SLOT = -1;
const NO_INDEX = -1;

/** The first of the id's four words. Id and length come first: lookups read them in one trip to memory. */
const ID = 0;
/** Fields of a slot in float64. */
const LENGTH_BYTES = 2;
const CREATED_MS = 3;
const START_ADDRESS = 4;
const END_ADDRESS = 5;
const DOCUMENT_COUNT = 6;
const INDEX_BYTES = 7;
const LIVE_BYTES = 8;
const DATA_BYTES = 9;
const HEAD_START_OFFSET = 10;
/** Of what is in the search index; not a number if it is not known. */
const MIN_TIME_MS = 11;
const MAX_TIME_MS = 12;
/** In words, behind them. */
const LEVEL = 26;
const RANGE_COUNT = 27;
const HEAD_TABLE = 28;
/** In float64. */
const WIDTH = 15;
/** In words. */
const WORDS = 2 * WIDTH;

/** A segment without its ranges. */
export interface SegmentSummary extends Omit<SegmentFacts, "ranges"> {
  readonly rangeCount: number;
  /** Of its batches. */
  readonly dataBytes: number;
  /** Of those, bytes of ranges that lookups no longer return. */
  readonly deadBytes: number;
}

/** Owns the slots. Which slots exist is told by `slots()`. */
export class SegmentTable {
  /** Slots whose segment has no live byte. */
  readonly emptySlots = new Set<number>();
  #count = 0;
  /** Slots in use are below it. */
  #slotEnd = 0;
  #freeSlots: number[] = [];
  readonly #rows = new Rows(WIDTH);
  /** Open addressing with linear probing: slot + 1, or 0. Ids are of chance, so their first word is the hash. */
  #cells = new Uint32Array(CAPACITY_MIN * CELLS_PER_SLOT);
  readonly #idBytes = new Uint8Array(UUID_BYTES);

  get count(): number {
    return this.#count;
  }

  /** Exclusive end of the slots in use. */
  get slotEnd(): number {
    return this.#slotEnd;
  }

  get sizeBytes(): number {
    return this.#rows.sizeBytes + this.#cells.byteLength;
  }

  /** -1 if the segment is unknown. @throws KafkaError INVALID_REQUEST if `segmentId` is no UUID */
  slotOf(segmentId: string): number {
    setUuid(this.#idBytes, 0, segmentId);
    const cell = this.#cells[this.#cellOf(this.#idBytes)] as number;
    return cell === 0 ? NO_SLOT : cell - 1;
  }

  isUsed(slot: number): boolean {
    return this.#size(slot, CREATED_MS) >= 0;
  }

  /** Takes a slot for a segment that is not there yet. Its ranges are `dataBytes` long, of which some are live. */
  add(
    facts: SegmentFacts,
    sizes: { readonly dataBytes: number; readonly liveBytes: number },
  ): number {
    const slot = this.#freeSlots.pop() ?? this.#newSlot();
    setUuid(this.#idBytes, 0, facts.segmentId);
    const cell = this.#cellOf(this.#idBytes);
    assert(this.#cells[cell] === 0, `segment ${facts.segmentId} is there`);
    this.#cells[cell] = slot + 1;
    this.#count += 1;
    for (let word = 0; word < ID_WORDS; word += 1) {
      this.#rows.words[slot * WORDS + ID + word] = readUint32At(this.#idBytes, word * 4);
    }
    this.#rows.numbers[slot * WIDTH + DATA_BYTES] = sizes.dataBytes;
    this.#rows.numbers[slot * WIDTH + LIVE_BYTES] = sizes.liveBytes;
    this.#rows.words[slot * WORDS + RANGE_COUNT] = facts.ranges.length;
    if (sizes.liveBytes === 0) this.emptySlots.add(slot);
    this.setHead(slot, NO_PLACE);
    this.update(slot, facts);
    return slot;
  }

  /** Replaces all but the ranges. */
  update(slot: number, facts: SegmentFacts): void {
    const { numbers } = this.#rows;
    const at = slot * WIDTH;
    numbers[at + CREATED_MS] = facts.createdMs;
    numbers[at + LENGTH_BYTES] = facts.lengthBytes;
    numbers[at + START_ADDRESS] = facts.startAddress;
    numbers[at + END_ADDRESS] = facts.endAddress;
    numbers[at + DOCUMENT_COUNT] = facts.searchIndex?.documentCount ?? NO_INDEX;
    numbers[at + INDEX_BYTES] = facts.searchIndex?.sizeBytes ?? 0;
    numbers[at + MIN_TIME_MS] = facts.searchIndex?.times?.minMs ?? Number.NaN;
    numbers[at + MAX_TIME_MS] = facts.searchIndex?.times?.maxMs ?? Number.NaN;
    this.#rows.words[slot * WORDS + LEVEL] = facts.level;
  }

  remove(slot: number): void {
    this.#removeCell(slot);
    this.#rows.numbers[slot * WIDTH + CREATED_MS] = NO_SLOT;
    this.emptySlots.delete(slot);
    this.#freeSlots.push(slot);
    this.#count -= 1;
  }

  /** Where the first of the segment's ranges lies. */
  head(slot: number): RangePlace {
    return {
      tableNumber: this.#rows.words[slot * WORDS + HEAD_TABLE] as number,
      startOffset: this.#size(slot, HEAD_START_OFFSET),
    };
  }

  setHead(slot: number, head: RangePlace): void {
    this.#rows.words[slot * WORDS + HEAD_TABLE] = head.tableNumber;
    this.#rows.numbers[slot * WIDTH + HEAD_START_OFFSET] = head.startOffset;
  }

  /** A live range of that many bytes has died. */
  loseBytes(slot: number, bytes: number): void {
    const liveBytes = this.liveBytes(slot) - bytes;
    assert(liveBytes >= 0, "more bytes died than lived");
    this.#rows.numbers[slot * WIDTH + LIVE_BYTES] = liveBytes;
    if (liveBytes === 0) this.emptySlots.add(slot);
  }

  level(slot: number): number {
    return this.#rows.words[slot * WORDS + LEVEL] as number;
  }

  liveBytes(slot: number): number {
    return this.#size(slot, LIVE_BYTES);
  }

  dataBytes(slot: number): number {
    return this.#size(slot, DATA_BYTES);
  }

  lengthBytes(slot: number): number {
    return this.#size(slot, LENGTH_BYTES);
  }

  segmentId(slot: number): string {
    const bytes = this.#idBytes;
    for (let word = 0; word < ID_WORDS; word += 1) {
      writeInt32At(bytes, word * 4, this.#rows.words[slot * WORDS + ID + word] as number);
    }
    return uuidOf(bytes, 0);
  }

  summary(slot: number): SegmentSummary {
    const dataBytes = this.dataBytes(slot);
    return {
      segmentId: this.segmentId(slot),
      level: this.level(slot),
      createdMs: this.#size(slot, CREATED_MS),
      lengthBytes: this.lengthBytes(slot),
      startAddress: this.#size(slot, START_ADDRESS),
      endAddress: this.#size(slot, END_ADDRESS),
      searchIndex: this.#searchIndex(slot),
      rangeCount: this.#rows.words[slot * WORDS + RANGE_COUNT] as number,
      dataBytes,
      deadBytes: dataBytes - this.liveBytes(slot),
    };
  }

  #searchIndex(slot: number): SearchIndexFacts | null {
    const documentCount = this.#size(slot, DOCUMENT_COUNT);
    if (documentCount === NO_INDEX) return null;
    const times = { minMs: this.#size(slot, MIN_TIME_MS), maxMs: this.#size(slot, MAX_TIME_MS) };
    return {
      documentCount,
      sizeBytes: this.#size(slot, INDEX_BYTES),
      times: Number.isNaN(times.minMs) ? null : times,
    };
  }

  #size(slot: number, field: number): number {
    return this.#rows.numbers[slot * WIDTH + field] as number;
  }

  /** The cell of the slot with these 16 bytes, or the free one where it would be. */
  #cellOf(id: Uint8Array): number {
    const mask = this.#cells.length - 1;
    let cell = readUint32At(id, 0) & mask;
    for (;;) {
      const slot = (this.#cells[cell] as number) - 1;
      if (slot === NO_SLOT || this.#isId(slot, id)) return cell;
      cell = (cell + 1) & mask;
    }
  }

  #isId(slot: number, id: Uint8Array): boolean {
    for (let word = 0; word < ID_WORDS; word += 1) {
      if (this.#rows.words[slot * WORDS + ID + word] !== readUint32At(id, word * 4)) return false;
    }
    return true;
  }

  /** Empties the cell of a slot and closes the gap, so that no search ends too early. */
  #removeCell(slot: number): void {
    const cells = this.#cells;
    const mask = cells.length - 1;
    let gap = this.#homeOf(slot);
    while (cells[gap] !== slot + 1) gap = (gap + 1) & mask;
    for (let cell = (gap + 1) & mask; cells[cell] !== 0; cell = (cell + 1) & mask) {
      const home = this.#homeOf((cells[cell] as number) - 1);
      // It may fill the gap unless its own search would start behind the gap.
      if (((cell - home) & mask) < ((cell - gap) & mask)) continue;
      cells[gap] = cells[cell] as number;
      gap = cell;
    }
    cells[gap] = 0;
  }

  #homeOf(slot: number): number {
    return (this.#rows.words[slot * WORDS + ID] as number) & (this.#cells.length - 1);
  }

  #newSlot(): number {
    const slot = this.#slotEnd;
    this.#slotEnd += 1;
    const { capacity } = this.#rows;
    if (slot >= capacity) {
      this.#rows.resize(Math.max(CAPACITY_MIN, Math.ceil(capacity * GROWTH)));
      if (this.#rows.capacity * CELLS_PER_SLOT > this.#cells.length) this.#growCells();
    }
    return slot;
  }

  #growCells(): void {
    const used = this.#cells.filter((cell) => cell !== 0);
    let cellCount = this.#cells.length;
    while (cellCount < this.#rows.capacity * CELLS_PER_SLOT) cellCount *= 2;
    this.#cells = new Uint32Array(cellCount);
    for (const cell of used) {
      let target = this.#homeOf(cell - 1);
      while (this.#cells[target] !== 0) target = (target + 1) & (cellCount - 1);
      this.#cells[target] = cell;
    }
  }
}
