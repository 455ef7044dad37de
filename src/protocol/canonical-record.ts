/**
 * A batch as plain values, with every field Kafka's format has: what compaction, conversion and the archive
 * work on. Served batches are the stored bytes, never these.
 *
 * Decoding and encoding is the identity: uncompressed batches come back byte for byte, CRC included; compressed
 * ones with the same fields and the same uncompressed records, and a second encoding equals the first. (Exempt are
 * varints longer than needed, which no known client writes: they come back in their shortest form.)
 */

import { assert } from "../core/assert.ts";
import { recordsOf } from "./batch-records.ts";
import { writeInt16At, writeInt32At, writeInt64At } from "./big-endian.ts";
import { compress, DECOMPRESSED_BYTES_LIMIT } from "./compression.ts";
import { COMPRESSION_TYPES, type CompressionType } from "./compression-type.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import type { RecordCursor } from "./record.ts";
import {
  ATTRIBUTES_OFFSET,
  BASE_OFFSET_OFFSET,
  BASE_SEQUENCE_OFFSET,
  BASE_TIMESTAMP_OFFSET,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OFFSET,
  BATCH_LENGTH_OVERHEAD_BYTES,
  type BatchHeader,
  CONTROL_BIT,
  CURRENT_MAGIC,
  DELETE_HORIZON_BIT,
  LAST_OFFSET_DELTA_OFFSET,
  MAGIC_OFFSET,
  MAX_TIMESTAMP_OFFSET,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
  NO_TIMESTAMP_MS,
  PARTITION_LEADER_EPOCH_OFFSET,
  PRODUCER_EPOCH_OFFSET,
  PRODUCER_ID_OFFSET,
  RECORD_COUNT_OFFSET,
  TIMESTAMP_TYPE_BIT,
  type TimestampType,
  TRANSACTIONAL_BIT,
  verifyBatch,
  writeCrc,
} from "./record-batch.ts";
import {
  type RecordFields,
  type RecordHeader,
  recordSizeBytes,
  writeRecord,
} from "./record-writer.ts";

/** One record. Null and empty are different; an empty key or value has length 0. */
export interface CanonicalRecord {
  readonly offset: number;
  /** When its producer made it. In a batch of LogAppendTime, consumers see the batch's `maxTimestampMs` instead. */
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** In order; keys may repeat. */
  readonly headers: readonly RecordHeader[];
  /** Unused bits of the format, zero so far. */
  readonly attributes: number;
}

/** One batch. Its offsets may have gaps: compaction removes records and keeps `lastOffsetDelta`. */
export interface CanonicalRecordBatch {
  readonly magic: typeof CURRENT_MAGIC;
  readonly baseOffset: number;
  readonly lastOffsetDelta: number;
  readonly partitionLeaderEpoch: number;
  readonly compression: CompressionType;
  readonly timestampType: TimestampType;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  /** Then `baseTimestampMs` is the time when the tombstones in it may go (KIP-534). */
  readonly hasDeleteHorizon: boolean;
  /** Attribute bits 7 to 15, in place: unused so far. */
  readonly unusedAttributes: number;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly records: readonly CanonicalRecord[];
}

const UNUSED_ATTRIBUTES_MASK = ~0x7f;

/**
 * The batch that fills `bytes`. Its keys and values are views: of `bytes`, or of their decompressed copy.
 * @throws KafkaError CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, or
 *   MESSAGE_TOO_LARGE if its records exceed `limitBytes` when decompressed.
 */
export function decodeBatch(
  bytes: Uint8Array,
  limitBytes = DECOMPRESSED_BYTES_LIMIT,
): CanonicalRecordBatch {
  const header = verifyBatch(bytes, 0, bytes.length);
  const cursor = recordsOf(bytes, 0, header, limitBytes);
  const records: CanonicalRecord[] = [];
  while (cursor.next()) records.push(recordAt(cursor, header));
  return {
    magic: CURRENT_MAGIC,
    baseOffset: header.baseOffset,
    lastOffsetDelta: header.lastOffsetDelta,
    partitionLeaderEpoch: header.partitionLeaderEpoch,
    compression: header.compression,
    timestampType: header.timestampType,
    isTransactional: header.isTransactional,
    isControl: header.isControl,
    hasDeleteHorizon: header.hasDeleteHorizon,
    unusedAttributes: header.attributes & UNUSED_ATTRIBUTES_MASK,
    baseTimestampMs: header.baseTimestampMs,
    maxTimestampMs: header.maxTimestampMs,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    records,
  };
}

/**
 * The bytes of `batch`, from its fields alone.
 * @throws KafkaError INVALID_TIMESTAMP if a record's timestamp is 2^52 ms or more from `baseTimestampMs`.
 */
export function encodeBatch(batch: CanonicalRecordBatch): Uint8Array {
  const fields = batch.records.map((record) => fieldsOf(record, batch));
  const recordsBytes = fields.reduce((sum, record) => sum + recordSizeBytes(record), 0);
  if (batch.compression === "none") {
    const bytes = new Uint8Array(BATCH_HEADER_BYTES + recordsBytes);
    writeRecords(bytes, BATCH_HEADER_BYTES, fields);
    return withHeader(bytes, batch);
  }
  const section = new Uint8Array(recordsBytes);
  writeRecords(section, 0, fields);
  const compressed = compress(batch.compression, section);
  const bytes = new Uint8Array(BATCH_HEADER_BYTES + compressed.length);
  bytes.set(compressed, BATCH_HEADER_BYTES);
  return withHeader(bytes, batch);
}

/** What may be left out when a batch is made from records. */
export type BatchFields = Partial<Omit<CanonicalRecordBatch, "records" | "magic">>;

/**
 * A batch of `records`, whose offsets ascend. Fields not given follow from the records, or say "none": no
 * producer, no compression, leader epoch 0.
 */
export function batchOf(
  records: readonly CanonicalRecord[],
  fields: BatchFields = {},
): CanonicalRecordBatch {
  const baseOffset = fields.baseOffset ?? records[0]?.offset ?? 0;
  return {
    magic: CURRENT_MAGIC,
    baseOffset,
    lastOffsetDelta: (records.at(-1)?.offset ?? baseOffset) - baseOffset,
    partitionLeaderEpoch: 0,
    compression: "none",
    timestampType: "CreateTime",
    isTransactional: false,
    isControl: false,
    hasDeleteHorizon: false,
    unusedAttributes: 0,
    baseTimestampMs: records[0]?.timestampMs ?? NO_TIMESTAMP_MS,
    maxTimestampMs: records.reduce(
      (maxMs, record) => Math.max(maxMs, record.timestampMs),
      NO_TIMESTAMP_MS,
    ),
    producerId: NO_PRODUCER_ID,
    producerEpoch: NO_PRODUCER_EPOCH,
    baseSequence: NO_SEQUENCE,
    ...fields,
    records,
  };
}

function recordAt(cursor: RecordCursor, header: BatchHeader): CanonicalRecord {
  const headers: RecordHeader[] = [];
  while (cursor.nextHeader()) {
    headers.push({ key: cursor.headerKey(), value: cursor.headerValue() });
  }
  const timestampMs = header.baseTimestampMs + cursor.timestampDelta;
  if (!Number.isSafeInteger(timestampMs)) {
    throw new KafkaError(ErrorCode.invalidTimestamp, "A timestamp is beyond 2^53.");
  }
  return {
    offset: header.baseOffset + cursor.offsetDelta,
    timestampMs,
    key: cursor.key(),
    value: cursor.value(),
    headers,
    attributes: cursor.attributes,
  };
}

function fieldsOf(record: CanonicalRecord, batch: CanonicalRecordBatch): RecordFields {
  const offsetDelta = record.offset - batch.baseOffset;
  assert(offsetDelta === (offsetDelta | 0), `offset ${record.offset} is outside its batch`);
  return {
    attributes: record.attributes,
    timestampDelta: record.timestampMs - batch.baseTimestampMs,
    offsetDelta,
    key: record.key,
    value: record.value,
    headers: record.headers,
  };
}

function writeRecords(
  target: Uint8Array,
  position: number,
  records: readonly RecordFields[],
): void {
  let end = position;
  for (const record of records) end = writeRecord(target, end, record);
  assert(end === target.length, "the records do not fill what was measured");
}

/** Fills in the header of `bytes`, whose records are in place, and the CRC last. */
function withHeader(bytes: Uint8Array, batch: CanonicalRecordBatch): Uint8Array {
  writeInt64At(bytes, BASE_OFFSET_OFFSET, batch.baseOffset);
  writeInt32At(bytes, BATCH_LENGTH_OFFSET, bytes.length - BATCH_LENGTH_OVERHEAD_BYTES);
  writeInt32At(bytes, PARTITION_LEADER_EPOCH_OFFSET, batch.partitionLeaderEpoch);
  bytes[MAGIC_OFFSET] = batch.magic;
  writeInt16At(bytes, ATTRIBUTES_OFFSET, attributesOf(batch));
  writeInt32At(bytes, LAST_OFFSET_DELTA_OFFSET, batch.lastOffsetDelta);
  writeInt64At(bytes, BASE_TIMESTAMP_OFFSET, batch.baseTimestampMs);
  writeInt64At(bytes, MAX_TIMESTAMP_OFFSET, batch.maxTimestampMs);
  writeInt64At(bytes, PRODUCER_ID_OFFSET, batch.producerId);
  writeInt16At(bytes, PRODUCER_EPOCH_OFFSET, batch.producerEpoch);
  writeInt32At(bytes, BASE_SEQUENCE_OFFSET, batch.baseSequence);
  writeInt32At(bytes, RECORD_COUNT_OFFSET, batch.records.length);
  writeCrc(bytes, 0, bytes.length);
  return bytes;
}

function attributesOf(batch: CanonicalRecordBatch): number {
  return (
    COMPRESSION_TYPES.indexOf(batch.compression) |
    (batch.timestampType === "LogAppendTime" ? TIMESTAMP_TYPE_BIT : 0) |
    (batch.isTransactional ? TRANSACTIONAL_BIT : 0) |
    (batch.isControl ? CONTROL_BIT : 0) |
    (batch.hasDeleteHorizon ? DELETE_HORIZON_BIT : 0) |
    batch.unusedAttributes
  );
}
