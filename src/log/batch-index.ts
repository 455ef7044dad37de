/**
 * Where a partition's batches lie in the WAL: one row per *run*, in offset order.
 *
 * A run is one batch, or several whose WAL entries follow each other without a gap, up to
 * `RUN_BYTES_MAX`; so a reader walks at most that much, and many small batches cost one row.
 * A row is four numbers (32 bytes): base offset of the run, address of its first batch, bytes from
 * there to the end of its last batch (negated for a legacy entry, which is a run by itself), and
 * its largest timestamp. CreateTime is not monotone, so a time is looked for from the first row on; there
 * are few rows, because what was sealed is dropped.
 */

import { assert } from "../core/assert.ts";

/** The longest span of a run, in bytes. */
export const RUN_BYTES_MAX = 64 * 1024;

const NUMBERS_PER_ROW = 4;
const BYTES_PER_ROW = NUMBERS_PER_ROW * Float64Array.BYTES_PER_ELEMENT;
const ROW_COUNT_MIN = 4;

/** One stretch of the WAL that holds batches of one partition only. */
export interface Run {
  readonly baseOffset: number;
  /** Of the first batch, not of its entry. */
  readonly address: number;
  /** From `address` to the end of the last batch. */
  readonly spanBytes: number;
  /** A V1 entry: one legacy record, turned into a batch when it is read. */
  readonly isLegacy: boolean;
  /** The largest in it. */
  readonly maxTimestampMs: number;
}

/** What `append` has to know of a batch. */
export interface IndexedBatch {
  readonly baseOffset: number;
  readonly address: number;
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
  readonly isLegacy: boolean;
}

/** The rows of one partition. */
export class BatchIndex {
  readonly #entryHeaderBytes: number;
  #rows = new Float64Array(0);
  #runCount = 0;

  /** `entryHeaderBytes` stand between two adjacent batches of a run. */
  constructor(entryHeaderBytes: number) {
    this.#entryHeaderBytes = entryHeaderBytes;
  }

  get runCount(): number {
    return this.#runCount;
  }

  /** Memory held. */
  get sizeBytes(): number {
    return this.#rows.byteLength;
  }

  /** Adds the batch after all others. */
  append(batch: IndexedBatch): void {
    const last = this.#runCount - 1;
    if (last >= 0) {
      assert(batch.baseOffset > this.#number(last, 0), "batches are indexed in offset order");
      const span = batch.address + batch.sizeBytes - this.#number(last, 1);
      if (this.#adjoins(last, batch) && span <= RUN_BYTES_MAX) {
        this.#rows[last * NUMBERS_PER_ROW + 2] = span;
        const maxTimestampMs = Math.max(batch.maxTimestampMs, this.#number(last, 3));
        this.#rows[last * NUMBERS_PER_ROW + 3] = maxTimestampMs;
        return;
      }
    }
    this.#grow();
    const row = this.#runCount * NUMBERS_PER_ROW;
    this.#rows[row] = batch.baseOffset;
    this.#rows[row + 1] = batch.address;
    this.#rows[row + 2] = batch.isLegacy ? -batch.sizeBytes : batch.sizeBytes;
    this.#rows[row + 3] = batch.maxTimestampMs;
    this.#runCount += 1;
  }

  /** Forgets the first `count` runs. */
  dropFirst(count: number): void {
    assert(count >= 0 && count <= this.#runCount, "runs that are there are dropped");
    if (count === 0) return;
    const kept = this.#rows.subarray(count * NUMBERS_PER_ROW, this.#runCount * NUMBERS_PER_ROW);
    this.#runCount -= count;
    // Memory follows the number of runs down, or it would stay at its peak for ever.
    const isWide = this.#rows.length > 4 * Math.max(kept.length, ROW_COUNT_MIN * NUMBERS_PER_ROW);
    if (isWide) this.#rows = kept.slice();
    else this.#rows.copyWithin(0, count * NUMBERS_PER_ROW, count * NUMBERS_PER_ROW + kept.length);
  }

  /** The run at `index` in offset order. */
  runAt(index: number): Run {
    assert(index >= 0 && index < this.#runCount, `run ${index} is outside`);
    const span = this.#number(index, 2);
    return {
      baseOffset: this.#number(index, 0),
      address: this.#number(index, 1),
      spanBytes: Math.abs(span),
      isLegacy: span < 0,
      maxTimestampMs: this.#number(index, 3),
    };
  }

  /** Index of the run that holds `offset`: the last one that starts at or before it; -1 if none does. */
  indexOfOffset(offset: number): number {
    return this.#countWhile((index) => this.#number(index, 0) <= offset) - 1;
  }

  /** Index of the first run with a record at or after `timestampMs`; -1 if there is none. */
  indexOfTimestamp(timestampMs: number): number {
    for (let index = 0; index < this.#runCount; index += 1) {
      if (this.#number(index, 3) >= timestampMs) return index;
    }
    return -1;
  }

  /** How many rows from the first on satisfy `holds`, which is true up to some row and false after it. */
  #countWhile(holds: (index: number) => boolean): number {
    let low = 0;
    let high = this.#runCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #adjoins(last: number, batch: IndexedBatch): boolean {
    const span = this.#number(last, 2);
    if (batch.isLegacy || span < 0) return false;
    return this.#number(last, 1) + span + this.#entryHeaderBytes === batch.address;
  }

  #number(index: number, column: number): number {
    return this.#rows[index * NUMBERS_PER_ROW + column] ?? Number.NaN;
  }

  #grow(): void {
    if ((this.#runCount + 1) * NUMBERS_PER_ROW <= this.#rows.length) return;
    const factor = this.#runCount < 1024 ? 2 : 1.5;
    const rowCount = Math.max(ROW_COUNT_MIN, Math.ceil(this.#runCount * factor));
    const rows = new Float64Array((rowCount * BYTES_PER_ROW) / Float64Array.BYTES_PER_ELEMENT);
    rows.set(this.#rows);
    this.#rows = rows;
  }
}
