/**
 * Lays out the batches of a segment before they are copied: which range each partition gets in `batches.log`, and
 * the rows of `offsets.bin`.
 *
 * A row is 24 bytes, big-endian: baseOffset i64, position i64 in `batches.log`, and maxTimestampMs i64, the largest
 * timestamp from the start of the range to the next row. A range has a row for every `ROW_INTERVAL_BYTES` or more
 * of batches, the first at its start; a range of less has none.
 */

import { assert } from "../core/assert.ts";
import { readInt64At, writeInt64At } from "../protocol/big-endian.ts";
import { type BatchHeader, NO_TIMESTAMP_MS } from "../protocol/record-batch.ts";
import { compareRanges, type PartitionRange } from "./segment-facts.ts";

/** Batches between two rows, in bytes, at least. */
export const ROW_INTERVAL_BYTES = 64 * 1024;
export const ROW_BYTES = 24;
const POSITION_POSITION = 8;
const TIMESTAMP_POSITION = 16;

/** What a segment will hold. */
export interface SegmentLayout {
  /** Ascending by `compareRanges`. */
  readonly ranges: readonly PartitionRange[];
  /** `offsets.bin`. */
  readonly rows: Uint8Array;
  /** Of `batches.log`. */
  readonly sizeBytes: number;
}

interface OpenRow {
  readonly baseOffset: number;
  readonly position: number;
}

type OpenRange = { -readonly [Key in keyof PartitionRange]: PartitionRange[Key] };

/** Takes the headers of all batches, in the order in which they will be copied. */
export class SegmentLayoutBuilder {
  readonly #ranges: PartitionRange[] = [];
  #rows = new Uint8Array(64 * ROW_BYTES);
  #rowCount = 0;
  #position = 0;
  #range: OpenRange | undefined;
  /** Of the range at hand; they count only once the range is long enough. */
  #openRows: OpenRow[] = [];
  #openMaxima: number[] = [];

  /** The next batch; a new partition ends the range of the one before. */
  add(topicId: string, partition: number, header: BatchHeader): void {
    let range = this.#range;
    if (range?.topicId !== topicId || range.partition !== partition) {
      this.#endRange();
      range = this.#beginRange(topicId, partition, header);
    }
    assert(header.baseOffset >= range.endOffset, "batches come in the order of their offsets");
    const times = timesOf(header);
    const lastRow = this.#openRows.at(-1);
    if (lastRow === undefined || this.#position - lastRow.position >= ROW_INTERVAL_BYTES) {
      this.#openRows.push({ baseOffset: header.baseOffset, position: this.#position });
      this.#openMaxima.push(range.batchCount === 0 ? times.maxMs : range.maxTimestampMs);
    }
    const maxTimestampMs =
      range.batchCount === 0 ? times.maxMs : Math.max(range.maxTimestampMs, times.maxMs);
    this.#openMaxima[this.#openMaxima.length - 1] = maxTimestampMs;
    range.maxTimestampMs = maxTimestampMs;
    range.minTimestampMs = Math.min(range.minTimestampMs, times.minMs, maxTimestampMs);
    range.endOffset = header.baseOffset + header.lastOffsetDelta + 1;
    range.sizeBytes += header.sizeBytes;
    range.batchCount += 1;
    range.recordCount += header.recordCount;
    this.#position += header.sizeBytes;
  }

  /** The layout of all that was added. */
  finish(): SegmentLayout {
    this.#endRange();
    const rows = this.#rows.subarray(0, this.#rowCount * ROW_BYTES);
    return { ranges: this.#ranges, rows, sizeBytes: this.#position };
  }

  #beginRange(topicId: string, partition: number, header: BatchHeader): OpenRange {
    const range: OpenRange = {
      topicId,
      partition,
      startOffset: header.baseOffset,
      endOffset: header.baseOffset,
      position: this.#position,
      sizeBytes: 0,
      minTimestampMs: timesOf(header).minMs,
      maxTimestampMs: timesOf(header).maxMs,
      batchCount: 0,
      recordCount: 0,
      rowStart: this.#rowCount,
      rowCount: 0,
    };
    this.#range = range;
    return range;
  }

  #endRange(): void {
    const range = this.#range;
    if (range === undefined) return;
    if (range.sizeBytes >= ROW_INTERVAL_BYTES) {
      range.rowCount = this.#openRows.length;
      for (const [index, row] of this.#openRows.entries()) {
        this.#writeRow(row, this.#openMaxima[index] ?? range.maxTimestampMs);
      }
    }
    const last = this.#ranges.at(-1);
    assert(last === undefined || compareRanges(last, range) < 0, "ranges come in their order");
    this.#ranges.push(range);
    this.#range = undefined;
    this.#openRows = [];
    this.#openMaxima = [];
  }

  #writeRow({ baseOffset, position }: OpenRow, maxTimestampMs: number): void {
    const at = this.#rowCount * ROW_BYTES;
    if (at + ROW_BYTES > this.#rows.length) {
      const rows = new Uint8Array(this.#rows.length * 2);
      rows.set(this.#rows);
      this.#rows = rows;
    }
    writeInt64At(this.#rows, at, baseOffset);
    writeInt64At(this.#rows, at + POSITION_POSITION, position);
    writeInt64At(this.#rows, at + TIMESTAMP_POSITION, maxTimestampMs);
    this.#rowCount += 1;
  }
}

/**
 * What a batch's header tells of its records' times. It has its first record's time, not its least: records out of
 * order may be earlier. Of one with a delete horizon that is not known, and an empty one has no times.
 */
export function timesOf(header: BatchHeader): { readonly minMs: number; readonly maxMs: number } {
  if (header.recordCount === 0) return { minMs: NO_TIMESTAMP_MS, maxMs: NO_TIMESTAMP_MS };
  const minMs = header.hasDeleteHorizon ? NO_TIMESTAMP_MS : header.baseTimestampMs;
  return { minMs, maxMs: header.maxTimestampMs };
}

/** Position in `batches.log` of the last row at or before `offset`; of the first row if there is none. */
export function positionOfOffset(rows: Uint8Array, offset: number): number {
  const index = countRows(rows, (at) => readInt64At(rows, at) <= offset) - 1;
  return readInt64At(rows, Math.max(0, index) * ROW_BYTES + POSITION_POSITION);
}

/** Base offset of the last row at or before `position` in `batches.log`; of the first row if there is none. */
export function offsetOfPosition(rows: Uint8Array, position: number): number {
  const index = countRows(rows, (at) => readInt64At(rows, at + POSITION_POSITION) <= position) - 1;
  return readInt64At(rows, Math.max(0, index) * ROW_BYTES);
}

/** Base offset of the first row whose stretch, or one before, reaches `timestampMs`; undefined if none does. */
export function offsetSince(rows: Uint8Array, timestampMs: number): number | undefined {
  const index = countRows(rows, (at) => readInt64At(rows, at + TIMESTAMP_POSITION) < timestampMs);
  return index * ROW_BYTES < rows.length ? readInt64At(rows, index * ROW_BYTES) : undefined;
}

/** How many rows from the first on satisfy `holds`, which is true up to some row and false after it. */
function countRows(rows: Uint8Array, holds: (at: number) => boolean): number {
  let low = 0;
  let high = rows.length / ROW_BYTES;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle * ROW_BYTES)) low = middle + 1;
    else high = middle;
  }
  return low;
}
