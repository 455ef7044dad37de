/**
 * Reads and checks a RecordBatch of magic 2 in place. Layout (big-endian; Kafka protocol guide, "Record Batch"):
 *
 *    0 baseOffset      i64    8 batchLength   i32   12 partitionLeaderEpoch i32   16 magic      i8
 *   17 crc             u32   21 attributes    i16   23 lastOffsetDelta      i32   27 baseTimestampMs i64
 *   35 maxTimestampMs  i64   43 producerId    i64   51 producerEpoch        i16   53 baseSequence    i32
 *   57 recordCount     i32   61 records, compressed as a whole
 *
 * `batchLength` counts from byte 12. The CRC-32C covers byte 21 to the end, so that base offset and
 * leader epoch can be assigned without touching it. Attributes: bits 0–2 codec, 3 timestamp type,
 * 4 transactional, 5 control, 6 base timestamp is the delete horizon (KIP-534).
 */

import { crc32c } from "../core/native.ts";
import {
  readInt16At,
  readInt32At,
  readInt64At,
  readUint32At,
  writeInt16At,
  writeInt32At,
  writeInt64At,
} from "./big-endian.ts";
import { type CompressionType, compressionTypeOf } from "./compression-type.ts";
import { ErrorCode, KafkaError } from "./errors.ts";

export const BASE_OFFSET_OFFSET = 0;
export const BATCH_LENGTH_OFFSET = 8;
export const PARTITION_LEADER_EPOCH_OFFSET = 12;
export const MAGIC_OFFSET = 16;
export const CRC_OFFSET = 17;
export const ATTRIBUTES_OFFSET = 21;
export const LAST_OFFSET_DELTA_OFFSET = 23;
export const BASE_TIMESTAMP_OFFSET = 27;
export const MAX_TIMESTAMP_OFFSET = 35;
export const PRODUCER_ID_OFFSET = 43;
export const PRODUCER_EPOCH_OFFSET = 51;
export const BASE_SEQUENCE_OFFSET = 53;
export const RECORD_COUNT_OFFSET = 57;
export const BATCH_HEADER_BYTES = 61;

/** `baseOffset` and `batchLength`, which `batchLength` does not count. */
export const BATCH_LENGTH_OVERHEAD_BYTES = 12;
export const CURRENT_MAGIC = 2;

export const TIMESTAMP_TYPE_BIT = 0x08;
export const TRANSACTIONAL_BIT = 0x10;
export const CONTROL_BIT = 0x20;
export const DELETE_HORIZON_BIT = 0x40;

export const NO_TIMESTAMP_MS = -1;
export const NO_PRODUCER_ID = -1;
export const NO_PRODUCER_EPOCH = -1;
export const NO_SEQUENCE = -1;

/** A batch of the oldest format counts at least this many bytes. */
const BATCH_LENGTH_MIN = 14;

export type TimestampType = "CreateTime" | "LogAppendTime";

/** The fields of a batch's header, and what its attributes say. Every int64 is a safe integer. */
export interface BatchHeader {
  readonly baseOffset: number;
  readonly batchLength: number;
  readonly partitionLeaderEpoch: number;
  readonly magic: number;
  readonly crc: number;
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  /** What record timestamps are relative to; the delete horizon if `hasDeleteHorizon`. */
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  /** Of the whole batch, header included. */
  readonly sizeBytes: number;
  readonly compression: CompressionType;
  readonly timestampType: TimestampType;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly hasDeleteHorizon: boolean;
}

/**
 * The header of the batch at `position`. Trusts the bytes: neither CRC nor counts are compared.
 * @throws KafkaError CORRUPT_MESSAGE if it is cut short or not of magic 2; for numbers beyond 2^53 also
 *   INVALID_RECORD or INVALID_TIMESTAMP; UNSUPPORTED_COMPRESSION_TYPE.
 */
export function readBatchHeader(bytes: Uint8Array, position: number): BatchHeader {
  if (position < 0 || position + BATCH_HEADER_BYTES > bytes.length) {
    throw corrupt("A record batch's header is cut short.");
  }
  const magic = bytes[position + MAGIC_OFFSET] ?? 0;
  if (magic !== CURRENT_MAGIC) throw corrupt(`A record batch has magic ${magic}.`);
  const batchLength = readInt32At(bytes, position + BATCH_LENGTH_OFFSET);
  const attributes = readInt16At(bytes, position + ATTRIBUTES_OFFSET);
  const baseOffset = readInt64At(bytes, position + BASE_OFFSET_OFFSET);
  const producerId = readInt64At(bytes, position + PRODUCER_ID_OFFSET);
  if (!isSafe(baseOffset)) throw corrupt("A base offset is beyond 2^53.");
  if (!isSafe(producerId)) throw invalid("A producer id is beyond 2^53: no broker gives such.");
  const baseTimestampMs = readInt64At(bytes, position + BASE_TIMESTAMP_OFFSET);
  const maxTimestampMs = readInt64At(bytes, position + MAX_TIMESTAMP_OFFSET);
  if (!isSafe(baseTimestampMs) || !isSafe(maxTimestampMs)) {
    throw new KafkaError(ErrorCode.invalidTimestamp, "A timestamp is beyond 2^53.");
  }
  return {
    baseOffset,
    batchLength,
    partitionLeaderEpoch: readInt32At(bytes, position + PARTITION_LEADER_EPOCH_OFFSET),
    magic,
    crc: readUint32At(bytes, position + CRC_OFFSET),
    attributes,
    lastOffsetDelta: readInt32At(bytes, position + LAST_OFFSET_DELTA_OFFSET),
    baseTimestampMs,
    maxTimestampMs,
    producerId,
    producerEpoch: readInt16At(bytes, position + PRODUCER_EPOCH_OFFSET),
    baseSequence: readInt32At(bytes, position + BASE_SEQUENCE_OFFSET),
    recordCount: readInt32At(bytes, position + RECORD_COUNT_OFFSET),
    sizeBytes: batchLength + BATCH_LENGTH_OVERHEAD_BYTES,
    compression: compressionTypeOf(attributes),
    timestampType: (attributes & TIMESTAMP_TYPE_BIT) === 0 ? "CreateTime" : "LogAppendTime",
    isTransactional: (attributes & TRANSACTIONAL_BIT) !== 0,
    isControl: (attributes & CONTROL_BIT) !== 0,
    hasDeleteHorizon: (attributes & DELETE_HORIZON_BIT) !== 0,
  };
}

/**
 * Where the batch at `position` ends (exclusive).
 * @throws KafkaError CORRUPT_MESSAGE if that is not before or at `end`.
 */
export function batchEndOf(bytes: Uint8Array, position: number, end = bytes.length): number {
  if (position + BATCH_HEADER_BYTES > end) throw corrupt("A record batch's header is cut short.");
  const batchLength = readInt32At(bytes, position + BATCH_LENGTH_OFFSET);
  if (batchLength < BATCH_HEADER_BYTES - BATCH_LENGTH_OVERHEAD_BYTES) {
    throw corrupt("A record batch is shorter than its header.");
  }
  const batchEnd = position + BATCH_LENGTH_OVERHEAD_BYTES + batchLength;
  if (batchEnd > end) throw corrupt("A record batch is cut short.");
  return batchEnd;
}

/**
 * The [start, end) of every batch from `start` to `end`.
 * @throws KafkaError CORRUPT_MESSAGE where the bytes are not whole batches.
 */
export function* batchesIn(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): Generator<readonly [start: number, end: number], void, void> {
  let position = start;
  while (position < end) {
    const batchEnd = batchEndOf(bytes, position, end);
    yield [position, batchEnd];
    position = batchEnd;
  }
}

/**
 * Checks a batch that was stored: exact length, magic, CRC. What clients may not write (control batches,
 * append time, any base offset) is allowed here.
 * @throws KafkaError CORRUPT_MESSAGE and what `readBatchHeader` throws.
 */
export function verifyBatch(bytes: Uint8Array, start: number, end: number): BatchHeader {
  if (batchEndOf(bytes, start, end) !== end) throw corrupt("Bytes follow a record batch.");
  checkCrc(bytes, start, end);
  return readBatchHeader(bytes, start);
}

/**
 * Checks what a client wants to append: exactly one batch of magic 2 from `start` to `end`. Follows
 * Apache Kafka's checks, their order and codes, and leaves the records to `validateRecords`.
 *
 * Deviations: bytes after the batch that are no whole batch are refused, where Kafka drops them; unknown
 * codecs are UNSUPPORTED_COMPRESSION_TYPE instead of UNKNOWN_SERVER_ERROR; a delete horizon, a transactional
 * batch without a producer, and append time even where the records would pass are refused.
 *
 * @throws KafkaError INVALID_RECORD, CORRUPT_MESSAGE, INVALID_TIMESTAMP, INVALID_PRODUCER_EPOCH,
 *   UNSUPPORTED_COMPRESSION_TYPE.
 */
export function validateBatch(bytes: Uint8Array, start: number, end: number): BatchHeader {
  checkSoleBatch(bytes, start, end);
  if (readInt32At(bytes, start) !== 0 || readInt32At(bytes, start + 4) !== 0) {
    throw invalid("The base offset of a produced batch must be 0.");
  }
  if (end - start < BATCH_HEADER_BYTES) throw corrupt("A record batch is shorter than its header.");
  checkCrc(bytes, start, end);
  const header = readBatchHeader(bytes, start);
  if (header.lastOffsetDelta < 0) throw invalid("The last offset delta is negative.");
  if (header.recordCount <= 0) throw invalid("A record batch must hold a record.");
  if (header.lastOffsetDelta + 1 !== header.recordCount) {
    throw invalid("The last offset delta does not fit the record count.");
  }
  if (header.isControl) throw invalid("Clients may not write control records.");
  if (header.hasDeleteHorizon) throw invalid("Clients may not set a delete horizon.");
  if (header.producerId > NO_PRODUCER_ID && header.baseSequence < 0) {
    throw invalid("A record batch with a producer id needs a sequence number.");
  }
  if (header.producerId > NO_PRODUCER_ID && header.producerEpoch < 0) {
    throw new KafkaError(ErrorCode.invalidProducerEpoch, "A producer's epoch is negative.");
  }
  if (header.isTransactional && header.producerId <= NO_PRODUCER_ID) {
    throw invalid("A transactional record batch needs a producer id.");
  }
  if (header.timestampType === "LogAppendTime") {
    throw new KafkaError(ErrorCode.invalidTimestamp, "Producers may not set log append time.");
  }
  return header;
}

/** Assigns the offset of the first record. The CRC does not cover it. */
export function setBaseOffset(bytes: Uint8Array, position: number, baseOffset: number): void {
  writeInt64At(bytes, position + BASE_OFFSET_OFFSET, baseOffset);
}

/** Assigns the leader epoch. The CRC does not cover it. */
export function setPartitionLeaderEpoch(bytes: Uint8Array, position: number, epoch: number): void {
  writeInt32At(bytes, position + PARTITION_LEADER_EPOCH_OFFSET, epoch);
}

/** A timestamp type with the maximum that goes with it: the append time, or the records' own. */
export interface MaxTimestamp {
  readonly timestampType: TimestampType;
  readonly maxTimestampMs: number;
}

/** Sets timestamp type and maximum timestamp of the whole batch at `position`, and the CRC over them. */
export function setMaxTimestampAndCrc(
  bytes: Uint8Array,
  position: number,
  { timestampType, maxTimestampMs }: MaxTimestamp,
): void {
  const cleared = readInt16At(bytes, position + ATTRIBUTES_OFFSET) & ~TIMESTAMP_TYPE_BIT;
  const attributes = timestampType === "LogAppendTime" ? cleared | TIMESTAMP_TYPE_BIT : cleared;
  writeInt16At(bytes, position + ATTRIBUTES_OFFSET, attributes);
  writeInt64At(bytes, position + MAX_TIMESTAMP_OFFSET, maxTimestampMs);
  writeCrc(bytes, position, batchEndOf(bytes, position));
}

/** Sets the CRC of the batch from `start` to `end`. */
export function writeCrc(bytes: Uint8Array, start: number, end: number): void {
  writeInt32At(bytes, start + CRC_OFFSET, crc32c(bytes, start + ATTRIBUTES_OFFSET, end));
}

/** Kafka's checks before any batch is read: what a Produce request's records may be from version 3 on. */
function checkSoleBatch(bytes: Uint8Array, start: number, end: number): void {
  const lengthBytes = end - start;
  if (lengthBytes < BATCH_LENGTH_OVERHEAD_BYTES) {
    throw invalid("There must be exactly one record batch.");
  }
  const batchLength = readInt32At(bytes, start + BATCH_LENGTH_OFFSET);
  if (batchLength < BATCH_LENGTH_MIN) throw corrupt(`A record batch has length ${batchLength}.`);
  const sizeBytes = batchLength + BATCH_LENGTH_OVERHEAD_BYTES;
  if (lengthBytes <= MAGIC_OFFSET) throw invalid("A record batch is cut short.");
  const magic = bytes[start + MAGIC_OFFSET] ?? 0;
  if (magic > CURRENT_MAGIC) throw corrupt(`A record batch has magic ${magic}.`);
  if (sizeBytes > lengthBytes) throw invalid("A record batch is cut short.");
  if (magic < CURRENT_MAGIC) throw invalid(`A record batch has magic ${magic}, not 2.`);
  if (sizeBytes < lengthBytes) throw invalid("There must be exactly one record batch.");
}

function checkCrc(bytes: Uint8Array, start: number, end: number): void {
  const stored = readUint32At(bytes, start + CRC_OFFSET);
  const computed = crc32c(bytes, start + ATTRIBUTES_OFFSET, end);
  if (stored !== computed) {
    throw corrupt(`A record batch has the CRC ${stored}, but its bytes give ${computed}.`);
  }
}

function isSafe(value: number): boolean {
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER;
}

function corrupt(sentence: string): KafkaError {
  return new KafkaError(ErrorCode.corruptMessage, sentence);
}

function invalid(sentence: string): KafkaError {
  return new KafkaError(ErrorCode.invalidRecord, sentence);
}
