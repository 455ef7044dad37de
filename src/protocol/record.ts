/**
 * Walks the records of a batch (magic 2) in place, without allocating. `varint` is zigzag, base 128.
 *
 *   length varint | attributes i8 | timestampDelta varlong | offsetDelta varint
 *   keyLength varint (-1 = null) | key | valueLength varint (-1 = null) | value
 *   headerCount varint | each: keyLength varint | key | valueLength varint (-1 = null) | value
 *
 * Source: Kafka protocol guide, "Record". A record that does not fill its length exactly, or a section
 * that does not hold exactly the announced records, is INVALID_RECORD.
 */

import { ErrorCode, KafkaError } from "./errors.ts";

/** Deltas at or beyond this do not fit the arithmetic of `number`: no clock shows such times. */
const ZIGZAG_LIMIT = 2 ** 53;

const NO_BYTES = new Uint8Array(0);

/**
 * One position in a section of uncompressed records. Fields describe the record that `next` found, and
 * the header that `nextHeader` found; positions are into `bytes`, ends exclusive, -1 means null.
 *
 * The owner of `bytes` may reuse them once the walk is over; `reset` lets one cursor serve many batches.
 */
export class RecordCursor {
  bytes: Uint8Array;
  /** Where the record starts (its length), and where the next one does. */
  recordStart = 0;
  recordEnd = 0;
  attributes = 0;
  /** To the batch's base timestamp; a safe integer. */
  timestampDelta = 0;
  offsetDelta = 0;
  keyStart = -1;
  keyEnd = -1;
  valueStart = -1;
  valueEnd = -1;
  headerCount = 0;
  headerKeyStart = 0;
  headerKeyEnd = 0;
  headerValueStart = -1;
  headerValueEnd = -1;

  #position = 0;
  #end = 0;
  #recordsLeft = 0;
  #headersLeft = 0;

  /** A walk over `count` records that fill `bytes` from `start` to `end`. */
  constructor(bytes: Uint8Array, count: number, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.reset(bytes, count, start, end);
  }

  /** Starts another walk. */
  reset(bytes: Uint8Array, count: number, start = 0, end = bytes.length): void {
    if (count < 0) throw invalid("The record count is negative.");
    this.bytes = bytes;
    this.#recordsLeft = count;
    this.#headersLeft = 0;
    this.#end = end;
    this.recordStart = start;
    this.recordEnd = start;
  }

  /** Lets go of `bytes`; for cursors that outlive their walks. */
  release(): void {
    this.reset(NO_BYTES, 0);
  }

  /**
   * Goes to the next record. Headers that were not walked are skipped unseen.
   * @returns false after the last one.
   * @throws KafkaError INVALID_RECORD if the bytes are not the announced records.
   */
  next(): boolean {
    const start = this.recordEnd;
    if (this.#recordsLeft === 0) {
      if (start !== this.#end) throw invalid("Bytes follow the last record.");
      return false;
    }
    this.#recordsLeft -= 1;
    this.recordStart = start;
    this.#position = start;
    const length = this.#varint();
    const recordEnd = this.#position + length;
    if (length < 0 || recordEnd > this.#end) throw invalid("A record is longer than its batch.");
    this.recordEnd = recordEnd;
    this.attributes = this.bytes[this.#position] ?? 0;
    this.#position += 1;
    this.timestampDelta = this.#varlong();
    this.offsetDelta = this.#varint();
    const keyLength = this.#nullableLength(recordEnd);
    this.keyStart = keyLength < 0 ? -1 : this.#position;
    this.keyEnd = this.keyStart + Math.max(keyLength, 0);
    if (keyLength > 0) this.#position += keyLength;
    const valueLength = this.#nullableLength(recordEnd);
    this.valueStart = valueLength < 0 ? -1 : this.#position;
    this.valueEnd = this.valueStart + Math.max(valueLength, 0);
    if (valueLength > 0) this.#position += valueLength;
    this.headerCount = this.#varint();
    this.#headersLeft = this.headerCount;
    const left = recordEnd - this.#position;
    if (left < 0 || this.headerCount < 0 || this.headerCount > left) {
      throw invalid("A record's fields do not fit its length.");
    }
    if (this.headerCount === 0 && left !== 0) throw invalid("Bytes follow a record's last field.");
    return true;
  }

  /**
   * Goes to the record's next header.
   * @returns false after the last one.
   * @throws KafkaError INVALID_RECORD if the headers do not fill the record.
   */
  nextHeader(): boolean {
    if (this.#headersLeft === 0) {
      if (this.headerCount > 0 && this.#position !== this.recordEnd) {
        throw invalid("Bytes follow a record's last header.");
      }
      return false;
    }
    this.#headersLeft -= 1;
    const keyLength = this.#nullableLength(this.recordEnd);
    if (keyLength < 0) throw invalid("A header's key is null.");
    this.headerKeyStart = this.#position;
    this.headerKeyEnd = this.#position + keyLength;
    this.#position = this.headerKeyEnd;
    const valueLength = this.#nullableLength(this.recordEnd);
    this.headerValueStart = valueLength < 0 ? -1 : this.#position;
    this.headerValueEnd = this.headerValueStart + Math.max(valueLength, 0);
    if (valueLength > 0) this.#position += valueLength;
    if (this.#position > this.recordEnd) throw invalid("A header is longer than its record.");
    return true;
  }

  /** A view of the record's key. It lives as long as `bytes` does. */
  key(): Uint8Array | null {
    return this.keyStart < 0 ? null : this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  /** A view of the record's value. */
  value(): Uint8Array | null {
    return this.valueStart < 0 ? null : this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  /** A view of the header's key: UTF-8, as clients agree, but nobody checks it. */
  headerKey(): Uint8Array {
    return this.bytes.subarray(this.headerKeyStart, this.headerKeyEnd);
  }

  /** A view of the header's value. */
  headerValue(): Uint8Array | null {
    if (this.headerValueStart < 0) return null;
    return this.bytes.subarray(this.headerValueStart, this.headerValueEnd);
  }

  /** A length of at least -1 whose bytes end at or before `end`. */
  #nullableLength(end: number): number {
    const length = this.#varint();
    if (length < -1 || this.#position + length > end) {
      throw invalid("A length does not fit its record.");
    }
    return length;
  }

  /** Lengths of one or two bytes are nearly all there are. Reading beyond the section is caught by `next`. */
  #varint(): number {
    const first = this.bytes[this.#position] ?? 0x80;
    if (first < 0x80) {
      this.#position += 1;
      return (first >>> 1) ^ -(first & 1);
    }
    const second = this.bytes[this.#position + 1] ?? 0x80;
    if (second < 0x80) {
      this.#position += 2;
      const zigzag = (first & 0x7f) | (second << 7);
      return (zigzag >>> 1) ^ -(zigzag & 1);
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    let zigzag = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.bytes[this.#position] ?? -1;
      if (byte < 0) throw invalid("A record is cut short.");
      this.#position += 1;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (shift === 28 && byte > 0x0f) break;
        return (zigzag >>> 1) ^ -(zigzag & 1);
      }
    }
    throw invalid("A varint does not fit 32 bits.");
  }

  #varlong(): number {
    const first = this.bytes[this.#position] ?? 0x80;
    if (first < 0x80) {
      this.#position += 1;
      return (first >>> 1) ^ -(first & 1);
    }
    let zigzag = 0;
    let factor = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = this.bytes[this.#position] ?? -1;
      if (byte < 0) throw invalid("A record is cut short.");
      this.#position += 1;
      zigzag += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) {
        if (zigzag >= ZIGZAG_LIMIT) break;
        return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
      }
    }
    throw invalid("A timestamp delta is out of range.");
  }
}

function invalid(sentence: string): KafkaError {
  return new KafkaError(ErrorCode.invalidRecord, sentence);
}
