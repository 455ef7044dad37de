/**
 * The checkpoint of the logs: what of each partition would be lost with the WAL's old files, because segments hold
 * batches only. Written aside, synced and renamed. Layout (big-endian):
 *
 *   0 magic "CHRNLOGS"   8 version u16   10 liveStart i64   18 partition count u32   22 partitions
 *   then CRC-32C u32 of all before it
 *
 * `liveStart`: batches below this WAL address are in segments, or deleted. Version 1 has none.
 *
 * A partition: topic id uuid, index i32, coveredEnd i64 (batches below this WAL address are in it), logEndOffset
 * i64, epoch count i32 and epochs (leaderEpoch i32, startOffset i64), producer count i32 and producers (producerId
 * i64, epoch i16, lastSeenMs i64, batch count i8, batches: baseSequence i32, lastSequence i32, baseOffset i64,
 * lastOffset i64).
 *
 * Each partition is taken at a moment of its own, between two turns of the event loop, and the file is written only
 * when all of it is durable in the WAL: a state that is ahead of the log would call lost batches duplicates.
 */

import { nextTurn } from "../core/clock.ts";
import { type Disk, readWholeFile, replaceFile } from "../core/disk.ts";
import { crc32c } from "../core/native.ts";
import { readUint32At } from "../protocol/big-endian.ts";
import { Reader } from "../protocol/reader.ts";
import { Writer } from "../protocol/writer.ts";
import type { Wal } from "../wal/wal.ts";
import { fileSequenceOf, type WalAddress, walAddressOf } from "../wal/wal-address.ts";
import type { EpochStart } from "./leader-epochs.ts";
import type { LogManager } from "./log-manager.ts";
import type { PartitionState } from "./partition.ts";
import type { KeptBatch, StoredProducer } from "./producer-state.ts";
import type { PartitionPlace } from "./sealed-log.ts";

const MAGIC = new TextEncoder().encode("CHRNLOGS");
const VERSION = 2;
const CRC_BYTES = 4;
const CONTENT_POSITION = 10;
const COUNT_POSITION = CONTENT_POSITION + 8;
/** Partitions that are taken in one turn. */
const PARTITIONS_PER_TURN = 64;
const PARTITION_BYTES_MIN = 16 + 4 + 8 + 8 + 4 + 4;
const EPOCH_BYTES = 12;
const PRODUCER_BYTES_MIN = 19;
const BATCH_BYTES = 24;

/** The file cannot be used; `message` says what to do. */
export class LogCheckpointError extends Error {
  override readonly name = "LogCheckpointError";
}

/** A partition of the checkpoint. */
export interface CheckpointedPartition extends PartitionPlace {
  /** Batches at lower WAL addresses are in `state`. */
  readonly coveredEnd: number;
  readonly state: PartitionState;
}

export interface LogCheckpoint {
  /** At start batches at lower WAL addresses need not be read: they are in segments, or deleted. */
  readonly liveStart: WalAddress;
  readonly partitions: readonly CheckpointedPartition[];
}

const NO_CHECKPOINT: LogCheckpoint = { liveStart: 0, partitions: [] };

/** Replaces the checkpoint at `path`. @returns the WAL address below which it covers every batch */
export async function writeLogCheckpoint(
  disk: Disk,
  path: string,
  { logs, wal }: { readonly logs: LogManager; readonly wal: Wal },
): Promise<number> {
  const coveredEnd = wal.appendedAddress;
  const writer = new Writer(64 * 1024);
  for (const byte of MAGIC) writer.writeInt8(byte);
  writer.writeInt16(VERSION);
  writer.writeInt64(walAddressOf(logs.oldestLiveSequence ?? fileSequenceOf(coveredEnd), 0));
  writer.writeInt32(0);
  let count = 0;
  for (const partition of [...logs.partitions()]) {
    if (partition.isDeleted) continue;
    const { place } = partition;
    writePartition(writer, { ...place, coveredEnd: wal.appendedAddress, state: partition.state() });
    count += 1;
    if (count % PARTITIONS_PER_TURN === 0) await nextTurn();
  }
  writer.setInt32At(COUNT_POSITION, count);
  writer.writeInt32(crc32c(writer.bytesWritten()) | 0);
  const bytes = writer.bytesWritten();
  await wal.whenDurable(wal.appendedAddress);
  await replaceFile(disk, path, bytes);
  return coveredEnd;
}

/** The checkpoint at `path`; an empty one if there is no file. @throws LogCheckpointError, DiskError */
export async function readLogCheckpoint(disk: Disk, path: string): Promise<LogCheckpoint> {
  const bytes = await readWholeFile(disk, path);
  if (bytes === undefined) return NO_CHECKPOINT;
  const end = bytes.length - CRC_BYTES;
  const isMagic = MAGIC.every((byte, index) => bytes[index] === byte);
  if (end < CONTENT_POSITION + 4 || !isMagic) refuse(path, "it is not a checkpoint");
  const reader = new Reader(bytes, MAGIC.length, end);
  const version = reader.readInt16();
  if (version > VERSION) {
    throw new LogCheckpointError(
      `${path} has format ${version}, of a newer version of this program. Use that version.`,
    );
  }
  if (readUint32At(bytes, end) !== crc32c(bytes, 0, end)) refuse(path, "its checksum is wrong");
  try {
    const liveStart = version === 1 ? 0 : reader.readInt64();
    const partitions = readMany(reader, PARTITION_BYTES_MIN, readPartition);
    if (reader.remaining === 0) return { liveStart, partitions };
  } catch (cause) {
    return refuse(path, "its content cannot be read", cause);
  }
  return refuse(path, "something lies behind its content");
}

function refuse(path: string, reason: string, cause?: unknown): never {
  const message = `${path} is damaged: ${reason}. Restore it from a backup.`;
  throw new LogCheckpointError(message, { cause });
}

function writePartition(writer: Writer, partition: CheckpointedPartition): void {
  const { logEndOffset, epochs, producers } = partition.state;
  writer.writeUuid(partition.topicId);
  writer.writeInt32(partition.partition);
  writer.writeInt64(partition.coveredEnd);
  writer.writeInt64(logEndOffset);
  writer.writeInt32(epochs.length);
  for (const { leaderEpoch, startOffset } of epochs) {
    writer.writeInt32(leaderEpoch);
    writer.writeInt64(startOffset);
  }
  writer.writeInt32(producers.length);
  for (const producer of producers) writeProducer(writer, producer);
}

function writeProducer(writer: Writer, producer: StoredProducer): void {
  const { producerId, epoch, lastSeenMs, batches } = producer;
  writer.writeInt64(producerId);
  writer.writeInt16(epoch);
  writer.writeInt64(lastSeenMs);
  writer.writeInt8(batches.length);
  for (const { baseSequence, lastSequence, baseOffset, lastOffset } of batches) {
    writer.writeInt32(baseSequence);
    writer.writeInt32(lastSequence);
    writer.writeInt64(baseOffset);
    writer.writeInt64(lastOffset);
  }
}

function readPartition(reader: Reader): CheckpointedPartition {
  const topicId = reader.readUuid();
  const partition = reader.readInt32();
  const coveredEnd = reader.readInt64();
  const logEndOffset = reader.readInt64();
  const epochs = readMany(reader, EPOCH_BYTES, readEpoch);
  const producers = readMany(reader, PRODUCER_BYTES_MIN, readProducer);
  return { topicId, partition, coveredEnd, state: { logEndOffset, epochs, producers } };
}

function readEpoch(reader: Reader): EpochStart {
  return { leaderEpoch: reader.readInt32(), startOffset: reader.readInt64() };
}

function readProducer(reader: Reader): StoredProducer {
  const producerId = reader.readInt64();
  const epoch = reader.readInt16();
  const lastSeenMs = reader.readInt64();
  const batchCount = reader.readInt8();
  const batches = readTimes(reader, { count: batchCount, bytesMin: BATCH_BYTES }, readKept);
  return { producerId, epoch, lastSeenMs, batches };
}

function readKept(reader: Reader): KeptBatch {
  return {
    baseSequence: reader.readInt32(),
    lastSequence: reader.readInt32(),
    baseOffset: reader.readInt64(),
    lastOffset: reader.readInt64(),
  };
}

function readMany<Item>(reader: Reader, bytesMin: number, read: (reader: Reader) => Item): Item[] {
  return readTimes(reader, { count: reader.readInt32(), bytesMin }, read);
}

/** @throws LogCheckpointError if so many items cannot be there */
function readTimes<Item>(
  reader: Reader,
  { count, bytesMin }: { readonly count: number; readonly bytesMin: number },
  read: (reader: Reader) => Item,
): Item[] {
  if (count < 0 || count * bytesMin > reader.remaining) {
    throw new LogCheckpointError(`${count} items are not there.`);
  }
  return Array.from({ length: count }, () => read(reader));
}
