/** Kafka's primitive types: borders of every range, lengths that lie, and memory. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { setUuid, uuidBytes, uuidOf, ZERO_UUID } from "../../src/protocol/uuid.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { codeOf } from "./error-code.ts";

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(1);
  write(writer);
  return writer.bytesWritten();
}

function readerOf(...bytes: number[]): Reader {
  return new Reader(Uint8Array.from(bytes));
}

const INTEGERS = [
  { type: "Int8", min: -128, max: 127 },
  { type: "Int16", min: -32768, max: 32767 },
  { type: "Uint16", min: 0, max: 65535 },
  { type: "Int32", min: -(2 ** 31), max: 2 ** 31 - 1 },
  { type: "Uint32", min: 0, max: 2 ** 32 - 1 },
  { type: "UnsignedVarint", min: 0, max: 2 ** 32 - 1 },
  { type: "Varint", min: -(2 ** 31), max: 2 ** 31 - 1 },
  { type: "Int64", min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER },
  { type: "Varlong", min: -(2 ** 52), max: 2 ** 52 - 1 },
] as const;

test.each(INTEGERS)("$type: the whole range survives, nothing beyond is written", (integer) => {
  const { type, min, max } = integer;
  const values = fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max, 0, 127, 128));
  const property = fc.property(values, (value) => {
    fc.pre(value <= max);
    const bytes = written((writer) => writer[`write${type}`](value));
    const reader = new Reader(bytes);
    expect(reader[`read${type}`]()).toBe(value);
    expect(reader.remaining).toBe(0);
  });
  fc.assert(property);
  for (const value of [max + 1, min - 1, 0.5, Number.NaN]) {
    expect(codeOf(() => written((writer) => writer[`write${type}`](value)))).toBe(
      ErrorCode.invalidRequest,
    );
  }
});

test("int64: a value beyond 2^53 is refused, never rounded", () => {
  expect(codeOf(() => readerOf(0, 0x20, 0, 0, 0, 0, 0, 0).readInt64())).toBe(
    ErrorCode.invalidRequest,
  );
  const max = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  expect(codeOf(() => readerOf(...max).readInt64())).toBe(ErrorCode.invalidRequest);
  expect(readerOf(...max).readInt64OrMax()).toBe(2 ** 63);
  expect([...written((writer) => writer.writeInt64OrMax(2 ** 63))]).toEqual(max);
  expect(readerOf(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe).readInt64OrMax()).toBe(-2);
});

test("varint: more than 32 bits or five bytes are refused", () => {
  expect(readerOf(0xff, 0xff, 0xff, 0xff, 0x0f).readUnsignedVarint()).toBe(2 ** 32 - 1);
  for (const last of [0x10, 0x80]) {
    const reader = readerOf(0xff, 0xff, 0xff, 0xff, last, 0);
    expect(codeOf(() => reader.readUnsignedVarint())).toBe(ErrorCode.invalidRequest);
  }
  const endless = readerOf(...new Array<number>(12).fill(0x80));
  expect(codeOf(() => endless.readVarlong())).toBe(ErrorCode.invalidRequest);
});

test("string: any text survives in both forms", () => {
  const property = fc.property(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.boolean(),
    (text, isFlexible) => {
      const bytes = written((writer) => writer.writeString(text, isFlexible));
      expect(new Reader(bytes).readString(isFlexible)).toBe(text);
      expect(new Reader(bytes).readNullableString(isFlexible)).toBe(text);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("string: a byte order mark stays, what is not UTF-8 is replaced", () => {
  expect(readerOf(0, 3, 0xef, 0xbb, 0xbf).readString()).toBe("\ufeff");
  expect(readerOf(0, 2, 0x61, 0xff).readString()).toBe("a\ufffd");
  const lone = written((writer) => writer.writeString("\ud800"));
  expect([...lone]).toEqual([0, 3, 0xef, 0xbf, 0xbd]);
});

test("string: null, negative and too long lengths", () => {
  expect(readerOf(0xff, 0xff).readNullableString()).toBeNull();
  expect(readerOf(0).readNullableString(true)).toBeNull();
  expect(codeOf(() => readerOf(0xff, 0xff).readString())).toBe(ErrorCode.invalidRequest);
  expect(codeOf(() => readerOf(0).readString(true))).toBe(ErrorCode.invalidRequest);
  expect(codeOf(() => readerOf(0xff, 0xfe).readNullableString())).toBe(ErrorCode.invalidRequest);
  expect(codeOf(() => readerOf(0x7f, 0xff, 0x61).readString())).toBe(ErrorCode.invalidRequest);
  const tooLong = "x".repeat(0x8000);
  expect(codeOf(() => written((writer) => writer.writeString(tooLong)))).toBe(
    ErrorCode.invalidRequest,
  );
});

test("bytes: views of what was received, never copies", () => {
  const received = Uint8Array.from([9, 0, 0, 0, 2, 7, 8]);
  const view = new Reader(received, 1).readBytes();
  expect([...view]).toEqual([7, 8]);
  expect(view.buffer).toBe(received.buffer);
});

test("bytes and arrays: a length that lies is refused before anything is allocated", () => {
  for (const length of [
    [0x7f, 0xff, 0xff, 0xff],
    [0xff, 0xff, 0xff, 0xfe],
    [0x80, 0, 0, 0],
  ]) {
    expect(codeOf(() => readerOf(...length, 1).readNullableBytes())).toBe(ErrorCode.invalidRequest);
    expect(codeOf(() => readerOf(...length, 1).readNullableArrayLength(false, 1))).toBe(
      ErrorCode.invalidRequest,
    );
  }
  expect(readerOf(0, 0, 0, 1, 1, 1).readArrayLength(false, 2)).toBe(1);
  expect(codeOf(() => readerOf(0, 0, 0, 2, 1, 1, 1).readArrayLength(false, 2))).toBe(
    ErrorCode.invalidRequest,
  );
  expect(codeOf(() => readerOf(0xff, 0xff, 0xff, 0xff).readArrayLength(false, 1))).toBe(
    ErrorCode.invalidRequest,
  );
});

test("arrays: a message of too many tiny elements is refused before they fill the memory", () => {
  const reader = new Reader(new Uint8Array(300_000).fill(1));
  const hundredThousand = Uint8Array.of(0, 0x01, 0x86, 0xa0);
  reader.bytes.set(hundredThousand);
  expect(reader.readArrayLength(false, 1)).toBe(100_000);
  expect(codeOf(() => reader.readTaggedFieldCount())).toBe(ErrorCode.invalidRequest);
  reader.reset(reader.bytes);
  expect(reader.readArrayLength(false, 1)).toBe(100_000);
  expect(codeOf(() => reader.readArrayLength(true, 1))).toBe(undefined);
  expect(codeOf(() => reader.readArrayLength(false, 0))).toBe(ErrorCode.invalidRequest);
});

test("reader: reads nothing behind its end and starts over with reset", () => {
  const reader = new Reader(Uint8Array.from([1, 2, 3, 4]), 1, 3);
  expect(reader.remaining).toBe(2);
  expect(codeOf(() => reader.readInt32())).toBe(ErrorCode.invalidRequest);
  expect(reader.readInt16()).toBe(0x0203);
  expect(codeOf(() => reader.readInt8())).toBe(ErrorCode.invalidRequest);
  reader.reset(Uint8Array.from([5, 6]));
  expect(reader.readInt16()).toBe(0x0506);
});

test("records: several pieces become one", () => {
  const pieces = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)];
  const bytes = written((writer) => writer.writeNullableRecords(pieces));
  expect([...bytes]).toEqual([0, 0, 0, 3, 1, 2, 3]);
  expect([...written((writer) => writer.writeNullableRecords(null, true))]).toEqual([0]);
});

test("tagged fields: a size of more than one byte moves the value", () => {
  for (const length of [0, 126, 127, 128, 16_383, 16_384, 20_000]) {
    const bytes = written((writer) => {
      const start = writer.beginTaggedField(3);
      writer.writeRaw(new Uint8Array(length).fill(7));
      writer.endTaggedField(start);
      writer.writeInt8(1);
    });
    const reader = new Reader(bytes);
    expect(reader.readUnsignedVarint()).toBe(3);
    const end = reader.readTaggedFieldEnd();
    expect(reader.readView(length)).toEqual(new Uint8Array(length).fill(7));
    reader.endTaggedField(end);
    expect(reader.readInt8()).toBe(1);
  }
});

test("writer: overwrites only what was written", () => {
  const writer = new Writer();
  writer.writeInt32(0);
  writer.setInt32At(0, 77);
  writer.setUint8At(3, 78);
  expect(new Reader(writer.bytesWritten()).readInt32()).toBe(78);
  expect(codeOf(() => writer.setInt32At(1, 0))).toBe(ErrorCode.invalidRequest);
  expect(codeOf(() => writer.setUint8At(4, 0))).toBe(ErrorCode.invalidRequest);
});

test("writer: reset gives a huge buffer back and keeps an ordinary one", () => {
  const writer = new Writer(64);
  writer.writeRaw(new Uint8Array(4096));
  const kept = writer.bytesWritten().buffer;
  writer.reset();
  expect(writer.bytesWritten().buffer).toBe(kept);
  writer.writeRaw(new Uint8Array(8 * 1024 * 1024));
  writer.reset();
  expect(writer.bytesWritten().buffer.byteLength).toBe(64);
});

test("uuid: sixteen bytes and 22 characters are the same", () => {
  const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const property = fc.property(sixteen, (bytes) => {
    const uuid = uuidOf(bytes, 0);
    expect(uuid).toBe(Buffer.from(bytes).toString("base64url"));
    expect(uuidBytes(uuid)).toEqual(bytes);
  });
  fc.assert(property);
  expect(uuidBytes(ZERO_UUID)).toEqual(new Uint8Array(16));
});

test("uuid: text that is none is refused", () => {
  for (const text of ["", "AAAA", `${"A".repeat(21)}=`, `${"A".repeat(21)}é`, "A".repeat(23)]) {
    expect(codeOf(() => setUuid(new Uint8Array(16), 0, text))).toBe(ErrorCode.invalidRequest);
  }
});
