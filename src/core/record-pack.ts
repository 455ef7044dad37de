/**
 * Records on their way into a search index: sections of uncompressed records (magic 2) as they lie in batches,
 * each behind what the batch header says of them. The shim walks them; nothing is done per record here.
 *
 * One entry, little-endian:
 *
 *    0 entry length u32 (all of it)   4 topic id length u16   6 topic length u16
 *    8 partition u32                 12 record count u32     16 base offset f64
 *   24 base timestamp ms f64         32 log append timestamp ms f64 (NaN: each record has its own)
 *   40 topic id (UTF-8), topic (UTF-8), records section
 */

import { assert } from "./assert.ts";

const ENTRY_HEADER_BYTES = 40;
const TEXT = new TextEncoder();

/** What the records of one batch share. */
export interface PackedBatch {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly recordCount: number;
  readonly baseOffset: number;
  readonly baseTimestampMs: number;
  /** Set where the broker's time counts (LogAppendTime): the batch's maximum timestamp. */
  readonly logAppendTimestampMs?: number;
}

/** A reusable buffer of batches for one call of `LiveIndex.add`. It grows as needed. */
export class RecordPack {
  #bytes: Uint8Array;
  #view: DataView;
  #sizeBytes = 0;
  #recordCount = 0;

  constructor(capacityBytes = 1 << 20) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What was added; valid until the next call of `add` or `reset`. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#sizeBytes);
  }

  /** Copies the records section `records[start, end)` of one batch, uncompressed. */
  add(batch: PackedBatch, records: Uint8Array, start = 0, end = records.length): void {
    assert(start >= 0 && start <= end && end <= records.length, "the records are outside");
    const topicId = TEXT.encode(batch.topicId);
    const topic = TEXT.encode(batch.topic);
    const recordsPosition = ENTRY_HEADER_BYTES + topicId.length + topic.length;
    const entryBytes = recordsPosition + end - start;
    this.#ensure(entryBytes);
    const at = this.#sizeBytes;
    this.#view.setUint32(at, entryBytes, true);
    this.#view.setUint16(at + 4, topicId.length, true);
    this.#view.setUint16(at + 6, topic.length, true);
    this.#view.setUint32(at + 8, batch.partition, true);
    this.#view.setUint32(at + 12, batch.recordCount, true);
    this.#view.setFloat64(at + 16, batch.baseOffset, true);
    this.#view.setFloat64(at + 24, batch.baseTimestampMs, true);
    this.#view.setFloat64(at + 32, batch.logAppendTimestampMs ?? Number.NaN, true);
    this.#bytes.set(topicId, at + ENTRY_HEADER_BYTES);
    this.#bytes.set(topic, at + ENTRY_HEADER_BYTES + topicId.length);
    this.#bytes.set(records.subarray(start, end), at + recordsPosition);
    this.#sizeBytes += entryBytes;
    this.#recordCount += batch.recordCount;
  }

  /** Empties it. */
  reset(): void {
    this.#sizeBytes = 0;
    this.#recordCount = 0;
  }

  #ensure(bytes: number): void {
    const needed = this.#sizeBytes + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.bytes());
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
