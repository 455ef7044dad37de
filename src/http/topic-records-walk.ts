/**
 * A walk over one partition's records, in offset order, for merging. It stands at a record (its *head*) and can let go
 * of the bytes behind it, to be read again when they are needed; so many walks fit into little memory.
 *
 * A batch that cannot be opened (corrupt, or too large when decompressed) is passed over and told.
 */

import { recordsOf } from "../protocol/batch-records.ts";
import { KafkaError } from "../protocol/errors.ts";
import type { RecordCursor } from "../protocol/record.ts";
import { type BatchHeader, readBatchHeader } from "../protocol/record-batch.ts";

/** Stored batches of `partition` from the one that holds `offset` on; none at the end. */
export type ReadBatches = (
  partition: number,
  stretch: { readonly offset: number; readonly endOffset: number; readonly maxBytes: number },
) => Promise<readonly Uint8Array[]>;

/** Offsets that could not be shown. */
export interface SkippedBatch {
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly reason: string;
}

/** A stretch of a partition: [offset, endOffset), and within it records before the first one at or after `toMs`. */
export interface WalkRange {
  readonly partition: number;
  readonly offset: number;
  readonly endOffset: number;
  readonly toMs: number | undefined;
}

export interface WalkOptions {
  readonly read: ReadBatches;
  /** Of one read. */
  readonly readBytesMax: number;
  /** A batch that is larger than this when it is decompressed is not looked into. */
  readonly contentBytesMax: number;
  readonly onSkipped: (batch: SkippedBatch) => void;
}

/** More are passed over in silence. */
export const SKIPPED_MAX = 100;

/** An opened batch, at the record that was found last. */
export interface OpenBatch {
  readonly header: BatchHeader;
  readonly cursor: RecordCursor;
}

export class PartitionWalk {
  readonly partition: number;
  /** Of the head; where the walk goes on. */
  offset: number;
  /** Of the head. */
  timestampMs = Number.NaN;
  readonly #range: WalkRange;
  readonly #options: WalkOptions;
  /** Read and not opened yet. */
  #batches: readonly Uint8Array[] = [];
  /** Its cursor stands at the head. */
  #open: OpenBatch | undefined;

  constructor(range: WalkRange, options: WalkOptions) {
    this.partition = range.partition;
    this.offset = range.offset;
    this.#range = range;
    this.#options = options;
  }

  /** Memory that the walk holds. */
  get heldBytes(): number {
    let heldBytes = this.#open?.cursor.bytes.length ?? 0;
    for (const batch of this.#batches) heldBytes += batch.length;
    return heldBytes;
  }

  /** Lets go of all bytes. */
  release(): void {
    this.#batches = [];
    this.#open = undefined;
  }

  /** The batch whose cursor stands at the head, read again after `release`; undefined if it is gone. */
  async head(): Promise<OpenBatch | undefined> {
    if (this.#open === undefined) await this.#find();
    return this.#open;
  }

  /** Goes to the record at `offset`, or the first one after it. @returns whether there is one */
  start(): Promise<boolean> {
    return this.#find();
  }

  /** Goes to the next record. @returns whether there is one */
  next(): Promise<boolean> {
    this.offset += 1;
    return this.#find();
  }

  /** Finds the first record at or after `offset`. At the end `offset` is where new records will be. */
  async #find(): Promise<boolean> {
    const { endOffset, toMs } = this.#range;
    while (this.offset < endOffset) {
      if (this.#open !== undefined && this.#findIn(this.#open)) {
        if (toMs === undefined || this.timestampMs < toMs) return true;
        break;
      }
      if (!(await this.#openNext())) break;
    }
    this.release();
    return false;
  }

  /** Moves the cursor to the first record at or after `offset`; if there is none, `offset` behind the batch. */
  #findIn({ header, cursor }: OpenBatch): boolean {
    try {
      while (cursor.next()) {
        const offset = header.baseOffset + cursor.offsetDelta;
        if (offset < this.offset) continue;
        this.offset = offset;
        this.timestampMs = timestampOf(header, cursor);
        return offset < this.#range.endOffset;
      }
    } catch (thrown) {
      this.#skip(header, thrown);
    }
    this.#open = undefined;
    this.offset = Math.max(this.offset, header.baseOffset + header.lastOffsetDelta + 1);
    return false;
  }

  /** @returns false if nothing is left to read */
  async #openNext(): Promise<boolean> {
    this.#open = undefined;
    const [batch, ...rest] = this.#batches;
    if (batch === undefined) {
      const { partition, endOffset } = this.#range;
      const { read, readBytesMax: maxBytes } = this.#options;
      this.#batches = await read(partition, { offset: this.offset, endOffset, maxBytes });
      if (this.#batches.length > 0) return true;
      this.offset = endOffset;
      return false;
    }
    this.#batches = rest;
    const header = readBatchHeader(batch, 0);
    const endOffset = header.baseOffset + header.lastOffsetDelta + 1;
    if (header.isControl || endOffset <= this.offset) {
      this.offset = Math.max(this.offset, endOffset);
      return true;
    }
    try {
      this.#open = { header, cursor: recordsOf(batch, 0, header, this.#options.contentBytesMax) };
    } catch (thrown) {
      this.#skip(header, thrown);
      this.offset = endOffset;
    }
    return true;
  }

  #skip({ baseOffset, lastOffsetDelta }: BatchHeader, thrown: unknown): void {
    if (!(thrown instanceof KafkaError)) throw thrown;
    const { partition } = this;
    const lastOffset = baseOffset + lastOffsetDelta;
    this.#options.onSkipped({ partition, baseOffset, lastOffset, reason: thrown.message });
  }
}

/** A record's time as consumers see it. */
export function timestampOf(header: BatchHeader, cursor: RecordCursor): number {
  if (header.timestampType === "LogAppendTime") return header.maxTimestampMs;
  return header.baseTimestampMs + cursor.timestampDelta;
}
