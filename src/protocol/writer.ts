/**
 * Writes Kafka's primitive types into a buffer that grows (formats: see `reader.ts`). A value that its
 * type cannot hold is refused with `KafkaError` INVALID_REQUEST, never cut or wrapped.
 *
 * A writer is reused: `reset` starts over, and gives memory back after an unusually large use.
 */

import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import type { UnknownTaggedField } from "./reader.ts";
import { setUuid, UUID_BYTES } from "./uuid.ts";

const TWO_POW_32 = 2 ** 32;
/** A buffer above this size is given back by `reset`, unless a writer is told otherwise. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** Up to this many characters a loop over ASCII beats a call of the encoder. */
const ASCII_LOOP_LENGTH_MAX = 48;
const STRING_BYTES_MAX = 0x7fff;

const encoder = new TextEncoder();

/** Bytes to send. Invariant: position <= the buffer's size. */
export class Writer {
  /** Where the next byte goes; the number of bytes written. */
  position = 0;
  readonly #initialBytes: number;
  readonly #keptBytesMax: number;
  #bytes: Uint8Array;
  #view: DataView;

  /** @param keptBytesMax what `reset` keeps at most, for the next use */
  constructor(capacityBytes = 1024, keptBytesMax = KEPT_BYTES_MAX) {
    this.#initialBytes = capacityBytes;
    this.#keptBytesMax = Math.max(keptBytesMax, capacityBytes);
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Starts over. What `bytesWritten` returned before is no longer valid. */
  reset(): void {
    this.position = 0;
    if (this.#bytes.length > this.#keptBytesMax) this.#replace(this.#initialBytes);
  }

  /** A view of everything written; valid until the next write or `reset`. */
  bytesWritten(): Uint8Array {
    return this.#bytes.subarray(0, this.position);
  }

  /** Makes room for `lengthBytes` more bytes, so that growth is paid for once. */
  ensure(lengthBytes: number): void {
    const neededBytes = this.position + lengthBytes;
    if (neededBytes <= this.#bytes.length) return;
    const previous = this.#bytes;
    this.#replace(Math.max(neededBytes, previous.length * 2));
    this.#bytes.set(previous.subarray(0, this.position));
  }

  writeInt8(value: number): void {
    if ((value << 24) >> 24 !== value) refuseValue("int8", value);
    const start = this.#advance(1);
    this.#view.setInt8(start, value);
  }

  writeInt16(value: number): void {
    if ((value << 16) >> 16 !== value) refuseValue("int16", value);
    const start = this.#advance(2);
    this.#view.setInt16(start, value);
  }

  writeUint16(value: number): void {
    if ((value & 0xffff) !== value) refuseValue("uint16", value);
    const start = this.#advance(2);
    this.#view.setUint16(start, value);
  }

  writeInt32(value: number): void {
    if ((value | 0) !== value) refuseValue("int32", value);
    const start = this.#advance(4);
    this.#view.setInt32(start, value);
  }

  writeUint32(value: number): void {
    if (value >>> 0 !== value) refuseValue("uint32", value);
    const start = this.#advance(4);
    this.#view.setUint32(start, value);
  }

  writeInt64(value: number): void {
    if (!Number.isSafeInteger(value)) refuseValue("int64", value);
    const start = this.#advance(8);
    this.#view.setInt32(start, Math.floor(value / TWO_POW_32));
    this.#view.setUint32(start + 4, value >>> 0);
  }

  /** As `writeInt64`; 2**63 stands for 2^63-1, "none". */
  writeInt64OrMax(value: number): void {
    if (value !== 2 ** 63) {
      this.writeInt64(value);
      return;
    }
    this.writeInt32(0x7fffffff);
    this.writeUint32(0xffffffff);
  }

  writeFloat64(value: number): void {
    const start = this.#advance(8);
    this.#view.setFloat64(start, value);
  }

  writeBoolean(value: boolean): void {
    const start = this.#advance(1);
    this.#view.setInt8(start, value ? 1 : 0);
  }

  /** @throws KafkaError INVALID_REQUEST if `value` is not 22 characters of base64url. */
  writeUuid(value: string): void {
    this.ensure(UUID_BYTES);
    setUuid(this.#bytes, this.position, value);
    this.position += UUID_BYTES;
  }

  /** 0 to 2^32-1. */
  writeUnsignedVarint(value: number): void {
    if (value >>> 0 !== value) refuseValue("unsigned varint", value);
    let rest = value;
    while (rest > 0x7f) {
      this.#writeByte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.#writeByte(rest);
  }

  /** An int32 in zigzag form. */
  writeVarint(value: number): void {
    if ((value | 0) !== value) refuseValue("varint", value);
    this.writeUnsignedVarint(((value << 1) ^ (value >> 31)) >>> 0);
  }

  /** An int64 in zigzag form, for values of up to 52 bits and a sign. */
  writeVarlong(value: number): void {
    let rest = value < 0 ? -value * 2 - 1 : value * 2;
    if (!Number.isSafeInteger(value) || !Number.isSafeInteger(rest)) refuseValue("varlong", value);
    while (rest > 0x7f) {
      this.#writeByte((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.#writeByte(rest);
  }

  writeString(value: string, isFlexible = false): void {
    const isAscii =
      value.length <= ASCII_LOOP_LENGTH_MAX && this.#maybeWriteAscii(value, isFlexible);
    if (isAscii) return;
    const lengthBytes = Buffer.byteLength(value);
    if (lengthBytes > STRING_BYTES_MAX) refuseValue("length of a string", lengthBytes);
    this.#writeStringLength(lengthBytes, isFlexible);
    this.ensure(lengthBytes);
    encoder.encodeInto(value, this.#bytes.subarray(this.position, this.position + lengthBytes));
    this.position += lengthBytes;
  }

  writeNullableString(value: string | null, isFlexible = false): void {
    if (value === null) this.#writeStringLength(-1, isFlexible);
    else this.writeString(value, isFlexible);
  }

  writeBytes(value: Uint8Array, isFlexible = false): void {
    this.writeArrayLength(value.length, isFlexible);
    this.writeRaw(value);
  }

  writeNullableBytes(value: Uint8Array | null, isFlexible = false): void {
    if (value === null) this.writeArrayLength(-1, isFlexible);
    else this.writeBytes(value, isFlexible);
  }

  /** Record batches, in one piece or in several that follow one another. */
  writeRecords(value: Uint8Array | readonly Uint8Array[], isFlexible = false): void {
    if (value instanceof Uint8Array) {
      this.writeBytes(value, isFlexible);
      return;
    }
    let lengthBytes = 0;
    for (const part of value) lengthBytes += part.length;
    this.writeArrayLength(lengthBytes, isFlexible);
    this.ensure(lengthBytes);
    for (const part of value) this.writeRaw(part);
  }

  writeNullableRecords(value: Uint8Array | readonly Uint8Array[] | null, isFlexible = false): void {
    if (value === null) this.writeArrayLength(-1, isFlexible);
    else this.writeRecords(value, isFlexible);
  }

  /** Bytes without a length. */
  writeRaw(value: Uint8Array): void {
    this.ensure(value.length);
    this.#bytes.set(value, this.position);
    this.position += value.length;
  }

  /** The length of an array or of bytes; -1 is null. */
  writeArrayLength(count: number, isFlexible: boolean): void {
    if (isFlexible) this.writeUnsignedVarint(count + 1);
    else this.writeInt32(count);
  }

  /** The marker before a nullable struct; false is null. */
  writePresence(isPresent: boolean): void {
    this.writeInt8(isPresent ? 1 : -1);
  }

  /** Writes the tag and leaves room for the size. @returns what `endTaggedField` needs. */
  beginTaggedField(tag: number): number {
    this.writeUnsignedVarint(tag);
    return this.#advance(1) + 1;
  }

  /** Puts the size of what was written since `start` in front of it. */
  endTaggedField(start: number): void {
    const sizeBytes = this.position - start;
    const extraBytes = unsignedVarintBytes(sizeBytes) - 1;
    if (extraBytes > 0) {
      this.ensure(extraBytes);
      this.#bytes.copyWithin(start + extraBytes, start, this.position);
    }
    this.position = start - 1;
    this.writeUnsignedVarint(sizeBytes);
    this.position += sizeBytes;
  }

  /** Writes back what `Reader.readUnknownTaggedField` kept; their count is part of the known ones'. */
  writeUnknownTaggedFields(fields: readonly UnknownTaggedField[] | undefined): void {
    if (fields === undefined) return;
    for (const field of fields) {
      this.writeUnsignedVarint(field.tag);
      this.writeUnsignedVarint(field.bytes.length);
      this.writeRaw(field.bytes);
    }
  }

  /** Overwrites four bytes that were written before. */
  setInt32At(position: number, value: number): void {
    if (position < 0 || position + 4 > this.position) refuseValue("position", position);
    this.#view.setInt32(position, value);
  }

  /** Overwrites one byte that was written before. */
  setUint8At(position: number, value: number): void {
    if (position < 0 || position + 1 > this.position) refuseValue("position", position);
    this.#view.setUint8(position, value);
  }

  #writeByte(byte: number): void {
    const start = this.#advance(1);
    this.#view.setUint8(start, byte);
  }

  #writeStringLength(lengthBytes: number, isFlexible: boolean): void {
    if (isFlexible) this.writeUnsignedVarint(lengthBytes + 1);
    else this.writeInt16(lengthBytes);
  }

  /** @returns whether `value` was ASCII; otherwise nothing was written. */
  #maybeWriteAscii(value: string, isFlexible: boolean): boolean {
    const start = this.position;
    this.#writeStringLength(value.length, isFlexible);
    this.ensure(value.length);
    for (let index = 0; index < value.length; index += 1) {
      const character = value.charCodeAt(index);
      if (character > 0x7f) {
        this.position = start;
        return false;
      }
      this.#bytes[this.position + index] = character;
    }
    this.position += value.length;
    return true;
  }

  /** Makes room, perhaps in a new buffer, and moves over it. @returns where it starts. */
  #advance(lengthBytes: number): number {
    const start = this.position;
    if (start + lengthBytes > this.#bytes.length) this.ensure(lengthBytes);
    this.position = start + lengthBytes;
    return start;
  }

  #replace(capacityBytes: number): void {
    this.#bytes = uninitializedBytes(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }
}

function unsignedVarintBytes(value: number): number {
  let lengthBytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) lengthBytes += 1;
  return lengthBytes;
}

function refuseValue(type: string, value: number): never {
  throw new KafkaError(ErrorCode.invalidRequest, `${value} does not fit the type: ${type}.`);
}
