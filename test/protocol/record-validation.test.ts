/** The checks of produced records: every fault is told, and the fast walk decides as the cursor does. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { batchOf, type CanonicalRecord, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { RecordCursor } from "../../src/protocol/record.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  readBatchHeader,
} from "../../src/protocol/record-batch.ts";
import {
  NO_RECORD_RULES,
  type RecordRules,
  RecordValidationError,
  validateRecords,
} from "../../src/protocol/record-validation.ts";
import { codeOf } from "./error-code.ts";
import { goldenBatch } from "./golden-records.ts";
import "../seed.ts";

const record = (offset: number, timestampMs: number, key: Uint8Array | null): CanonicalRecord => ({
  offset,
  timestampMs,
  key,
  value: null,
  headers: [],
  attributes: 0,
});
const key = Uint8Array.of(1);
const rules: RecordRules = { timestampMsMin: 1_000, timestampMsMax: 2_000, isKeyRequired: true };

function validate(records: readonly CanonicalRecord[], by: RecordRules = NO_RECORD_RULES): number {
  const bytes = encodeBatch(batchOf(records, { maxTimestampMs: 0 }));
  return validateRecords(bytes, BATCH_HEADER_BYTES, bytes.length, readBatchHeader(bytes, 0), by);
}

/** The error that `records` are refused with. */
function refusal(records: readonly CanonicalRecord[], by?: RecordRules): RecordValidationError {
  try {
    validate(records, by);
  } catch (thrown) {
    if (thrown instanceof RecordValidationError) return thrown;
    throw thrown;
  }
  throw new Error("the records were accepted");
}

test("record validation: tells the greatest timestamp", () => {
  expect(validate([record(0, 5, key), record(1, 9, key), record(2, 7, null)])).toBe(9);
  expect(validate([record(0, -1, key)])).toBe(-1);
});

test("record validation: accepts the bounds and a missing timestamp", () => {
  const good = [record(0, 1_000, key), record(1, 2_000, key), record(2, -1, key)];
  expect(validate(good, rules)).toBe(2_000);
});

test("record validation: tells every record out of time, with the code of the first fault", () => {
  const late = [
    record(0, 1_500, key),
    record(1, 2_001, key),
    record(2, 999, key),
    record(3, 0, null),
  ];
  const error = refusal(late, rules);
  expect(error.code).toBe(ErrorCode.invalidTimestamp);
  expect(error.recordFaults.map((fault) => fault.batchIndex)).toEqual([1, 2, 3]);
});

test("record validation: tells records without a key where the topic is compacted", () => {
  const error = refusal([record(0, 1_500, key), record(1, 1_500, null)], rules);
  expect(error.code).toBe(ErrorCode.invalidRecord);
  expect(error.recordFaults.map((fault) => fault.batchIndex)).toEqual([1]);
});

test("record validation: refuses gaps and steps back in offsets", () => {
  expect(refusal([record(0, 1, key), record(2, 1, key)]).code).toBe(ErrorCode.invalidRecord);
  expect(refusal([record(1, 1, key), record(0, 1, key)]).recordFaults).toHaveLength(1);
});

test("record validation: refuses a timestamp beyond 2^53 even without rules", () => {
  const far = [record(0, 2 ** 53 - 1, key), record(1, 2 ** 53 + 100, key)];
  expect(refusal(far).code).toBe(ErrorCode.invalidTimestamp);
});

/** What the cursor alone makes of the records: the greatest timestamp, or undefined for refused. */
function maxByCursor(bytes: Uint8Array, header: BatchHeader, by: RecordRules): number | undefined {
  let maxMs = -1;
  const cursor = new RecordCursor(bytes, header.recordCount, BATCH_HEADER_BYTES, bytes.length);
  const code = codeOf(() => {
    for (let index = 0; cursor.next(); index += 1) {
      while (cursor.nextHeader());
      const timestampMs = header.baseTimestampMs + cursor.timestampDelta;
      const isInTime = timestampMs >= by.timestampMsMin && timestampMs <= by.timestampMsMax;
      if (cursor.offsetDelta !== index || (timestampMs !== -1 && !isInTime)) maxMs = Number.NaN;
      if (by.isKeyRequired && cursor.keyStart < 0) maxMs = Number.NaN;
      maxMs = Math.max(maxMs, timestampMs);
    }
  });
  return code === undefined && !Number.isNaN(maxMs) ? maxMs : undefined;
}

test("record validation: comes to the cursor's own result, whatever the bytes", () => {
  const position = fc.nat();
  const byte = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 0x7f, 0x80, 0xff),
    fc.integer({ min: 0, max: 255 }),
  );
  const name = fc.constantFrom("java-none", "kafkajs-none", "chronik-none", "java-emptied");
  const minMs = fc.constantFrom(Number.MIN_SAFE_INTEGER, 1_699_999_999_999);
  const isKeyRequired = fc.boolean();
  fc.assert(
    fc.property(
      name,
      fc.array(fc.tuple(position, byte), { maxLength: 2 }),
      minMs,
      isKeyRequired,
      (from, changes, timestampMsMin, keyed) => {
        const { bytes } = goldenBatch(from);
        const header = readBatchHeader(bytes, 0);
        const by = { timestampMsMin, timestampMsMax: 2_000_000_000_000, isKeyRequired: keyed };
        for (const [place, value] of changes) {
          const section = Math.max(1, Math.min(bytes.length - BATCH_HEADER_BYTES, 300));
          const target = BATCH_HEADER_BYTES + (place % section);
          if (target < bytes.length) bytes[target] = value;
        }
        let found: number | undefined;
        codeOf(() => {
          found = validateRecords(bytes, BATCH_HEADER_BYTES, bytes.length, header, by);
        });
        expect(found).toBe(maxByCursor(bytes, header, by));
      },
    ),
    { numRuns: 3_000 },
  );
});
