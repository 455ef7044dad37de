/** The walk over records: finds what was written, and refuses everything else. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { RecordCursor } from "../../src/protocol/record.ts";
import { BATCH_HEADER_BYTES } from "../../src/protocol/record-batch.ts";
import { codeOf } from "./error-code.ts";
import { goldenBatch } from "./golden-records.ts";
import "../seed.ts";

/** Walks everything. @returns how many records there were. */
function walk(bytes: Uint8Array, count: number): number {
  const cursor = new RecordCursor(bytes, count);
  let found = 0;
  while (cursor.next()) {
    while (cursor.nextHeader());
    found += 1;
  }
  return found;
}

const recordsOfGolden = (name: string): Uint8Array =>
  goldenBatch(name).bytes.subarray(BATCH_HEADER_BYTES);

test("record: headers that are not walked are skipped", () => {
  const cursor = new RecordCursor(recordsOfGolden("java-none"), 8);
  const headerCounts: number[] = [];
  while (cursor.next()) headerCounts.push(cursor.headerCount);
  expect(headerCounts).toEqual([0, 0, 0, 0, 5, 0, 0, 0]);
});

test("record: null and empty are told apart, as ranges and as views", () => {
  const cursor = new RecordCursor(recordsOfGolden("java-none"), 8);
  const seen: unknown[] = [];
  while (cursor.next()) seen.push([cursor.key()?.length ?? null, cursor.value()?.length ?? null]);
  expect(seen).toEqual([
    [2, 2],
    [null, 2],
    [0, 0],
    [2, null],
    [2, 7],
    [2, 400],
    [2, 12],
    [null, null],
  ]);
  expect([cursor.keyStart, cursor.valueStart]).toEqual([-1, -1]);
});

test("record: every cut and every other count fails, and leaves the cursor usable", () => {
  const bytes = recordsOfGolden("java-none");
  for (let length = 0; length < bytes.length; length += 1) {
    expect(codeOf(() => walk(bytes.subarray(0, length), 8))).toBe(ErrorCode.invalidRecord);
  }
  for (const count of [-1, 0, 7, 9, 0x7fff_ffff]) {
    expect(codeOf(() => walk(bytes, count))).toBe(ErrorCode.invalidRecord);
  }
  const cursor = new RecordCursor(bytes.subarray(0, 20), 8);
  expect(
    codeOf(() => {
      while (cursor.next());
    }),
  ).toBe(ErrorCode.invalidRecord);
  cursor.reset(bytes, 8);
  expect(cursor.next()).toBe(true);
});

test("record: no bit flip makes the walk leave its bytes or run away", () => {
  const bytes = recordsOfGolden("java-none").slice();
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const code = codeOf(() => walk(bytes, 8));
    expect(code ?? ErrorCode.invalidRecord).toBe(ErrorCode.invalidRecord);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  }
});

test("record: any bytes end in a KafkaError or in the announced records within them", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.integer({ min: 0, max: 5 }),
      (bytes, count) => {
        const cursor = new RecordCursor(bytes, count);
        const code = codeOf(() => {
          while (cursor.next()) {
            expect(cursor.recordEnd).toBeLessThanOrEqual(bytes.length);
            expect(cursor.keyEnd).toBeLessThanOrEqual(cursor.recordEnd);
            expect(cursor.valueEnd).toBeLessThanOrEqual(cursor.recordEnd);
            while (cursor.nextHeader()) {
              expect(cursor.headerKeyEnd).toBeLessThanOrEqual(cursor.recordEnd);
              expect(cursor.headerValueEnd).toBeLessThanOrEqual(cursor.recordEnd);
            }
          }
        });
        expect(code ?? ErrorCode.invalidRecord).toBe(ErrorCode.invalidRecord);
      },
    ),
    { numRuns: 3_000 },
  );
});

describe("record: hostile numbers are refused", () => {
  const huge = [0xfe, 0xff, 0xff, 0xff, 0x0f]; // 2^31 - 1
  const cases: readonly (readonly [what: string, bytes: readonly number[]])[] = [
    ["a length of 2^31 - 1", [...huge, 0, 0, 0, 1, 1, 0]],
    ["a negative length", [1, 0, 0, 0, 1, 1, 0]],
    ["a length of zero", [0]],
    ["a key length of 2^31 - 1", [20, 0, 0, 0, ...huge, 1, 0]],
    ["a key length of -2", [12, 0, 0, 0, 3, 1, 0]],
    ["a value length of 2^31 - 1", [20, 0, 0, 0, 1, ...huge, 0]],
    ["a value length of -2", [12, 0, 0, 0, 1, 3, 0]],
    ["2^31 - 1 headers", [20, 0, 0, 0, 1, 1, ...huge]],
    ["-1 headers", [12, 0, 0, 0, 1, 1, 1]],
    ["a null header key", [16, 0, 0, 0, 1, 1, 2, 1, 1]],
    ["a header value beyond its record", [16, 0, 0, 0, 1, 1, 2, 0, 2]],
    ["bytes after the last header", [18, 0, 0, 0, 1, 1, 2, 0, 1, 0]],
    ["bytes after the last field", [14, 0, 0, 0, 1, 1, 0, 0]],
    ["a varint of six bytes", [0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0]],
    ["a varint of 33 bits", [12, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x1f, 1, 1, 0]],
    [
      "a timestamp delta of 2^52",
      [28, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 1, 1, 0],
    ],
    ["a varlong of eleven bytes", [34, 0, ...new Array(10).fill(0x80), 0, 0, 1, 1, 0]],
  ];
  test.each(cases)("%s", (_what, bytes) => {
    expect(codeOf(() => walk(Uint8Array.from(bytes), 1))).toBe(ErrorCode.invalidRecord);
  });
});

test("record: longer varints than needed are read", () => {
  const cursor = new RecordCursor(
    Uint8Array.of(0x92, 0x00, 0, 0x80, 0x80, 0x00, 0, 0x81, 0x00, 0, 0),
    1,
  );
  expect(codeOf(() => cursor.next())).toBe(undefined);
  expect([cursor.timestampDelta, cursor.keyStart, cursor.valueStart]).toEqual([0, -1, 10]);
});
