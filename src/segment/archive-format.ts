/**
 * The bytes of an archive: a `.tar.gz` that is read by range. It is a row of independent gzip members (RFC 1952),
 * whose contents together are a tar stream (POSIX ustar). No end-of-archive blocks: files can be appended later.
 *
 *   for each file: member with its tar header (512 bytes of content)
 *                  its chunks, one member each, back to back; none if it is empty
 *                  member with the zeros that fill the last 512-byte block; missing if there are none
 *   the table of contents, as the file `toc.bin`, whose content is ONE member of stored form, of any size
 *   the trailer: an empty member of 64 bytes
 *
 * An append leaves all of this as it is and adds files, a new `toc.bin` that names the old files too, and a new
 * trailer. The archive's length is registered elsewhere: the trailer is what ends there, and bytes behind it, of an
 * append that was cut short, mean nothing.
 *
 * A chunk holds `chunkBytes` bytes of its file, the last one what is left. Its member has one of two forms:
 *
 *   stored     exactly `storedMemberBytes(n)` bytes for n of content: 10 of header, the content in stored blocks of
 *              32,768 bytes (the last 1 to 32,768) with 5 bytes before each, 8 of gzip's footer. Byte k of the
 *              content is thus at 10 + 5 * (floor(k / 32768) + 1) + k. No content: one block of none.
 *   deflated   always shorter than the stored form; so the length tells which of the two it is.
 *
 * Every member but the trailer starts with 1f 8b 08 00 00000000 00 ff. A stored block starts with 01 if it is the
 * member's last, else 00; then its length and the length's complement, both u16 little-endian. The footer is CRC-32
 * and length of the content, both u32 little-endian.
 *
 * Trailer (big-endian, save for what gzip rules):
 *
 *    0  1f 8b 08 04 00000000 00 ff    gzip header with an extra field
 *   10  2a 00                         length of the extra field: 42, little-endian
 *   12  43 4b 26 00                   subfield "CK", 38 bytes, little-endian
 *   16  magic            8 bytes      "CHRONTAR"
 *   24  version          u16          1
 *   26  tocPosition      u64          of the table's member, in the archive
 *   34  tocMemberBytes   u32          its length; its content has `tocBytes`
 *   38  tocBytes         u32
 *   42  tocCrc           u32          CRC-32C of the member
 *   46  trailerCrc       u32          CRC-32C of bytes 0 to 45 of the trailer
 *   50  0                u32          (the end of the subfield)
 *   54  03 00 00000000 00000000       an empty deflate block, CRC-32 and length of nothing
 *
 * Magic, version and `trailerCrc` stay where they are in all versions. `toc.bin` is described in `archive-toc.ts`.
 */

import { crc32c } from "../core/native.ts";
import {
  readInt16At,
  readInt64At,
  readUint32At,
  writeInt16At,
  writeInt32At,
  writeInt64At,
} from "../protocol/big-endian.ts";
import { ArchiveCorruptionError, ArchiveVersionError } from "./archive-errors.ts";

export const ARCHIVE_VERSION = 1;
export const TRAILER_BYTES = 64;
/** The table's name in the tar stream. No other file may have it. */
export const TOC_NAME = "toc.bin";
/** Of one file in an archive. */
export const FILE_BYTES_MAX = 2 ** 40;
/** Of a chunk's content: what a reader allocates at a time. */
export const CHUNK_BYTES_MAX = 1024 * 1024;

const TRAILER_START = Uint8Array.of(
  ...[0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff],
  ...[42, 0, 0x43, 0x4b, 38, 0],
);
const MAGIC = "CHRONTAR";
const MAGIC_POSITION = 16;
const VERSION_POSITION = 24;
const TOC_POSITION_POSITION = 26;
const TOC_MEMBER_BYTES_POSITION = 34;
const TOC_BYTES_POSITION = 38;
const TOC_CRC_POSITION = 42;
const TRAILER_CRC_POSITION = 46;
const EMPTY_BLOCK_POSITION = 54;

/** Where the table of contents is. */
export interface Trailer {
  readonly tocPosition: number;
  readonly tocMemberBytes: number;
  readonly tocBytes: number;
  readonly tocCrc: number;
}

export function encodeTrailer(trailer: Trailer): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES);
  bytes.set(TRAILER_START);
  bytes.set(new TextEncoder().encode(MAGIC), MAGIC_POSITION);
  writeInt16At(bytes, VERSION_POSITION, ARCHIVE_VERSION);
  writeInt64At(bytes, TOC_POSITION_POSITION, trailer.tocPosition);
  writeInt32At(bytes, TOC_MEMBER_BYTES_POSITION, trailer.tocMemberBytes);
  writeInt32At(bytes, TOC_BYTES_POSITION, trailer.tocBytes);
  writeInt32At(bytes, TOC_CRC_POSITION, trailer.tocCrc);
  writeInt32At(bytes, TRAILER_CRC_POSITION, crc32c(bytes, 0, TRAILER_CRC_POSITION));
  bytes[EMPTY_BLOCK_POSITION] = 0x03;
  return bytes;
}

/**
 * @param bytes the last `TRAILER_BYTES` of the archive, which start at `place`.
 * @throws ArchiveCorruptionError, ArchiveVersionError
 */
export function decodeTrailer(
  bytes: Uint8Array,
  place: { readonly name: string; readonly position: number },
): Trailer {
  const magic = bytes.subarray(MAGIC_POSITION, MAGIC_POSITION + MAGIC.length);
  if (bytes.length !== TRAILER_BYTES || new TextDecoder().decode(magic) !== MAGIC) {
    throw new ArchiveCorruptionError(place, "there is no trailer.");
  }
  const crc = readUint32At(bytes, TRAILER_CRC_POSITION);
  if (crc !== crc32c(bytes, 0, TRAILER_CRC_POSITION)) {
    throw new ArchiveCorruptionError(place, "the trailer's checksum does not fit.");
  }
  const version = readInt16At(bytes, VERSION_POSITION);
  if (version !== ARCHIVE_VERSION) throw new ArchiveVersionError(place.name, version);
  const trailer: Trailer = {
    tocPosition: readInt64At(bytes, TOC_POSITION_POSITION),
    tocMemberBytes: readUint32At(bytes, TOC_MEMBER_BYTES_POSITION),
    tocBytes: readUint32At(bytes, TOC_BYTES_POSITION),
    tocCrc: readUint32At(bytes, TOC_CRC_POSITION),
  };
  if (Bun.deepEquals(encodeTrailer(trailer), bytes)) return trailer;
  throw new ArchiveCorruptionError(place, "the trailer is damaged.");
}
