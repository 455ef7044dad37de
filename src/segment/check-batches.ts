/** Checks the batches of a segment one after another against the ranges and rows that are said to describe them. */

import { readInt64At } from "../protocol/big-endian.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { PartitionRange } from "./segment-facts.ts";
import { ROW_BYTES, timesOf } from "./segment-layout.ts";

const POSITION_POSITION = 8;
const TIMESTAMP_POSITION = 16;

/** Takes the headers of `batches.log` in order. The first thing that does not fit is kept. */
export class BatchesCheck {
  readonly #ranges: readonly PartitionRange[];
  /** `offsets.bin`. */
  readonly #rows: Uint8Array;
  #rangeIndex = -1;
  #range: PartitionRange | undefined;
  #nextOffset = 0;
  #nextPosition = 0;
  #nextRow = 0;
  #batchCount = 0;
  #recordCount = 0;
  #maxTimestampMs = Number.NEGATIVE_INFINITY;
  #fault: string | undefined;

  constructor(ranges: readonly PartitionRange[], rows: Uint8Array) {
    this.#ranges = ranges;
    this.#rows = rows;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  /** The batch at `position` of `batches.log`. */
  add(header: BatchHeader, position: number): void {
    const range = this.#range;
    if (range === undefined || position >= range.position + range.sizeBytes) {
      this.#endRange();
      this.#beginRange(position);
    }
    this.#fault ??= this.#faultOf(header, position);
    this.#batchCount += 1;
    this.#recordCount += header.recordCount;
    this.#maxTimestampMs = Math.max(this.#maxTimestampMs, timesOf(header).maxMs);
    this.#nextOffset = header.baseOffset + header.lastOffsetDelta + 1;
    this.#nextPosition = position + header.sizeBytes;
  }

  /** To be called behind the last batch. */
  finish(): void {
    this.#endRange();
    if (this.#rangeIndex + 1 < this.#ranges.length) this.#fault ??= "ranges lie behind the end";
  }

  #beginRange(position: number): void {
    this.#rangeIndex += 1;
    const range = this.#ranges[this.#rangeIndex];
    this.#range = range;
    this.#batchCount = 0;
    this.#recordCount = 0;
    this.#maxTimestampMs = Number.NEGATIVE_INFINITY;
    if (range === undefined) this.#fault ??= `the batch at ${position} is of no range`;
    this.#nextOffset = range?.startOffset ?? 0;
    this.#nextRow = range?.rowStart ?? 0;
  }

  #faultOf(header: BatchHeader, position: number): string | undefined {
    const range = this.#range;
    if (range === undefined) return undefined;
    const { baseOffset, sizeBytes } = header;
    const place = `the batch at ${position} (${nameOf(range)}, offset ${baseOffset})`;
    const isFirst = this.#batchCount === 0;
    if (isFirst && position !== range.position) return `${place} is of no range`;
    if (isFirst && baseOffset !== range.startOffset) return `${place} is not the range's first`;
    if (baseOffset < this.#nextOffset) return `${place} repeats offsets`;
    if (position + sizeBytes > range.position + range.sizeBytes) return `${place} leaves its range`;
    if (timesOf(header).maxMs > range.maxTimestampMs) return `${place} is newer than its range`;
    return this.#faultOfRow(range, baseOffset, position);
  }

  /** Rows stand at batches, and say the largest timestamp up to the next row. */
  #faultOfRow(range: PartitionRange, baseOffset: number, position: number): string | undefined {
    const row = this.#nextRow;
    if (row >= range.rowStart + range.rowCount) return undefined;
    const rowPosition = readInt64At(this.#rows, row * ROW_BYTES + POSITION_POSITION);
    if (rowPosition > position) return undefined;
    const rowOffset = readInt64At(this.#rows, row * ROW_BYTES);
    if (rowPosition < position || rowOffset !== baseOffset) {
      return `row ${row} of the index (offset ${rowOffset}, position ${rowPosition}) is at no batch`;
    }
    this.#nextRow += 1;
    return row > range.rowStart ? this.#faultOfMaximum(row - 1) : undefined;
  }

  #faultOfMaximum(row: number): string | undefined {
    const maximum = readInt64At(this.#rows, row * ROW_BYTES + TIMESTAMP_POSITION);
    if (maximum === this.#maxTimestampMs) return undefined;
    return `row ${row} of the index says ${maximum} where the latest time is ${this.#maxTimestampMs}`;
  }

  #endRange(): void {
    const range = this.#range;
    if (range === undefined) return;
    this.#range = undefined;
    this.#fault ??= this.#faultOfEnd(range);
  }

  #faultOfEnd(range: PartitionRange): string | undefined {
    const name = nameOf(range);
    if (this.#nextPosition < range.position + range.sizeBytes) return `${name} ends too early`;
    if (this.#nextOffset > range.endOffset) return `${name} has offsets behind its range's end`;
    if (this.#batchCount !== range.batchCount || this.#recordCount !== range.recordCount) {
      return `${name} has ${this.#batchCount} batches of ${this.#recordCount} records, not ${range.batchCount} of ${range.recordCount}`;
    }
    if (this.#maxTimestampMs !== range.maxTimestampMs) {
      return `${name} has a latest time of ${this.#maxTimestampMs}, not ${range.maxTimestampMs}`;
    }
    if (this.#nextRow !== range.rowStart + range.rowCount) return `${name} has rows at no batch`;
    return range.rowCount > 0 ? this.#faultOfMaximum(this.#nextRow - 1) : undefined;
  }
}

function nameOf({ topicId, partition }: PartitionRange): string {
  return `${topicId}-${partition}`;
}
