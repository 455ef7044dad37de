/**
 * What is known of a segment without opening it: where it lies, and which records of which partitions it holds.
 * Two binary forms, big-endian; "varlong" is Kafka's zigzag form, "uuid" the 16 bytes of Kafka's text form.
 *
 * Facts, base64 in the metadata entry that registers a segment:
 *    0 magic "CHSF"   4 version u8   5 segment id uuid   21 level u16   23 createdMs i64   31 lengthBytes i64
 *   39 startAddress i64   47 endAddress i64   55 document count i64 (-1: no search index)   63 its bytes i64
 *   71 whether the times of its records are known u8   72 least time i64   80 largest time i64
 *   88 ranges   then CRC-32C u32 of all before it
 * Version 1 lacks the times: its ranges begin at 71.
 *
 * Ranges, `ranges.bin` of an archive:
 *    0 magic "CHSR"   4 version u8   5 ranges   then CRC-32C u32 of all before it
 *
 * In both, ranges are a topic count u32 and, for each topic: uuid, partition count u32, and for each partition:
 *   partition i32, startOffset i64, minTimestampMs i64, maxTimestampMs i64, and varlongs: endOffset - startOffset,
 *   bytes between the previous range's end and position, sizeBytes, batchCount, recordCount, rows between the
 *   previous range's last and rowStart, rowCount
 */

import { assert } from "../core/assert.ts";
import { crc32c } from "../core/native.ts";
import { readUint32At } from "../protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { Reader } from "../protocol/reader.ts";
import { UUID_BYTES } from "../protocol/uuid.ts";
import { Writer } from "../protocol/writer.ts";

/** The batches of one partition in one segment: a stretch of `batches.log`, and of `offsets.bin`. */
export interface PartitionRange {
  readonly topicId: string;
  readonly partition: number;
  /** Base offset of the first batch. */
  readonly startOffset: number;
  /** Exclusive. Offsets between may be missing, where compaction took them. */
  readonly endOffset: number;
  /** In `batches.log`, in bytes. */
  readonly position: number;
  readonly sizeBytes: number;
  /** -1 where records have no time. */
  readonly minTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly batchCount: number;
  readonly recordCount: number;
  /** The first of its rows in `offsets.bin`. */
  readonly rowStart: number;
  readonly rowCount: number;
}

/** Times of records, both ends included. */
export interface TimeRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The search index of a segment. */
export interface SearchIndexFacts {
  readonly documentCount: number;
  readonly sizeBytes: number;
  /**
   * Of every record in it, as it is indexed; a partition's range, which is made of batches' headers, is no such
   * bound. Null if there is no record, or it is not known.
   */
  readonly times: TimeRange | null;
}

/** One object of the store. */
export interface SegmentFacts {
  /** Kafka's text form of a UUID; of chance, never used twice. */
  readonly segmentId: string;
  /** 0 as sealed; a merged one is one above the highest of those merged. */
  readonly level: number;
  readonly createdMs: number;
  /** Of the object; what lies behind it is not part of it. */
  readonly lengthBytes: number;
  /** The range of the WAL that it was sealed from; of a merged one the hull of the ranges. */
  readonly startAddress: number;
  readonly endAddress: number;
  /** Null until the index has been appended to the object. */
  readonly searchIndex: SearchIndexFacts | null;
  /** Ascending by `compareRanges`; at most one per partition; in this order in `batches.log`. */
  readonly ranges: readonly PartitionRange[];
}

const FACTS_MAGIC = 0x43485346;
const RANGES_MAGIC = 0x43485352;
/** Of facts, wherever they are written. */
export const FACTS_VERSION = 2;
/** The oldest that is read. */
export const FACTS_VERSION_MIN = 1;
const FACTS_VERSION_WITH_TIMES = 2;
const RANGES_VERSION = 1;
const CRC_BYTES = 4;
const LEVEL_MAX = 0xffff;
const TOPIC_BYTES_MIN = UUID_BYTES + 4;
/** Four fixed fields and seven varlongs of at least a byte. */
const RANGE_BYTES_MIN = 28 + 7;

/** The order of ranges: by topic id as text, then by partition. */
export function compareRanges(one: PartitionRange, other: PartitionRange): number {
  if (one.topicId !== other.topicId) return one.topicId < other.topicId ? -1 : 1;
  return one.partition - other.partition;
}

export function encodeSegmentFacts(facts: SegmentFacts): Uint8Array {
  const writer = new Writer(128 + 64 * facts.ranges.length);
  writer.writeInt32(FACTS_MAGIC);
  writer.writeInt8(FACTS_VERSION);
  writeSegmentFacts(writer, facts);
  return closed(writer);
}

/** @throws KafkaError KAFKA_STORAGE_ERROR if `bytes` are damaged or of a later version. */
export function decodeSegmentFacts(bytes: Uint8Array): SegmentFacts {
  const form = { magic: FACTS_MAGIC, versionMax: FACTS_VERSION, name: "The facts of a segment" };
  return opened(bytes, form, readSegmentFacts);
}

/** Writes what lies between the version and the CRC. */
export function writeSegmentFacts(writer: Writer, facts: SegmentFacts): void {
  const fault = faultOfFacts(facts);
  assert(fault === undefined, `segment ${facts.segmentId}: ${fault}`);
  writer.writeUuid(facts.segmentId);
  writer.writeUint16(facts.level);
  writer.writeInt64(facts.createdMs);
  writer.writeInt64(facts.lengthBytes);
  writer.writeInt64(facts.startAddress);
  writer.writeInt64(facts.endAddress);
  writer.writeInt64(facts.searchIndex?.documentCount ?? -1);
  writer.writeInt64(facts.searchIndex?.sizeBytes ?? 0);
  const times = facts.searchIndex?.times ?? null;
  writer.writeInt8(times === null ? 0 : 1);
  writer.writeInt64(times?.minMs ?? 0);
  writer.writeInt64(times?.maxMs ?? 0);
  writeRanges(writer, facts.ranges);
}

/** Reads what `writeSegmentFacts` of that version wrote. @throws KafkaError if it cannot be that. */
export function readSegmentFacts(reader: Reader, version: number): SegmentFacts {
  const segmentId = reader.readUuid();
  const level = reader.readUint16();
  const createdMs = reader.readInt64();
  const lengthBytes = reader.readInt64();
  const startAddress = reader.readInt64();
  const endAddress = reader.readInt64();
  const documentCount = reader.readInt64();
  const sizeBytes = reader.readInt64();
  const times = version < FACTS_VERSION_WITH_TIMES ? null : readTimes(reader);
  const searchIndex = documentCount === -1 ? null : { documentCount, sizeBytes, times };
  const ranges = readRanges(reader);
  const place = { lengthBytes, startAddress, endAddress };
  const facts = { segmentId, level, createdMs, ...place, searchIndex, ranges };
  const fault = faultOfFacts(facts);
  if (fault !== undefined) refuse(`Segment ${segmentId} cannot be: ${fault}.`);
  return facts;
}

function readTimes(reader: Reader): TimeRange | null {
  const isKnown = reader.readInt8() !== 0;
  const times = { minMs: reader.readInt64(), maxMs: reader.readInt64() };
  return isKnown ? times : null;
}

export function encodeRanges(ranges: readonly PartitionRange[]): Uint8Array {
  const fault = faultOfRanges(ranges);
  assert(fault === undefined, `ranges: ${fault}`);
  const writer = new Writer(64 + 64 * ranges.length);
  writer.writeInt32(RANGES_MAGIC);
  writer.writeInt8(RANGES_VERSION);
  writeRanges(writer, ranges);
  return closed(writer);
}

/** @throws KafkaError KAFKA_STORAGE_ERROR if `bytes` are damaged or of a later version. */
export function decodeRanges(bytes: Uint8Array): readonly PartitionRange[] {
  const form = { magic: RANGES_MAGIC, versionMax: RANGES_VERSION, name: "The table of ranges" };
  return opened(bytes, form, (reader) => {
    const ranges = readRanges(reader);
    const fault = faultOfRanges(ranges);
    if (fault !== undefined) refuse(`The table of ranges cannot be: ${fault}.`);
    return ranges;
  });
}

/** What of the facts cannot be; undefined if they can. */
export function faultOfFacts(facts: SegmentFacts): string | undefined {
  const { level, createdMs, lengthBytes, startAddress, endAddress, searchIndex } = facts;
  if (!isCount(level) || level > LEVEL_MAX) return `level ${level} is none`;
  if (!isCount(createdMs)) return `createdMs ${createdMs} is no time`;
  if (!isCount(lengthBytes)) return `lengthBytes ${lengthBytes} is no length`;
  if (!isCount(startAddress) || !isCount(endAddress) || startAddress > endAddress) {
    return `${startAddress} to ${endAddress} is no range of the log`;
  }
  if (searchIndex && !(isCount(searchIndex.documentCount) && isCount(searchIndex.sizeBytes))) {
    return "the search index has a size that is none";
  }
  if (searchIndex?.times && !isTimeRange(searchIndex.times)) {
    const { minMs, maxMs } = searchIndex.times;
    return `the search index has no times from ${minMs} to ${maxMs}`;
  }
  return faultOfRanges(facts.ranges);
}

function faultOfRanges(ranges: readonly PartitionRange[]): string | undefined {
  let last: PartitionRange | undefined;
  for (const range of ranges) {
    const fault = faultOfRange(range) ?? (last && faultOfOrder(last, range));
    if (fault !== undefined) return `${range.topicId}-${range.partition}: ${fault}`;
    last = range;
  }
  return undefined;
}

function faultOfRange(range: PartitionRange): string | undefined {
  const { startOffset, endOffset, minTimestampMs, maxTimestampMs } = range;
  if (!isCount(range.partition)) return "the partition is none";
  if (!isCount(startOffset) || !Number.isSafeInteger(endOffset) || startOffset >= endOffset) {
    return `${startOffset} to ${endOffset} is no range of offsets`;
  }
  if (!isCount(range.position) || !isCount(range.sizeBytes) || range.sizeBytes === 0) {
    return `${range.sizeBytes} bytes at ${range.position} are no place`;
  }
  if (!isTimeRange({ minMs: minTimestampMs, maxMs: maxTimestampMs })) {
    return `${minTimestampMs} to ${maxTimestampMs} is no range of times`;
  }
  if (!isUint32(range.batchCount) || range.batchCount === 0) return "it has no batches";
  if (!isCount(range.recordCount)) return `recordCount ${range.recordCount} is no count`;
  if (!isUint32(range.rowStart) || !isUint32(range.rowCount)) return "its rows are none";
  return undefined;
}

function faultOfOrder(last: PartitionRange, range: PartitionRange): string | undefined {
  if (compareRanges(last, range) >= 0) return "it does not follow the range before it";
  if (range.position < last.position + last.sizeBytes) return "its bytes are another's too";
  if (range.rowStart < last.rowStart + last.rowCount) return "its rows are another's too";
  return undefined;
}

function isTimeRange({ minMs, maxMs }: TimeRange): boolean {
  return Number.isSafeInteger(minMs) && Number.isSafeInteger(maxMs) && minMs <= maxMs;
}

function isUint32(value: number): boolean {
  return value >>> 0 === value;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function writeRanges(writer: Writer, ranges: readonly PartitionRange[]): void {
  const topicCountPosition = writer.position;
  let topicCount = 0;
  let topicPosition = 0;
  let partitionCount = 0;
  let last: PartitionRange | undefined;
  writer.writeInt32(0);
  for (const range of ranges) {
    if (range.topicId !== last?.topicId) {
      if (last !== undefined) writer.setInt32At(topicPosition, partitionCount);
      topicCount += 1;
      partitionCount = 0;
      writer.writeUuid(range.topicId);
      topicPosition = writer.position;
      writer.writeInt32(0);
    }
    partitionCount += 1;
    writeRange(writer, range, last);
    last = range;
  }
  if (last !== undefined) writer.setInt32At(topicPosition, partitionCount);
  writer.setInt32At(topicCountPosition, topicCount);
}

function writeRange(writer: Writer, range: PartitionRange, last: PartitionRange | undefined): void {
  writer.writeInt32(range.partition);
  writer.writeInt64(range.startOffset);
  writer.writeInt64(range.minTimestampMs);
  writer.writeInt64(range.maxTimestampMs);
  writer.writeVarlong(range.endOffset - range.startOffset);
  writer.writeVarlong(range.position - (last ? last.position + last.sizeBytes : 0));
  writer.writeVarlong(range.sizeBytes);
  writer.writeVarlong(range.batchCount);
  writer.writeVarlong(range.recordCount);
  writer.writeVarlong(range.rowStart - (last ? last.rowStart + last.rowCount : 0));
  writer.writeVarlong(range.rowCount);
}

function readRanges(reader: Reader): PartitionRange[] {
  const ranges: PartitionRange[] = [];
  let last: PartitionRange | undefined;
  for (let topics = readCount(reader, TOPIC_BYTES_MIN); topics > 0; topics -= 1) {
    const topicId = reader.readUuid();
    for (let count = readCount(reader, RANGE_BYTES_MIN); count > 0; count -= 1) {
      last = readRange(reader, topicId, last);
      ranges.push(last);
    }
  }
  return ranges;
}

function readRange(
  reader: Reader,
  topicId: string,
  last: PartitionRange | undefined,
): PartitionRange {
  const partition = reader.readInt32();
  const startOffset = reader.readInt64();
  const minTimestampMs = reader.readInt64();
  const maxTimestampMs = reader.readInt64();
  return {
    topicId,
    partition,
    startOffset,
    endOffset: startOffset + reader.readVarlong(),
    position: (last ? last.position + last.sizeBytes : 0) + reader.readVarlong(),
    sizeBytes: reader.readVarlong(),
    minTimestampMs,
    maxTimestampMs,
    batchCount: reader.readVarlong(),
    recordCount: reader.readVarlong(),
    rowStart: (last ? last.rowStart + last.rowCount : 0) + reader.readVarlong(),
    rowCount: reader.readVarlong(),
  };
}

/** How many elements follow, each of at least `bytesMin`: no more than the bytes at hand can hold. */
function readCount(reader: Reader, bytesMin: number): number {
  const count = reader.readInt32();
  if (count >= 0 && count * bytesMin <= reader.remaining) return count;
  throw new KafkaError(ErrorCode.kafkaStorageError, `${count} elements are not there.`);
}

/** What was written, with its checksum behind it. */
function closed(writer: Writer): Uint8Array {
  writer.writeInt32(crc32c(writer.bytesWritten()) | 0);
  return writer.bytesWritten().slice();
}

/** Checks what surrounds a form, and reads what is in it. */
function opened<Value>(
  bytes: Uint8Array,
  {
    magic,
    versionMax,
    name,
  }: { readonly magic: number; readonly versionMax: number; readonly name: string },
  read: (reader: Reader, version: number) => Value,
): Value {
  const end = bytes.length - CRC_BYTES;
  if (end < CRC_BYTES + 1 || readUint32At(bytes, 0) !== magic) refuse(`${name} is no such thing.`);
  if (readUint32At(bytes, end) !== crc32c(bytes, 0, end)) refuse(`${name} is damaged.`);
  const reader = new Reader(bytes, CRC_BYTES, end);
  const version = reader.readInt8();
  if (version < 1 || version > versionMax) {
    refuse(`${name} has format ${version}, of a newer version of this program. Use that version.`);
  }
  let value: Value;
  try {
    value = read(reader, version);
  } catch (cause) {
    refuse(`${name} has a valid checksum, but cannot be read: ${String(cause)}`, cause);
  }
  if (reader.remaining > 0) refuse(`${name} has something behind it.`);
  return value;
}

function refuse(message: string, cause?: unknown): never {
  throw new KafkaError(ErrorCode.kafkaStorageError, message, { cause });
}
