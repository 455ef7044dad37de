/**
 * Reads the files of an archive by range: the table of contents once, then only the chunks that are asked for.
 *
 * Nothing unverified leaves here: the trailer has its checksum, the table's stands in the trailer, and every
 * chunk's in the table. What does not fit is a KafkaError KAFKA_STORAGE_ERROR that names archive and position.
 */

import { crc32c } from "../core/native.ts";
import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { ArchiveCorruptionError } from "./archive-errors.ts";
import { decodeTrailer, TRAILER_BYTES, type Trailer } from "./archive-format.ts";
import type { RangeSource } from "./archive-source.ts";
import {
  type ArchiveEntry,
  type ChunkPlace,
  chunkContentBytes,
  chunkPlace,
  decodeTableOfContents,
  type TableOfContents,
} from "./archive-toc.ts";
import { copyDeflatedContent, copyStoredContent, storedMemberBytes } from "./gzip-member.ts";
import { tarPadding } from "./tar-header.ts";

/** Read at once from the end: trailer and table of an archive of up to about a gigabyte. */
const TAIL_BYTES = 64 * 1024;

/** Reads one archive; any number of reads may be under way. Who made the source closes it. */
export class ArchiveReader {
  readonly contents: TableOfContents;
  readonly #archive: CountedSource;
  readonly #entries: ReadonlyMap<string, ArchiveEntry>;

  private constructor(archive: CountedSource, contents: TableOfContents) {
    this.#archive = archive;
    this.contents = contents;
    this.#entries = new Map(contents.entries.map((entry) => [entry.name, entry]));
  }

  /**
   * Reads the table of contents, with one or two reads.
   * @param lengthBytes of the archive, as registered: what `source` has behind it means nothing.
   * @throws ArchiveCorruptionError, ArchiveVersionError
   */
  static async open(source: RangeSource, lengthBytes: number): Promise<ArchiveReader> {
    const archive = new CountedSource(source);
    return new ArchiveReader(archive, await readTableOfContents(archive, lengthBytes));
  }

  /** The files, in the order in which they were written. */
  entries(): readonly ArchiveEntry[] {
    return this.contents.entries;
  }

  /** Bytes that the source gave, those of the table of contents included. */
  get bytesRead(): number {
    return this.#archive.bytesRead;
  }

  /**
   * `lengthBytes` of a file from `position` on, as an array of their own. One read of the source brings all chunks
   * that hold some of them. Memory: the chunks as they are stored, and the result.
   * @throws KafkaError KAFKA_STORAGE_ERROR if they are not in the file, or damaged.
   */
  async read(name: string, position: number, lengthBytes: number): Promise<Uint8Array> {
    this.#entryWith(name, position, lengthBytes);
    const target = uninitializedBytes(lengthBytes);
    await this.readInto(name, position, target);
    return target;
  }

  /** As `read`, but fills `target`; after an error it holds anything. */
  async readInto(name: string, position: number, target: Uint8Array): Promise<void> {
    const entry = this.#entryWith(name, position, target.length);
    if (target.length === 0) return;
    const end = position + target.length;
    const first = Math.floor(position / entry.chunkBytes);
    const last = Math.floor((end - 1) / entry.chunkBytes);
    const start = this.#placeOf(entry, first).position;
    const lastPlace = this.#placeOf(entry, last);
    const members = await this.#archive.read(start, lastPlace.position + lastPlace.memberBytes);
    for (let index = first; index <= last; index += 1) {
      const place = this.#placeOf(entry, index);
      const memberStart = place.position - start;
      const member = members.subarray(memberStart, memberStart + place.memberBytes);
      if (crc32c(member) !== place.crc) {
        throw this.#archive.corruption(place.position, "a chunk's checksum does not fit.");
      }
      const chunkStart = index * entry.chunkBytes;
      const contentBytes = chunkContentBytes(entry, index);
      const range = {
        start: Math.max(0, position - chunkStart),
        end: Math.min(contentBytes, end - chunkStart),
      };
      const part = target.subarray(chunkStart + range.start - position);
      const isStored = place.memberBytes === storedMemberBytes(contentBytes);
      const isCopied = isStored
        ? copyStoredContent(member, contentBytes, range, part)
        : await copyDeflatedContent(member, contentBytes, range, part);
      if (isCopied) continue;
      throw this.#archive.corruption(place.position, "a chunk has not the form of one.");
    }
  }

  /** The file, which has these bytes. */
  #entryWith(name: string, position: number, lengthBytes: number): ArchiveEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw this.#refusal(`has no file ${name}`);
    const end = position + lengthBytes;
    if (position >= 0 && lengthBytes >= 0 && end <= entry.sizeBytes) return entry;
    throw this.#refusal(
      `has no bytes ${position} to ${end} of ${name}: it ends at ${entry.sizeBytes}`,
    );
  }

  #placeOf(entry: ArchiveEntry, index: number): ChunkPlace {
    return chunkPlace(this.contents.chunkRows, entry.firstChunk + index);
  }

  #refusal(reason: string): KafkaError {
    return new KafkaError(
      ErrorCode.kafkaStorageError,
      `The archive ${this.#archive.name} ${reason}.`,
    );
  }
}

/** A source that counts, and that gives all that is asked for or an error. */
class CountedSource {
  bytesRead = 0;
  readonly #source: RangeSource;

  constructor(source: RangeSource) {
    this.#source = source;
  }

  get name(): string {
    return this.#source.name;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    const bytes = await this.#source.readRange(start, end);
    this.bytesRead += bytes.length;
    if (bytes.length === end - start) return bytes;
    throw this.corruption(start + bytes.length, "it ends here, too early.");
  }

  corruption(position: number, reason: string): ArchiveCorruptionError {
    return new ArchiveCorruptionError({ name: this.name, position }, reason);
  }
}

async function readTableOfContents(
  archive: CountedSource,
  lengthBytes: number,
): Promise<TableOfContents> {
  const trailerPosition = lengthBytes - TRAILER_BYTES;
  if (trailerPosition < 0) throw archive.corruption(0, "it has no room for a trailer.");
  const tailPosition = Math.max(0, lengthBytes - TAIL_BYTES);
  const tail = await archive.read(tailPosition, lengthBytes);
  const place = { name: archive.name, position: trailerPosition };
  const trailer = decodeTrailer(tail.subarray(trailerPosition - tailPosition), place);
  const { tocPosition, tocBytes, tocMemberBytes } = trailer;
  if (!isTocBefore(trailer, trailerPosition)) {
    throw archive.corruption(trailerPosition, "the table of contents can't be where it is said.");
  }
  const member =
    tocPosition < tailPosition
      ? await archive.read(tocPosition, tocPosition + tocMemberBytes)
      : tail.subarray(tocPosition - tailPosition).subarray(0, tocMemberBytes);
  if (crc32c(member) !== trailer.tocCrc) {
    throw archive.corruption(tocPosition, "the checksum of the table of contents does not fit.");
  }
  const bytes = uninitializedBytes(tocBytes);
  if (!copyStoredContent(member, tocBytes, { start: 0, end: tocBytes }, bytes)) {
    throw archive.corruption(tocPosition, "the table of contents has not the form of one.");
  }
  return decodeTableOfContents(bytes, { name: archive.name, trailer });
}

/** Whether the table's member and the zeros behind it end where the trailer begins. */
function isTocBefore(trailer: Trailer, trailerPosition: number): boolean {
  const { tocPosition, tocBytes, tocMemberBytes } = trailer;
  if (tocPosition < 0 || tocMemberBytes !== storedMemberBytes(tocBytes)) return false;
  const { length: paddingBytes } = tarPadding(tocBytes);
  const paddingMemberBytes = paddingBytes === 0 ? 0 : storedMemberBytes(paddingBytes);
  return tocPosition + tocMemberBytes + paddingMemberBytes === trailerPosition;
}
