/**
 * The bytes of a WAL file. All integers are big-endian; every CRC is CRC-32C over what follows it.
 *
 * File header, the first 4 KiB block:
 *    0 crc u32 (4..64)   4 magic "CHRW"   8 version u16   12 fileBytes u32   16 sequence i64
 *   24 salt 8 bytes of chance   32 createdMs i64   then zeros
 *
 * Group: what one write put there. It starts at a multiple of 4 KiB and shares no block with another:
 *    0 crc u32 (4..64)   4 magic "CHRG"   8 version u8   9 flags u8   12 entryCount u32   16 sequence i64
 *   24 position u32   28 lengthBytes u32 (header to last entry)   32 nextPosition u32 (of the next group; the
 *      file's size if that is in the next file)   36 previousCrc u32 (of the group before)
 *   40 durableAddress i64 (everything before it was on disk when the group was written)   48 runNumber u32
 *   52 entriesCrc u32 (over the CRCs of the entries)   56 zeros   64 entries, then zeros up to the next block
 *
 * Entry:
 *    0 crc u32   4 magic u16   6 version u8   7 kind u8   8 payloadBytes u32   12 topic id 16 bytes
 *   28 partition i32   32 baseOffset i64   40 leaderEpoch i32   44 payload
 *
 * The CRC of a group or entry starts from the file's seed (the CRC of its sequence and salt) XOR the
 * position: bytes of a recycled file's earlier life, or at another place, never pass. The CRC of a version 2
 * batch entry ends with the batch's header, in which the batch's own CRC binds the rest; so each
 * byte is hashed once. Any other entry's CRC covers the whole payload.
 *
 * `previousCrc` chains the groups of one history: a group that a crash left behind the cut
 * tail does not follow the groups that later took the tail's place. `entriesCrc` binds the entries to their
 * group: a torn group may have the sectors of one that a crash left at the same place before.
 */

import { crc32c } from "../core/native.ts";
import {
  readInt32At,
  readInt64At,
  readUint32At,
  writeInt32At,
  writeInt64At,
} from "../protocol/big-endian.ts";
import {
  ATTRIBUTES_OFFSET,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OFFSET,
  BATCH_LENGTH_OVERHEAD_BYTES,
  CRC_OFFSET,
} from "../protocol/record-batch.ts";
import { UUID_BYTES } from "../protocol/uuid.ts";
import { WalCorruptionError, WalVersionError } from "./wal-errors.ts";

export const BLOCK_BYTES = 4096;
export const FILE_HEADER_BYTES = BLOCK_BYTES;
export const GROUP_HEADER_BYTES = 64;
export const ENTRY_HEADER_BYTES = 44;

const FILE_VERSION = 1;
const GROUP_VERSION = 1;
/** One legacy record per entry: see `legacy-entry.ts`. Read, never written. */
export const ENTRY_VERSION_LEGACY = 1;
export const ENTRY_VERSION = 2;

export const EntryKind = { batch: 1, metadata: 2 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** Bits of a group's flags. */
export const GroupFlag = { none: 0, opened: 1, closed: 2 } as const;

const FILE_MAGIC = 0x43485257;
const GROUP_MAGIC = 0x43485247;
const ENTRY_MAGIC = 0x4345;
const CRC_BYTES = 4;
const FILE_HEADER_USED_BYTES = 64;
const SEED_START = 16;
const SEED_END = 32;
const PAYLOAD_BYTES_OFFSET = 8;
const TOPIC_ID_OFFSET = 12;
const PARTITION_OFFSET = 28;
const BASE_OFFSET_OFFSET = 32;
const LEADER_EPOCH_OFFSET = 40;

/** What a file says about itself. */
export interface WalFileHeader {
  readonly sequence: number;
  readonly fileBytes: number;
  /** Two uint32 of chance: clients can't forge a group inside a batch. */
  readonly salt: readonly [number, number];
  readonly createdMs: number;
}

/** The head of a group; positions are in the file. */
export interface GroupHeader {
  readonly crc: number;
  readonly flags: number;
  readonly entryCount: number;
  readonly position: number;
  readonly lengthBytes: number;
  readonly nextPosition: number;
  readonly previousCrc: number;
  readonly durableAddress: number;
  readonly runNumber: number;
  /** See `nextEntriesCrc`. */
  readonly entriesCrc: number;
}

/** What an entry says about its payload. */
export interface EntryHeader {
  readonly kind: EntryKind;
  readonly topicIdBytes: Uint8Array;
  readonly partition: number;
  readonly baseOffset: number;
  readonly leaderEpoch: number;
  readonly payloadBytes: number;
}

/** `position` rounded up to the start of a block. */
export function blockEndOf(position: number): number {
  return Math.ceil(position / BLOCK_BYTES) * BLOCK_BYTES;
}

/** The name of a WAL file. */
export function walFileName(sequence: number): string {
  return `${String(sequence).padStart(20, "0")}.wal`;
}

/** The sequence in a file's name; undefined if it is no WAL file. */
export function sequenceOfName(name: string): number | undefined {
  const digits = /^(\d{20})\.wal$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The first block of a file. */
export function encodeFileHeader(header: WalFileHeader): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  writeInt32At(bytes, 4, FILE_MAGIC);
  bytes[9] = FILE_VERSION;
  writeInt32At(bytes, 12, header.fileBytes);
  writeInt64At(bytes, 16, header.sequence);
  writeInt32At(bytes, 24, header.salt[0]);
  writeInt32At(bytes, 28, header.salt[1]);
  writeInt64At(bytes, 32, header.createdMs);
  writeInt32At(bytes, 0, crc32c(bytes, CRC_BYTES, FILE_HEADER_USED_BYTES));
  return bytes;
}

/** @throws WalCorruptionError if it is none, WalVersionError if it is of a later version. */
export function decodeFileHeader(bytes: Uint8Array, path: string): WalFileHeader {
  const isWhole = bytes.length >= FILE_HEADER_BYTES && readUint32At(bytes, 4) === FILE_MAGIC;
  if (!isWhole || readUint32At(bytes, 0) !== crc32c(bytes, CRC_BYTES, FILE_HEADER_USED_BYTES)) {
    throw new WalCorruptionError({ path, position: 0 }, "the file's header is damaged.");
  }
  const version = ((bytes[8] ?? 0) << 8) | (bytes[9] ?? 0);
  if (version > FILE_VERSION) throw new WalVersionError(path, version);
  return {
    sequence: readInt64At(bytes, 16),
    fileBytes: readUint32At(bytes, 12),
    salt: [readUint32At(bytes, 24), readUint32At(bytes, 28)],
    createdMs: readInt64At(bytes, 32),
  };
}

/** What the CRCs of a file start from, before the position is mixed in. */
export function seedOf(header: WalFileHeader): number {
  return crc32c(encodeFileHeader(header), SEED_START, SEED_END);
}

/** Writes a group's header, CRC included, at `at` of `bytes`. @returns the CRC. */
export function writeGroupHeader(
  bytes: Uint8Array,
  at: number,
  group: Omit<GroupHeader, "crc"> & { readonly sequence: number; readonly seed: number },
): number {
  bytes.fill(0, at, at + GROUP_HEADER_BYTES);
  writeInt32At(bytes, at + 4, GROUP_MAGIC);
  bytes[at + 8] = GROUP_VERSION;
  bytes[at + 9] = group.flags;
  writeInt32At(bytes, at + 12, group.entryCount);
  writeInt64At(bytes, at + 16, group.sequence);
  writeInt32At(bytes, at + 24, group.position);
  writeInt32At(bytes, at + 28, group.lengthBytes);
  writeInt32At(bytes, at + 32, group.nextPosition);
  writeInt32At(bytes, at + 36, group.previousCrc);
  writeInt64At(bytes, at + 40, group.durableAddress);
  writeInt32At(bytes, at + 48, group.runNumber);
  writeInt32At(bytes, at + 52, group.entriesCrc);
  const crc = crcAt(bytes, at, at + GROUP_HEADER_BYTES, group);
  writeInt32At(bytes, at, crc);
  return crc;
}

/**
 * The header of the group that lies at `at` of `bytes` and at `position` of its file; undefined if none is
 * there. @throws WalVersionError if it is of a later version.
 */
export function readGroupHeader(
  bytes: Uint8Array,
  at: number,
  place: { readonly seed: number; readonly position: number; readonly path: string },
): GroupHeader | undefined {
  if (readUint32At(bytes, at + 4) !== GROUP_MAGIC) return undefined;
  const crc = readUint32At(bytes, at);
  if (crc !== crcAt(bytes, at, at + GROUP_HEADER_BYTES, place)) return undefined;
  const version = bytes[at + 8] ?? 0;
  if (version > GROUP_VERSION) throw new WalVersionError(place.path, version);
  return {
    crc,
    flags: bytes[at + 9] ?? 0,
    entryCount: readUint32At(bytes, at + 12),
    position: readUint32At(bytes, at + 24),
    lengthBytes: readUint32At(bytes, at + 28),
    nextPosition: readUint32At(bytes, at + 32),
    previousCrc: readUint32At(bytes, at + 36),
    durableAddress: readInt64At(bytes, at + 40),
    runNumber: readUint32At(bytes, at + 48),
    entriesCrc: readUint32At(bytes, at + 52),
  };
}

/** Writes the header of an entry, all but its CRC, at `at` of `bytes`. */
export function writeEntryHeader(bytes: Uint8Array, at: number, entry: EntryHeader): void {
  writeInt32At(bytes, at + CRC_BYTES, (ENTRY_MAGIC << 16) | (ENTRY_VERSION << 8) | entry.kind);
  writeInt32At(bytes, at + PAYLOAD_BYTES_OFFSET, entry.payloadBytes);
  bytes.set(entry.topicIdBytes, at + TOPIC_ID_OFFSET);
  writeInt32At(bytes, at + PARTITION_OFFSET, entry.partition);
  writeInt64At(bytes, at + BASE_OFFSET_OFFSET, entry.baseOffset);
  writeInt32At(bytes, at + LEADER_EPOCH_OFFSET, entry.leaderEpoch);
}

/** Writes the CRC of the entry at `at`, whose header and payload are in place. */
export function writeEntryCrc(
  bytes: Uint8Array,
  at: number,
  place: { readonly seed: number; readonly position: number },
): void {
  writeInt32At(bytes, at, crcAt(bytes, at, crcEndOf(bytes, at), place));
}

/** A group's `entriesCrc` with the entry at `at`, whose CRC is in place; the group without it had `entriesCrc`. */
export function nextEntriesCrc(bytes: Uint8Array, at: number, entriesCrc: number): number {
  return crc32c(bytes, at, at + CRC_BYTES, entriesCrc);
}

/** Whether the batch in `bytes[start, end)` has this length and its CRC. */
export function isWholeBatch(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < BATCH_HEADER_BYTES) return false;
  const sizeBytes = readInt32At(bytes, start + BATCH_LENGTH_OFFSET) + BATCH_LENGTH_OVERHEAD_BYTES;
  if (sizeBytes !== end - start) return false;
  return readUint32At(bytes, start + CRC_OFFSET) === crc32c(bytes, start + ATTRIBUTES_OFFSET, end);
}

/** An entry's place in a buffer, and its fields without topic id. Reused by walkers. */
export interface EntryFields {
  version: number;
  kind: number;
  payloadBytes: number;
  topicIdStart: number;
  partition: number;
  baseOffset: number;
  leaderEpoch: number;
}

/** Reads the fields of the entry at `at`, which was checked before, into `fields`. */
export function readEntryFields(bytes: Uint8Array, at: number, fields: EntryFields): void {
  fields.version = bytes[at + 6] ?? 0;
  fields.kind = bytes[at + 7] ?? 0;
  fields.payloadBytes = readUint32At(bytes, at + PAYLOAD_BYTES_OFFSET);
  fields.topicIdStart = at + TOPIC_ID_OFFSET;
  fields.partition = readInt32At(bytes, at + PARTITION_OFFSET);
  fields.baseOffset = readInt64At(bytes, at + BASE_OFFSET_OFFSET);
  fields.leaderEpoch = readInt32At(bytes, at + LEADER_EPOCH_OFFSET);
}

/**
 * Where the entry at `at` of `bytes` ends, if it is intact and ends by `limit`; else undefined.
 * @throws WalVersionError if it is intact but of a later version.
 */
export function checkedEntryEnd(
  bytes: Uint8Array,
  at: number,
  place: {
    readonly seed: number;
    readonly position: number;
    readonly path: string;
    readonly limit: number;
  },
): number | undefined {
  if (at + ENTRY_HEADER_BYTES > place.limit) return undefined;
  if (readUint32At(bytes, at + CRC_BYTES) >>> 16 !== ENTRY_MAGIC) return undefined;
  const payloadStart = at + ENTRY_HEADER_BYTES;
  const end = payloadStart + readUint32At(bytes, at + PAYLOAD_BYTES_OFFSET);
  if (end > place.limit) return undefined;
  if (readUint32At(bytes, at) !== crcAt(bytes, at, crcEndOf(bytes, at), place)) return undefined;
  const version = bytes[at + 6] ?? 0;
  if (version > ENTRY_VERSION) throw new WalVersionError(place.path, version);
  if (isBatchEntry(bytes, at) && !isWholeBatch(bytes, payloadStart, end)) return undefined;
  return end;
}

function isBatchEntry(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 6] === ENTRY_VERSION && bytes[at + 7] === EntryKind.batch;
}

/** Where the entry's CRC ends: see the head of this file. */
function crcEndOf(bytes: Uint8Array, at: number): number {
  const payloadBytes = readUint32At(bytes, at + PAYLOAD_BYTES_OFFSET);
  const covered = isBatchEntry(bytes, at)
    ? Math.min(payloadBytes, BATCH_HEADER_BYTES)
    : payloadBytes;
  return at + ENTRY_HEADER_BYTES + covered;
}

function crcAt(
  bytes: Uint8Array,
  at: number,
  end: number,
  place: { readonly seed: number; readonly position: number },
): number {
  return crc32c(bytes, at + CRC_BYTES, end, (place.seed ^ place.position) >>> 0);
}

/** The topic id of entries that belong to none. */
export const NO_TOPIC_ID = new Uint8Array(UUID_BYTES);
