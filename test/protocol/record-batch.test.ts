/** Checks of produced and stored batches: each fault has Apache Kafka's code, and none is overlooked. */
import { expect, test } from "bun:test";
import { batchOf, type CanonicalRecord, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import {
  ATTRIBUTES_OFFSET,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OFFSET,
  batchEndOf,
  batchesIn,
  LAST_OFFSET_DELTA_OFFSET,
  MAGIC_OFFSET,
  MAX_TIMESTAMP_OFFSET,
  PARTITION_LEADER_EPOCH_OFFSET,
  PRODUCER_ID_OFFSET,
  RECORD_COUNT_OFFSET,
  readBatchHeader,
  setBaseOffset,
  setMaxTimestampAndCrc,
  setPartitionLeaderEpoch,
  validateBatch,
  verifyBatch,
  writeCrc,
} from "../../src/protocol/record-batch.ts";
import { codeOf } from "./error-code.ts";
import { goldenBatch, goldenBatches } from "./golden-records.ts";

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

const records: readonly CanonicalRecord[] = [0, 1].map((offset) => ({
  offset,
  timestampMs: 1_700_000_000_000 + offset,
  key: null,
  value: Uint8Array.of(1, 2, 3),
  headers: [],
  attributes: 0,
}));

/** A good batch after `change`, with the CRC that fits. */
function changed(change: (view: DataView) => void): Uint8Array {
  const bytes = encodeBatch(batchOf(records));
  change(viewOf(bytes));
  writeCrc(bytes, 0, bytes.length);
  return bytes;
}

const validateWhole = (bytes: Uint8Array): unknown => validateBatch(bytes, 0, bytes.length);
const verifyWhole = (bytes: Uint8Array): unknown => verifyBatch(bytes, 0, bytes.length);

function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const good = encodeBatch(batchOf(records));
const { invalidRecord, corruptMessage, invalidTimestamp } = ErrorCode;
const faults: readonly (readonly [what: string, bytes: Uint8Array, code: ErrorCode])[] = [
  ["nothing", new Uint8Array(0), invalidRecord],
  ["eleven bytes", good.subarray(0, 11), invalidRecord],
  ["a header cut short", good.subarray(0, 60), invalidRecord],
  ["records cut short", good.subarray(0, -1), invalidRecord],
  ["two batches", concatenated(good, good), invalidRecord],
  ["bytes after the batch", concatenated(good, Uint8Array.of(0)), invalidRecord],
  ["magic 1", changed((view) => view.setInt8(MAGIC_OFFSET, 1)), invalidRecord],
  ["magic 0", changed((view) => view.setInt8(MAGIC_OFFSET, 0)), invalidRecord],
  ["magic 3", changed((view) => view.setInt8(MAGIC_OFFSET, 3)), corruptMessage],
  ["magic -1", changed((view) => view.setInt8(MAGIC_OFFSET, -1)), corruptMessage],
  ["length 13", changed((view) => view.setInt32(BATCH_LENGTH_OFFSET, 13)), corruptMessage],
  ["a negative length", changed((view) => view.setInt32(BATCH_LENGTH_OFFSET, -1)), corruptMessage],
  [
    "length 2^31 - 1",
    changed((view) => view.setInt32(BATCH_LENGTH_OFFSET, 0x7fff_ffff)),
    invalidRecord,
  ],
  ["base offset 1", changed((view) => view.setInt32(4, 1)), invalidRecord],
  ["base offset -1", changed((view) => view.setBigInt64(0, -1n)), invalidRecord],
  ["no record", changed((view) => view.setInt32(RECORD_COUNT_OFFSET, 0)), invalidRecord],
  ["a negative count", changed((view) => view.setInt32(RECORD_COUNT_OFFSET, -1)), invalidRecord],
  [
    "count 2^31 - 1",
    changed((view) => view.setInt32(RECORD_COUNT_OFFSET, 0x7fff_ffff)),
    invalidRecord,
  ],
  [
    "a negative last offset",
    changed((view) => view.setInt32(LAST_OFFSET_DELTA_OFFSET, -1)),
    invalidRecord,
  ],
  [
    "a last offset beyond the count",
    changed((view) => view.setInt32(LAST_OFFSET_DELTA_OFFSET, 2)),
    invalidRecord,
  ],
  [
    "an unknown codec",
    changed((view) => view.setInt16(ATTRIBUTES_OFFSET, 5)),
    ErrorCode.unsupportedCompressionType,
  ],
  [
    "append time",
    encodeBatch(batchOf(records, { timestampType: "LogAppendTime" })),
    invalidTimestamp,
  ],
  ["a control batch", encodeBatch(batchOf(records, { isControl: true })), invalidRecord],
  ["a delete horizon", encodeBatch(batchOf(records, { hasDeleteHorizon: true })), invalidRecord],
  [
    "a producer without sequence",
    encodeBatch(batchOf(records, { producerId: 5, producerEpoch: 0 })),
    invalidRecord,
  ],
  [
    "a producer without epoch",
    encodeBatch(batchOf(records, { producerId: 5, baseSequence: 0 })),
    ErrorCode.invalidProducerEpoch,
  ],
  [
    "a transaction without producer",
    encodeBatch(batchOf(records, { isTransactional: true })),
    invalidRecord,
  ],
  [
    "a producer id beyond 2^53",
    changed((view) => view.setBigInt64(PRODUCER_ID_OFFSET, 1n << 53n)),
    invalidRecord,
  ],
  [
    "a timestamp beyond 2^53",
    changed((view) => view.setBigInt64(MAX_TIMESTAMP_OFFSET, 1n << 53n)),
    invalidTimestamp,
  ],
];

test.each(faults)("record batch: producers may not send %s", (_what, bytes, code) => {
  expect(codeOf(() => validateWhole(bytes))).toBe(code);
});

test("record batch: a batch of length 14 to 48 is corrupt, not read beyond", () => {
  const short = new Uint8Array(40);
  viewOf(short).setInt32(BATCH_LENGTH_OFFSET, 28);
  viewOf(short).setInt8(MAGIC_OFFSET, 2);
  expect(codeOf(() => validateWhole(short))).toBe(corruptMessage);
  expect(codeOf(() => verifyWhole(short))).toBe(corruptMessage);
});

test("record batch: a producer's and a transaction's fields are accepted", () => {
  const fields = { producerId: 5, producerEpoch: 0, baseSequence: 0, isTransactional: true };
  const bytes = encodeBatch(batchOf(records, fields));
  expect(validateBatch(bytes, 0, bytes.length)).toMatchObject({ ...fields, recordCount: 2 });
});

test.each(goldenBatches())("record batch: every cut of $name fails", ({ bytes }) => {
  for (let length = 0; length < bytes.length; length += 1) {
    const cut = bytes.subarray(0, length);
    expect(codeOf(() => validateWhole(cut))).toBeDefined();
    expect(codeOf(() => verifyWhole(cut))).toBeDefined();
  }
});

test.each(["java-none", "java-zstd", "java-control-commit"])(
  "record batch: every bit flip of %s that the CRC or the length covers fails",
  (name) => {
    const { bytes } = goldenBatch(name);
    for (let bit = BATCH_LENGTH_OFFSET * 8; bit < bytes.length * 8; bit += 1) {
      const position = bit >> 3;
      const isLeaderEpoch = position >= PARTITION_LEADER_EPOCH_OFFSET && position < MAGIC_OFFSET;
      bytes[position] = (bytes[position] ?? 0) ^ (1 << (bit & 7));
      expect(codeOf(() => verifyWhole(bytes)) === undefined, `bit ${bit}`).toBe(isLeaderEpoch);
      bytes[position] = (bytes[position] ?? 0) ^ (1 << (bit & 7));
    }
    expect(verifyWhole(bytes)).toBeDefined();
  },
);

test("record batch: random bytes are refused with a KafkaError", () => {
  const bytes = new Uint8Array(200);
  for (let round = 0; round < 2_000; round += 1) {
    for (let index = 0; index < bytes.length; index += 1) {
      bytes[index] = Math.imul(round * 131 + index, 2_654_435_761) >>> 24;
    }
    bytes[MAGIC_OFFSET] = 2;
    viewOf(bytes).setInt32(BATCH_LENGTH_OFFSET, bytes.length - 12);
    expect(codeOf(() => validateWhole(bytes))).toBeDefined();
    expect(codeOf(() => verifyWhole(bytes))).toBeDefined();
  }
});

test("record batch: offset and leader epoch are assigned without touching the rest", () => {
  for (const baseOffset of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const { bytes } = goldenBatch("java-none");
    const rest = bytes.slice(MAGIC_OFFSET);
    setBaseOffset(bytes, 0, baseOffset);
    setPartitionLeaderEpoch(bytes, 0, 0x7fff_fffe);
    expect(viewOf(bytes).getBigInt64(0)).toBe(BigInt(baseOffset));
    expect(verifyBatch(bytes, 0, bytes.length)).toMatchObject({
      baseOffset,
      partitionLeaderEpoch: 0x7fff_fffe,
    });
    expect(bytes.subarray(MAGIC_OFFSET)).toEqual(rest);
  }
});

test("record batch: append time is set with its CRC, and taken back", () => {
  const { bytes } = goldenBatch("java-snappy");
  const original = bytes.slice();
  const surrounded = concatenated(Uint8Array.of(9), bytes, Uint8Array.of(9, 9));
  const maxTimestampMs = 1_700_000_555_555;
  setMaxTimestampAndCrc(surrounded, 1, { timestampType: "LogAppendTime", maxTimestampMs });
  const end = 1 + bytes.length;
  expect(verifyBatch(surrounded, 1, end)).toMatchObject({
    timestampType: "LogAppendTime",
    maxTimestampMs,
    compression: "snappy",
  });
  const { timestampType, maxTimestampMs: before } = readBatchHeader(original, 0);
  setMaxTimestampAndCrc(surrounded, 1, { timestampType, maxTimestampMs: before });
  expect(surrounded.slice(1, end)).toEqual(original);
});

test("record batch: batches in a row are found, and a cut last one is corrupt", () => {
  const parts = ["java-none", "java-emptied", "java-control-abort"].map(
    (name) => goldenBatch(name).bytes,
  );
  const row = concatenated(...parts);
  const ranges = [...batchesIn(row)];
  expect(ranges.map(([start, end]) => end - start)).toEqual(parts.map((part) => part.length));
  expect([...batchesIn(row, ranges[0]?.[1])]).toEqual(ranges.slice(1));
  expect(codeOf(() => [...batchesIn(row.subarray(0, -1))])).toBe(ErrorCode.corruptMessage);
  expect([...batchesIn(new Uint8Array(0))]).toEqual([]);
  expect(batchEndOf(row, 0)).toBe(ranges[0]?.[1] ?? -1);
});

test("record batch: lengths that would loop or overflow are corrupt", () => {
  for (const length of [-12, -1, 0, 48, 0x7fff_ffff, -0x8000_0000]) {
    const { bytes } = goldenBatch("java-none");
    viewOf(bytes).setInt32(BATCH_LENGTH_OFFSET, length);
    expect(() => [...batchesIn(bytes)]).toThrow(KafkaError);
  }
  const header = new Uint8Array(BATCH_HEADER_BYTES - 1);
  expect(codeOf(() => readBatchHeader(header, 0))).toBe(ErrorCode.corruptMessage);
  expect(codeOf(() => readBatchHeader(goldenBatch("java-none").bytes, -1))).toBe(
    ErrorCode.corruptMessage,
  );
});
