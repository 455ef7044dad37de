/** Decoding and encoding is the identity, for batches of real clients and for any other. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { recordsSectionOf } from "../../src/protocol/batch-records.ts";
import {
  batchOf,
  type CanonicalRecord,
  type CanonicalRecordBatch,
  decodeBatch,
  encodeBatch,
} from "../../src/protocol/canonical-record.ts";
import { COMPRESSION_TYPES } from "../../src/protocol/compression-type.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { batchOfLegacyRecord } from "../../src/protocol/legacy-record.ts";
import { readBatchHeader, validateBatch } from "../../src/protocol/record-batch.ts";
import { codeOf } from "./error-code.ts";
import { goldenBatch, goldenBatches, goldenRecords } from "./golden-records.ts";
import "../seed.ts";

const base64 = (bytes: Uint8Array | null): string | null => bytes?.toBase64() ?? null;

/** The uncompressed records section of a batch. */
function recordsSection(bytes: Uint8Array): Uint8Array {
  const section = recordsSectionOf(bytes, 0, readBatchHeader(bytes, 0));
  return section.bytes.subarray(section.start, section.end);
}

/** A record as a consumer sees it, in the form of `expected.json`. */
function consumed(record: CanonicalRecord, batch: CanonicalRecordBatch): unknown {
  const isAppendTime = batch.timestampType === "LogAppendTime";
  return {
    offset: record.offset,
    timestampMs: isAppendTime ? batch.maxTimestampMs : record.timestampMs,
    key: base64(record.key),
    value: base64(record.value),
    headers: record.headers.map(({ key, value }) => [base64(key), base64(value)]),
  };
}

/** The batch in the form of `expected.json`. */
function describeBatch(bytes: Uint8Array): unknown {
  const header = readBatchHeader(bytes, 0);
  const batch = decodeBatch(bytes);
  return {
    sizeBytes: header.sizeBytes,
    crc: header.crc,
    baseOffset: batch.baseOffset,
    lastOffset: batch.baseOffset + batch.lastOffsetDelta,
    partitionLeaderEpoch: batch.partitionLeaderEpoch,
    compression: batch.compression,
    timestampType: batch.timestampType,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl,
    deleteHorizonMs: batch.hasDeleteHorizon ? batch.baseTimestampMs : -1,
    baseTimestampMs: batch.baseTimestampMs,
    maxTimestampMs: batch.maxTimestampMs,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    recordCount: batch.records.length,
    records: batch.records.map((record) => consumed(record, batch)),
  };
}

describe.each(goldenBatches())("canonical record: $name", ({ name, bytes, described }) => {
  test("decodes to what Apache Kafka reads in it", () => {
    expect(describeBatch(bytes)).toEqual(described);
  });

  test("comes back from its fields alone", () => {
    const batch = decodeBatch(bytes);
    const encoded = encodeBatch(batch);
    if (batch.compression === "none") expect(encoded).toEqual(bytes);
    expect(decodeBatch(encoded)).toEqual(batch);
    expect(recordsSection(encoded)).toEqual(recordsSection(bytes));
    expect(encodeBatch(decodeBatch(encoded))).toEqual(encoded);
  });

  test("is accepted from a producer unless only a broker may write it", () => {
    const isBrokerOnly =
      described.baseOffset !== 0 || described.isControl || described.deleteHorizonMs !== -1;
    const code = codeOf(() => validateBatch(bytes, 0, bytes.length));
    expect(code, name).toBe(isBrokerOnly ? ErrorCode.invalidRecord : undefined);
  });
});

test.each(["none", "snappy", "lz4"] as const)(
  "canonical record: what Apache Kafka read of ours is still what we write: %s",
  (compression) => {
    const golden = goldenBatch(`chronik-${compression}`);
    const batch = batchOf(goldenRecords(), {
      compression,
      partitionLeaderEpoch: 3,
      producerId: 12,
      producerEpoch: 1,
      baseSequence: 5,
    });
    expect(encodeBatch(batch)).toEqual(golden.bytes);
  },
);

const bytesOf = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const nullableBytes = fc.option(bytesOf(300), { nil: null });
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 2 ** 31 });
const timestampMs = fc.integer({ min: -(2 ** 51), max: 2 ** 51 - 1 });

const record: fc.Arbitrary<CanonicalRecord> = fc.record({
  offset: fc.integer({ min: 0, max: 0x7fff_ffff }),
  timestampMs,
  key: nullableBytes,
  value: nullableBytes,
  headers: fc.array(fc.record({ key: bytesOf(20), value: nullableBytes }), { maxLength: 5 }),
  attributes: fc.integer({ min: 0, max: 255 }),
});

const batch: fc.Arbitrary<CanonicalRecordBatch> = fc
  .record({
    magic: fc.constant(2 as const),
    baseOffset: offset,
    lastOffsetDelta: int32,
    partitionLeaderEpoch: int32,
    compression: fc.constantFrom(...COMPRESSION_TYPES),
    timestampType: fc.constantFrom("CreateTime" as const, "LogAppendTime" as const),
    isTransactional: fc.boolean(),
    isControl: fc.boolean(),
    hasDeleteHorizon: fc.boolean(),
    unusedAttributes: fc.integer({ min: -256, max: 255 }).map((bits) => bits << 7),
    baseTimestampMs: timestampMs,
    maxTimestampMs: timestampMs,
    producerId: fc.maxSafeInteger(),
    producerEpoch: int16,
    baseSequence: int32,
    records: fc.array(record, { maxLength: 20 }),
  })
  .map((fields) => ({
    ...fields,
    records: fields.records.map((each) => ({ ...each, offset: each.offset + fields.baseOffset })),
  }));

test("canonical record: any batch survives, and equal batches give equal bytes", () => {
  fc.assert(
    fc.property(batch, (original) => {
      const bytes = encodeBatch(original);
      expect(decodeBatch(bytes)).toEqual(original);
      expect(encodeBatch(decodeBatch(bytes))).toEqual(bytes);
    }),
    { numRuns: 300 },
  );
});

test("canonical record: a view into a larger array decodes alike", () => {
  const { bytes } = goldenBatch("java-none");
  const surrounded = new Uint8Array(bytes.length + 20).fill(0xff);
  surrounded.set(bytes, 7);
  expect(decodeBatch(surrounded.subarray(7, 7 + bytes.length))).toEqual(decodeBatch(bytes));
});

test("canonical record: a batch without fields given has no producer and its records' times", () => {
  const made = batchOf(goldenRecords());
  expect(made).toMatchObject({
    baseOffset: 1000,
    lastOffsetDelta: 100_000,
    baseTimestampMs: 1_700_000_000_000,
    maxTimestampMs: 1_800_000_000_000,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
  });
  expect(batchOf([])).toMatchObject({ baseOffset: 0, lastOffsetDelta: 0, maxTimestampMs: -1 });
});

test("canonical record: a timestamp too far from its batch's is refused", () => {
  const [first] = goldenRecords();
  if (first === undefined) throw new Error("no record");
  const far = batchOf([{ ...first, timestampMs: 2 ** 52 }], { baseTimestampMs: 0 });
  expect(codeOf(() => encodeBatch(far))).toBe(ErrorCode.invalidTimestamp);
});

test("legacy record: becomes a batch of one at its offset", () => {
  const key = new Uint8Array(0);
  const headers = [{ key: Uint8Array.of(104), value: null }];
  const bytes = batchOfLegacyRecord({ offset: 42, timestampMs: 9, key, value: null, headers });
  const decoded = decodeBatch(bytes);
  expect(decoded).toMatchObject({ baseOffset: 42, lastOffsetDelta: 0, baseTimestampMs: 9 });
  expect(decoded.maxTimestampMs).toBe(9);
  expect(decoded.records).toEqual([
    { offset: 42, timestampMs: 9, key, value: null, headers, attributes: 0 },
  ]);
});
