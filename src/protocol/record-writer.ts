/** Writes records of magic 2 (layout: `record.ts`) into an array whose size has been measured before. */

import { assert } from "../core/assert.ts";
import { ErrorCode, KafkaError } from "./errors.ts";

/** A header of a record. Keys may repeat, and need not be valid UTF-8. */
export interface RecordHeader {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** The fields of one record as they stand in a batch. */
export interface RecordFields {
  /** Unused bits, zero so far. */
  readonly attributes: number;
  /** A safe integer, within ±2^52. */
  readonly timestampDelta: number;
  readonly offsetDelta: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

const TIMESTAMP_DELTA_LIMIT = 2 ** 52;

/** Size in bytes of the record with its length. @throws KafkaError INVALID_TIMESTAMP if its delta is out of range. */
export function recordSizeBytes(record: RecordFields): number {
  const bodyBytes = bodySizeBytes(record);
  return varintSizeBytes(bodyBytes) + bodyBytes;
}

/** Writes the record at `position`. @returns where it ends. */
export function writeRecord(target: Uint8Array, position: number, record: RecordFields): number {
  let end = writeVarint(target, position, bodySizeBytes(record));
  target[end] = record.attributes;
  end = writeVarint(target, end + 1, record.timestampDelta);
  end = writeVarint(target, end, record.offsetDelta);
  end = writeNullableBytes(target, end, record.key);
  end = writeNullableBytes(target, end, record.value);
  end = writeVarint(target, end, record.headers.length);
  for (const header of record.headers) {
    end = writeNullableBytes(target, end, header.key);
    end = writeNullableBytes(target, end, header.value);
  }
  assert(end <= target.length, "the record is longer than measured");
  return end;
}

function bodySizeBytes(record: RecordFields): number {
  if (Math.abs(record.timestampDelta) >= TIMESTAMP_DELTA_LIMIT) {
    throw new KafkaError(ErrorCode.invalidTimestamp, "A timestamp is too far from its batch's.");
  }
  let sizeBytes = 1 + varintSizeBytes(record.timestampDelta) + varintSizeBytes(record.offsetDelta);
  sizeBytes += nullableSizeBytes(record.key) + nullableSizeBytes(record.value);
  sizeBytes += varintSizeBytes(record.headers.length);
  for (const header of record.headers) {
    sizeBytes += nullableSizeBytes(header.key) + nullableSizeBytes(header.value);
  }
  return sizeBytes;
}

function nullableSizeBytes(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSizeBytes(bytes.length) + bytes.length;
}

function writeNullableBytes(
  target: Uint8Array,
  position: number,
  bytes: Uint8Array | null,
): number {
  if (bytes === null) return writeVarint(target, position, -1);
  const start = writeVarint(target, position, bytes.length);
  target.set(bytes, start);
  return start + bytes.length;
}

/** Zigzag over `number`, as int32 and int64 encode small values alike. */
function zigzagOf(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function varintSizeBytes(value: number): number {
  let sizeBytes = 1;
  for (let rest = zigzagOf(value); rest >= 128; rest = Math.floor(rest / 128)) sizeBytes += 1;
  return sizeBytes;
}

function writeVarint(target: Uint8Array, position: number, value: number): number {
  let end = position;
  let rest = zigzagOf(value);
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    target[end] = (rest % 128) | 0x80;
    end += 1;
  }
  target[end] = rest;
  return end + 1;
}
