/**
 * Reads Kafka's primitive types from bytes that a peer sent (source: https://kafka.apache.org/protocol,
 * "Protocol Primitive Types"; compact types: KIP-482). Nothing is allocated for a length that the bytes
 * at hand cannot hold. Every failure is a `KafkaError` INVALID_REQUEST. All integers are big-endian.
 *
 * Strings, arrays and bytes come in two forms: with a fixed-size length, and, in flexible versions,
 * with an unsigned varint of the length plus one, where 0 is null.
 */

import { ErrorCode, KafkaError } from "./errors.ts";
import { uuidOf } from "./uuid.ts";

/** A tagged field that this program does not know; kept so that it can be written back. */
export interface UnknownTaggedField {
  readonly tag: number;
  /** A view of what was read. */
  readonly bytes: Uint8Array;
}

const TWO_POW_32 = 2 ** 32;
/** Up to this many bytes a loop over ASCII beats a call of the decoder. */
const ASCII_LOOP_BYTES_MAX = 24;
/** The least that one tagged field takes: its tag and its size. */
const TAGGED_FIELD_BYTES_MIN = 2;
/**
 * The most elements of arrays and tagged fields in one message, all together. An element may take one byte
 * on the wire and a hundred in memory, so a frame within its limit could still fill the memory.
 */
const ELEMENTS_MAX = 100_000;

/** Replaces what is not UTF-8, as the Java client does, and keeps a byte order mark. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A position in `bytes` that moves forward. Invariant: 0 <= position <= end <= bytes.length. */
export class Reader {
  bytes: Uint8Array;
  position: number;
  /** Exclusive. */
  end: number;
  /** The most elements of one message; a client that trusts its broker may raise it. */
  elementsMax = ELEMENTS_MAX;
  #view: DataView;
  /** Elements announced so far. */
  #elementCount = 0;

  /** Reads `bytes` from `position` to `end`. Byte arrays that it returns are views of `bytes`. */
  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Starts over with another message, so that one reader can serve a whole connection. */
  reset(bytes: Uint8Array, position = 0, end = bytes.length): void {
    if (bytes !== this.bytes) {
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.bytes = bytes;
    this.position = position;
    this.end = end;
    this.#elementCount = 0;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.end - this.position;
  }

  readInt8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  readUint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  readInt16(): number {
    return this.#view.getInt16(this.#advance(2));
  }

  readUint16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  readInt32(): number {
    return this.#view.getInt32(this.#advance(4));
  }

  readUint32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** @throws KafkaError INVALID_REQUEST also for a value that a number cannot hold exactly. */
  readInt64(): number {
    const start = this.#advance(8);
    const value = this.#view.getInt32(start) * TWO_POW_32 + this.#view.getUint32(start + 4);
    return Number.isSafeInteger(value) ? value : refuseInt64();
  }

  /** As `readInt64`, for the few fields where 2^63-1 means "none": that value becomes 2**63. */
  readInt64OrMax(): number {
    const start = this.#advance(8);
    const high = this.#view.getInt32(start);
    const low = this.#view.getUint32(start + 4);
    const value = high * TWO_POW_32 + low;
    if (Number.isSafeInteger(value)) return value;
    return high === 0x7fffffff && low === 0xffffffff ? 2 ** 63 : refuseInt64();
  }

  readFloat64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  readBoolean(): boolean {
    return this.#view.getInt8(this.#advance(1)) !== 0;
  }

  /** The 22 characters of Kafka's base64url form. */
  readUuid(): string {
    return uuidOf(this.bytes, this.#advance(16));
  }

  /** 0 to 2^32-1, in one to five bytes. */
  readUnsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#view.getUint8(this.#advance(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.#view.getUint8(this.#advance(1));
    if (last > 0x0f) refuse("A varint is longer than 32 bits.");
    return (value | (last << 28)) >>> 0;
  }

  /** An int32 in zigzag form. */
  readVarint(): number {
    const raw = this.readUnsignedVarint();
    return (raw >>> 1) ^ -(raw & 1);
  }

  /** An int64 in zigzag form. @throws KafkaError INVALID_REQUEST beyond 2^53. */
  readVarlong(): number {
    let raw = 0;
    let scale = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = this.#view.getUint8(this.#advance(1));
      raw += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (raw > Number.MAX_SAFE_INTEGER) refuseInt64();
        return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
      }
      scale *= 128;
    }
    return refuse("A varlong is longer than ten bytes.");
  }

  readString(isFlexible = false): string {
    const length = this.#readShortLength(isFlexible);
    return length < 0 ? refuse("A string is null where that is not allowed.") : this.#text(length);
  }

  readNullableString(isFlexible = false): string | null {
    const length = this.#readShortLength(isFlexible);
    return length < 0 ? null : this.#text(length);
  }

  /** A view. */
  readBytes(isFlexible = false): Uint8Array {
    return (
      this.readNullableBytes(isFlexible) ?? refuse("Bytes are null where that is not allowed.")
    );
  }

  /** A view. */
  readNullableBytes(isFlexible = false): Uint8Array | null {
    const length = isFlexible ? this.readUnsignedVarint() - 1 : this.readInt32();
    return length === -1 ? null : this.readView(length);
  }

  /** The next `lengthBytes` bytes, not copied. */
  readView(lengthBytes: number): Uint8Array {
    if (lengthBytes < 0) refuse(`A length of ${lengthBytes} bytes is negative.`);
    const start = this.#advance(lengthBytes);
    return this.bytes.subarray(start, start + lengthBytes);
  }

  /** How many elements follow. `elementBytesMin` is the least that one of them takes. */
  readArrayLength(isFlexible: boolean, elementBytesMin: number): number {
    const count = this.readNullableArrayLength(isFlexible, elementBytesMin);
    return count < 0 ? refuse("An array is null where that is not allowed.") : count;
  }

  /** As `readArrayLength`; -1 for null. */
  readNullableArrayLength(isFlexible: boolean, elementBytesMin: number): number {
    const count = isFlexible ? this.readUnsignedVarint() - 1 : this.readInt32();
    if (count < -1) refuse(`An array length of ${count} is negative.`);
    if (count * elementBytesMin > this.end - this.position) {
      refuse(`An array of ${count} elements does not fit in ${this.end - this.position} bytes.`);
    }
    if (count > 0) this.#countElements(count);
    return count;
  }

  /** The byte before a nullable struct; false is null. */
  readPresence(): boolean {
    return this.readInt8() >= 0;
  }

  /** How many tagged fields follow. */
  readTaggedFieldCount(): number {
    const count = this.readUnsignedVarint();
    if (count * TAGGED_FIELD_BYTES_MIN > this.end - this.position) {
      refuse(`${count} tagged fields do not fit in ${this.end - this.position} bytes.`);
    }
    if (count > 0) this.#countElements(count);
    return count;
  }

  /** Reads a tagged field's size. @returns the position where it ends, for `endTaggedField`. */
  readTaggedFieldEnd(): number {
    const sizeBytes = this.readUnsignedVarint();
    if (sizeBytes > this.end - this.position) refuseCut(sizeBytes, this.end - this.position);
    return this.position + sizeBytes;
  }

  /** Checks that a known tagged field took exactly the bytes that were announced. */
  endTaggedField(end: number): void {
    if (this.position !== end) refuse("A tagged field has another size than announced.");
  }

  /** Keeps the tagged field that ends at `end`. @returns `fields`, or a new list, with it added. */
  readUnknownTaggedField(
    tag: number,
    end: number,
    fields: UnknownTaggedField[] | undefined,
  ): UnknownTaggedField[] {
    const field = { tag, bytes: this.readView(end - this.position) };
    if (fields === undefined) return [field];
    fields.push(field);
    return fields;
  }

  /** The length of a string; -1 for null. */
  #readShortLength(isFlexible: boolean): number {
    const length = isFlexible ? this.readUnsignedVarint() - 1 : this.readInt16();
    if (length < -1) refuse(`A string length of ${length} is negative.`);
    if (length > 0x7fff) refuse(`A string of ${length} bytes is too long.`);
    return length;
  }

  #text(lengthBytes: number): string {
    const start = this.#advance(lengthBytes);
    const end = start + lengthBytes;
    if (lengthBytes > ASCII_LOOP_BYTES_MAX) return decoder.decode(this.bytes.subarray(start, end));
    let text = "";
    for (let position = start; position < end; position += 1) {
      const byte = this.#view.getUint8(position);
      if (byte > 0x7f) return decoder.decode(this.bytes.subarray(start, end));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #countElements(count: number): void {
    this.#elementCount += count;
    if (this.#elementCount > this.elementsMax) {
      refuse(`A message has over ${this.elementsMax} elements.`);
    }
  }

  /** Moves over `lengthBytes` bytes. @returns where they start. */
  #advance(lengthBytes: number): number {
    const start = this.position;
    if (lengthBytes > this.end - start) refuseCut(lengthBytes, this.end - start);
    this.position = start + lengthBytes;
    return start;
  }
}

function refuse(message: string): never {
  throw new KafkaError(ErrorCode.invalidRequest, message);
}

function refuseCut(lengthBytes: number, remainingBytes: number): never {
  return refuse(`${lengthBytes} bytes are announced, ${remainingBytes} are there.`);
}

function refuseInt64(): never {
  return refuse("An int64 is beyond 2^53.");
}
