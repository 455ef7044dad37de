/**
 * An archive's table of contents. All integers are big-endian; its bytes are those of the file `toc.bin`.
 *
 *    0  magic        8 bytes      "CHRONTOC"
 *    8  version      u16          1
 *   10  0            u16
 *   12  fileCount    u32
 *   16  chunkCount   u32          of all files
 *   20  0            u32
 *   24  files        fileCount rows of 128 bytes, in the order of the tar stream:
 *          0  name         100 bytes    letters, digits, `.`, `_`, `-`, and `/` between parts; then zeros
 *        100  sizeBytes    u64          of the content; at most 2^40
 *        108  firstChunk   u32          index of its first row below: the sum of the counts before
 *        112  chunkCount   u32          sizeBytes / chunkBytes, rounded up
 *        116  chunkBytes   u32          1 to 2^20
 *        120  0            8 bytes
 *       chunks       chunkCount rows of 16 bytes, those of a file adjacent to each other in the archive:
 *          0  position     u64          of the member, in the archive
 *          8  memberBytes  u32
 *         12  crc          u32          CRC-32C of the member
 *
 * There is nothing behind it. Names are unique, and none is `toc.bin`. The trailer has the checksum.
 */

import {
  readInt16At,
  readInt64At,
  readUint32At,
  writeInt16At,
  writeInt32At,
  writeInt64At,
} from "../protocol/big-endian.ts";
import { ArchiveCorruptionError, ArchiveVersionError } from "./archive-errors.ts";
import {
  ARCHIVE_VERSION,
  CHUNK_BYTES_MAX,
  FILE_BYTES_MAX,
  TOC_NAME,
  type Trailer,
} from "./archive-format.ts";
import { MEMBER_BYTES_MIN, storedMemberBytes } from "./gzip-member.ts";

const MAGIC = "CHRONTOC";
const VERSION_POSITION = 8;
const FILE_COUNT_POSITION = 12;
const CHUNK_COUNT_POSITION = 16;
const HEADER_BYTES = 24;

const NAME_BYTES_MAX = 100;
const SIZE_POSITION = 100;
const FIRST_CHUNK_POSITION = 108;
const FILE_CHUNK_COUNT_POSITION = 112;
const CHUNK_BYTES_POSITION = 116;
const FILE_ROW_BYTES = 128;

/** Of one row: position, length and checksum of a chunk's member. */
export const CHUNK_ROW_BYTES = 16;
const MEMBER_BYTES_POSITION = 8;
const CRC_POSITION = 12;

const NAME_PATTERN = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;

/** A file in an archive. */
export interface ArchiveEntry {
  readonly name: string;
  readonly sizeBytes: number;
  /** What one chunk holds of it, before compression; the last chunk may hold less. */
  readonly chunkBytes: number;
  /** Index of its first chunk among those of the archive. */
  readonly firstChunk: number;
  readonly chunkCount: number;
}

/** Where the member of a chunk is, and what its checksum must be. */
export interface ChunkPlace {
  readonly position: number;
  readonly memberBytes: number;
  readonly crc: number;
}

export interface TableOfContents {
  readonly entries: readonly ArchiveEntry[];
  /** The rows of all chunks, as they stand in the table. */
  readonly chunkRows: Uint8Array;
}

/** What keeps `name` from being a file's in an archive, as the end of a sentence; undefined if nothing does. */
export function faultOfName(name: string): string | undefined {
  if (name.length > NAME_BYTES_MAX) return `is longer than ${NAME_BYTES_MAX} bytes`;
  if (!NAME_PATTERN.test(name)) return "is not made of letters, digits, '.', '_', '-' and '/'";
  if (name.includes("..") || name.split("/").includes(".")) return "leads to another directory";
  if (name === TOC_NAME) return "is the table of contents'";
  return undefined;
}

export function encodeTableOfContents(toc: TableOfContents): Uint8Array {
  const rowsPosition = HEADER_BYTES + toc.entries.length * FILE_ROW_BYTES;
  const bytes = new Uint8Array(rowsPosition + toc.chunkRows.length);
  const encoder = new TextEncoder();
  bytes.set(encoder.encode(MAGIC));
  writeInt16At(bytes, VERSION_POSITION, ARCHIVE_VERSION);
  writeInt32At(bytes, FILE_COUNT_POSITION, toc.entries.length);
  writeInt32At(bytes, CHUNK_COUNT_POSITION, toc.chunkRows.length / CHUNK_ROW_BYTES);
  toc.entries.forEach((entry, index) => {
    const row = HEADER_BYTES + index * FILE_ROW_BYTES;
    bytes.set(encoder.encode(entry.name), row);
    writeInt64At(bytes, row + SIZE_POSITION, entry.sizeBytes);
    writeInt32At(bytes, row + FIRST_CHUNK_POSITION, entry.firstChunk);
    writeInt32At(bytes, row + FILE_CHUNK_COUNT_POSITION, entry.chunkCount);
    writeInt32At(bytes, row + CHUNK_BYTES_POSITION, entry.chunkBytes);
  });
  bytes.set(toc.chunkRows, rowsPosition);
  return bytes;
}

/**
 * Reads and checks a table: afterwards every place in it is inside the archive, and no length is larger than what
 * the content can need. The result keeps a view of `bytes`.
 * @param bytes whose checksum fits the trailer.
 * @throws ArchiveCorruptionError, ArchiveVersionError
 */
export function decodeTableOfContents(
  bytes: Uint8Array,
  archive: { readonly name: string; readonly trailer: Trailer },
): TableOfContents {
  const { name, trailer } = archive;
  const corrupt = (reason: string) =>
    new ArchiveCorruptionError({ name, position: trailer.tocPosition }, reason);
  if (bytes.length < HEADER_BYTES || textOf(bytes, 0, MAGIC.length) !== MAGIC) {
    throw corrupt("there is no table of contents.");
  }
  const version = readInt16At(bytes, VERSION_POSITION);
  if (version !== ARCHIVE_VERSION) throw new ArchiveVersionError(name, version);
  const fileCount = readUint32At(bytes, FILE_COUNT_POSITION);
  const chunkCount = readUint32At(bytes, CHUNK_COUNT_POSITION);
  const rowsPosition = HEADER_BYTES + fileCount * FILE_ROW_BYTES;
  if (bytes.length !== rowsPosition + chunkCount * CHUNK_ROW_BYTES) {
    throw corrupt("the table of contents does not have the length of its rows.");
  }
  const toc = { entries: decodeFiles(bytes, fileCount), chunkRows: bytes.subarray(rowsPosition) };
  const fault = faultOfFiles(toc.entries, chunkCount) ?? faultOfChunks(toc, trailer.tocPosition);
  if (fault !== undefined) throw corrupt(fault);
  return toc;
}

export function chunkPlace(chunkRows: Uint8Array, index: number): ChunkPlace {
  const row = index * CHUNK_ROW_BYTES;
  return {
    position: readInt64At(chunkRows, row),
    memberBytes: readUint32At(chunkRows, row + MEMBER_BYTES_POSITION),
    crc: readUint32At(chunkRows, row + CRC_POSITION),
  };
}

export function writeChunkPlace(chunkRows: Uint8Array, index: number, place: ChunkPlace): void {
  const row = index * CHUNK_ROW_BYTES;
  writeInt64At(chunkRows, row, place.position);
  writeInt32At(chunkRows, row + MEMBER_BYTES_POSITION, place.memberBytes);
  writeInt32At(chunkRows, row + CRC_POSITION, place.crc);
}

/** The bytes of a file that its chunk number `index`, from 0, holds. */
export function chunkContentBytes(entry: ArchiveEntry, index: number): number {
  return Math.min(entry.chunkBytes, entry.sizeBytes - index * entry.chunkBytes);
}

function decodeFiles(bytes: Uint8Array, fileCount: number): ArchiveEntry[] {
  const entries: ArchiveEntry[] = [];
  for (let index = 0; index < fileCount; index += 1) {
    const row = HEADER_BYTES + index * FILE_ROW_BYTES;
    entries.push({
      name: textOf(bytes, row, row + NAME_BYTES_MAX).replace(/\0*$/, ""),
      sizeBytes: readInt64At(bytes, row + SIZE_POSITION),
      firstChunk: readUint32At(bytes, row + FIRST_CHUNK_POSITION),
      chunkCount: readUint32At(bytes, row + FILE_CHUNK_COUNT_POSITION),
      chunkBytes: readUint32At(bytes, row + CHUNK_BYTES_POSITION),
    });
  }
  return entries;
}

function faultOfFiles(entries: readonly ArchiveEntry[], chunkCount: number): string | undefined {
  const names = new Set<string>();
  let firstChunk = 0;
  for (const entry of entries) {
    const { name, sizeBytes, chunkBytes } = entry;
    const nameFault = faultOfName(name);
    if (nameFault !== undefined) return `the name of a file ${nameFault}.`;
    if (names.has(name)) return `there are two files ${name}.`;
    names.add(name);
    if (sizeBytes < 0 || sizeBytes > FILE_BYTES_MAX) return `${name} has an impossible size.`;
    if (chunkBytes < 1 || chunkBytes > CHUNK_BYTES_MAX) return `${name} has impossible chunks.`;
    const isWhole = entry.chunkCount === Math.ceil(sizeBytes / chunkBytes);
    if (!isWhole || entry.firstChunk !== firstChunk) return `${name} has not its chunks.`;
    firstChunk += entry.chunkCount;
  }
  return firstChunk === chunkCount ? undefined : "chunks belong to no file.";
}

function faultOfChunks(toc: TableOfContents, endPosition: number): string | undefined {
  let end = 0;
  for (const entry of toc.entries) {
    for (let index = 0; index < entry.chunkCount; index += 1) {
      const place = chunkPlace(toc.chunkRows, entry.firstChunk + index);
      const isPlaced = index === 0 ? place.position >= end : place.position === end;
      const bytesMax = storedMemberBytes(chunkContentBytes(entry, index));
      const isSized = place.memberBytes >= MEMBER_BYTES_MIN && place.memberBytes <= bytesMax;
      if (!isPlaced || !isSized)
        return `chunk ${index} of ${entry.name} can't be where it is said.`;
      end = place.position + place.memberBytes;
    }
  }
  return end <= endPosition ? undefined : "chunks lie behind the end.";
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder("latin1").decode(bytes.subarray(start, end));
}
