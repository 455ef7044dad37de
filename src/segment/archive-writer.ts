/**
 * Writes an archive, or adds files to one, as a stream: memory for a chunk or two, whatever the files' sizes.
 *
 *   create or append → (beginFile → write … → endFile) … → finish
 *
 * Each call is awaited before the next. Until `finish` has resolved there is no archive (or still the old one), and
 * after any error the only way on is `abort`.
 */

import { assert } from "../core/assert.ts";
import type { Disk, DiskFile } from "../core/disk.ts";
import { crc32c } from "../core/native.ts";
import { CHUNK_BYTES_MAX, encodeTrailer, FILE_BYTES_MAX, TOC_NAME } from "./archive-format.ts";
import { ArchiveReader } from "./archive-reader.ts";
import { LocalFileSource } from "./archive-source.ts";
import {
  type ArchiveEntry,
  CHUNK_ROW_BYTES,
  encodeTableOfContents,
  faultOfName,
  type TableOfContents,
  writeChunkPlace,
} from "./archive-toc.ts";
import { storedMemberBytes, writeDeflatedMember, writeStoredMember } from "./gzip-member.ts";
import { tarHeader, tarPadding } from "./tar-header.ts";

/** Gathered before they are written: small members cost no system call of their own. */
const OUTPUT_BYTES = 512 * 1024;
const CHUNK_ROWS_MIN = 64;
/** Keeps the table of contents below 256 MiB. */
const CHUNK_COUNT_MAX = 2 ** 24;

/** "deflate" stores a chunk nevertheless if it would hardly shrink. */
export type ChunkCompression = "stored" | "deflate";

export interface ArchiveFileOptions {
  /** Parts of letters, digits, `.`, `_` and `-`, with `/` between; at most 100 characters. */
  readonly name: string;
  /** What will be written, to the byte. */
  readonly sizeBytes: number;
  /** What is compressed, checked and read as one: 1 to 2^20. */
  readonly chunkBytes: number;
  readonly compression: ChunkCompression;
}

/** The file between `beginFile` and `endFile`. */
interface OpenFile {
  readonly options: ArchiveFileOptions;
  readonly firstChunk: number;
  readonly chunk: Uint8Array<ArrayBuffer>;
  /** In `chunk`. */
  filledBytes: number;
  writtenBytes: number;
}

export class ArchiveWriter {
  readonly #disk: Disk;
  readonly #file: DiskFile;
  /** Of the archive that was there; undefined if there was none. */
  readonly #oldLengthBytes: number | undefined;
  readonly #entries: ArchiveEntry[];
  #chunkRows: Uint8Array;
  #chunkCount: number;
  /** Where the output's first byte goes. */
  #position: number;
  #output = new Uint8Array(OUTPUT_BYTES);
  #outputEnd = 0;
  #open: OpenFile | undefined;
  #isBusy = false;
  #hasFailed = false;
  #isClosed = false;

  private constructor(
    disk: Disk,
    file: DiskFile,
    old?: { readonly contents: TableOfContents; readonly lengthBytes: number },
  ) {
    this.#disk = disk;
    this.#file = file;
    this.#oldLengthBytes = old?.lengthBytes;
    this.#position = old?.lengthBytes ?? 0;
    this.#entries = [...(old?.contents.entries ?? [])];
    this.#chunkRows = old?.contents.chunkRows ?? new Uint8Array(CHUNK_ROWS_MIN * CHUNK_ROW_BYTES);
    this.#chunkCount = old === undefined ? 0 : this.#chunkRows.length / CHUNK_ROW_BYTES;
  }

  /** Begins a new archive, in the place of a file that may be there. */
  static async create(disk: Disk, path: string): Promise<ArchiveWriter> {
    return new ArchiveWriter(disk, await disk.create(path, 0));
  }

  /**
   * Opens an archive to add files. What lies beyond `lengthBytes`, its registered length, is cut; what lies before
   * is not touched, so readers of that length go on.
   * @throws ArchiveCorruptionError, ArchiveVersionError
   */
  static async append(disk: Disk, path: string, lengthBytes: number): Promise<ArchiveWriter> {
    const file = await disk.open(path, "readWrite");
    try {
      const { contents } = await ArchiveReader.open(new LocalFileSource(file), lengthBytes);
      await file.resize(lengthBytes);
      return new ArchiveWriter(disk, file, { contents, lengthBytes });
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }

  async beginFile(options: ArchiveFileOptions): Promise<void> {
    const { name, sizeBytes, chunkBytes } = options;
    const nameFault = faultOfName(name);
    assert(nameFault === undefined, `the file name ${JSON.stringify(name)} ${nameFault}`);
    assert(!this.#entries.some((entry) => entry.name === name), `there is no file ${name} yet`);
    assert(sizeBytes >= 0 && sizeBytes <= FILE_BYTES_MAX, `${sizeBytes} is a file's size`);
    assert(chunkBytes >= 1 && chunkBytes <= CHUNK_BYTES_MAX, `${chunkBytes} is a chunk's size`);
    const chunkCountEnd = this.#chunkCount + Math.ceil(sizeBytes / chunkBytes);
    assert(chunkCountEnd <= CHUNK_COUNT_MAX, "the archive has not too many chunks");
    await this.#alone(async () => {
      assert(this.#open === undefined, "the last file is ended");
      await this.#writeStored(tarHeader(name, sizeBytes));
      this.#open = {
        options,
        firstChunk: this.#chunkCount,
        chunk: new Uint8Array(Math.min(chunkBytes, sizeBytes)),
        filledBytes: 0,
        writtenBytes: 0,
      };
    });
  }

  /** Adds to the file. `bytes` are copied before the promise resolves. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#alone(async () => {
      const file = this.#openFile();
      assert(file.writtenBytes + bytes.length <= file.options.sizeBytes, "the file has that size");
      file.writtenBytes += bytes.length;
      let position = 0;
      while (position < bytes.length) {
        const part = bytes.subarray(position, position + file.chunk.length - file.filledBytes);
        file.chunk.set(part, file.filledBytes);
        file.filledBytes += part.length;
        position += part.length;
        if (file.filledBytes === file.chunk.length) await this.#writeChunk(file);
      }
    });
  }

  /** Ends the file, of which all must have been written. */
  async endFile(): Promise<void> {
    await this.#alone(async () => {
      const file = this.#openFile();
      const { name, sizeBytes, chunkBytes } = file.options;
      assert(file.writtenBytes === sizeBytes, `all of ${name} is written`);
      if (file.filledBytes > 0) await this.#writeChunk(file);
      const { firstChunk } = file;
      const chunkCount = this.#chunkCount - firstChunk;
      assert(chunkCount === Math.ceil(sizeBytes / chunkBytes), `${name} has its chunks`);
      await this.#writePadding(sizeBytes);
      this.#entries.push({ name, sizeBytes, chunkBytes, firstChunk, chunkCount });
      this.#open = undefined;
    });
  }

  /** Writes the table of contents and the trailer. When it resolves, the file is on disk; its name may not be. */
  async finish(): Promise<{ readonly lengthBytes: number }> {
    return this.#alone(async () => {
      assert(this.#open === undefined, "the last file is ended");
      const chunkRows = this.#chunkRows.subarray(0, this.#chunkCount * CHUNK_ROW_BYTES);
      const toc = encodeTableOfContents({ entries: this.#entries, chunkRows });
      await this.#writeStored(tarHeader(TOC_NAME, toc.length));
      const member = await this.#writeStored(toc);
      const tocPosition = this.#endPosition() - member.length;
      const tocCrc = crc32c(member);
      await this.#writePadding(toc.length);
      const { length: tocBytes } = toc;
      const trailer = { tocPosition, tocMemberBytes: member.length, tocBytes, tocCrc };
      const trailerBytes = encodeTrailer(trailer);
      await this.#makeRoom(trailerBytes.length);
      this.#output.set(trailerBytes, this.#outputEnd);
      this.#outputEnd += trailerBytes.length;
      await this.#flush();
      await this.#file.sync();
      this.#isClosed = true;
      await this.#file.close();
      return { lengthBytes: this.#position };
    });
  }

  /** Gives up: removes what was created, or cuts what was added. Does nothing after `finish`. */
  async abort(): Promise<void> {
    if (this.#isClosed) return;
    assert(!this.#isBusy, "calls follow each other");
    this.#isClosed = true;
    try {
      if (this.#oldLengthBytes !== undefined) await this.#file.resize(this.#oldLengthBytes);
    } finally {
      await this.#file.close();
    }
    if (this.#oldLengthBytes === undefined) await this.#disk.remove(this.#file.path);
  }

  async #alone<Result>(action: () => Promise<Result>): Promise<Result> {
    assert(!this.#isBusy && !this.#isClosed, "calls follow each other, and none follows the last");
    assert(!this.#hasFailed, "after an error there is only abort");
    this.#isBusy = true;
    this.#hasFailed = true;
    try {
      const result = await action();
      this.#hasFailed = false;
      return result;
    } finally {
      this.#isBusy = false;
    }
  }

  #openFile(): OpenFile {
    assert(this.#open !== undefined, "a file is begun");
    return this.#open;
  }

  async #writeChunk(file: OpenFile): Promise<void> {
    const content = file.chunk.subarray(0, file.filledBytes);
    file.filledBytes = 0;
    await this.#makeRoom(storedMemberBytes(content.length));
    const target = this.#output.subarray(this.#outputEnd);
    const deflatedBytes =
      file.options.compression === "deflate" ? writeDeflatedMember(target, content) : 0;
    const memberBytes = deflatedBytes > 0 ? deflatedBytes : writeStoredMember(target, content);
    const crc = crc32c(target, 0, memberBytes);
    this.#addChunkRow({ position: this.#endPosition(), memberBytes, crc });
    this.#outputEnd += memberBytes;
  }

  #addChunkRow(place: { position: number; memberBytes: number; crc: number }): void {
    if (this.#chunkRows.length < (this.#chunkCount + 1) * CHUNK_ROW_BYTES) {
      const larger = new Uint8Array(
        Math.max(CHUNK_ROWS_MIN, 2 * this.#chunkCount) * CHUNK_ROW_BYTES,
      );
      larger.set(this.#chunkRows);
      this.#chunkRows = larger;
    }
    writeChunkPlace(this.#chunkRows, this.#chunkCount, place);
    this.#chunkCount += 1;
  }

  async #writePadding(sizeBytes: number): Promise<void> {
    const padding = tarPadding(sizeBytes);
    if (padding.length > 0) await this.#writeStored(padding);
  }

  /** @returns the member, valid until the next call. */
  async #writeStored(content: Uint8Array): Promise<Uint8Array> {
    await this.#makeRoom(storedMemberBytes(content.length));
    const start = this.#outputEnd;
    this.#outputEnd += writeStoredMember(this.#output.subarray(start), content);
    return this.#output.subarray(start, this.#outputEnd);
  }

  async #makeRoom(sizeBytes: number): Promise<void> {
    if (this.#outputEnd + sizeBytes <= this.#output.length) return;
    await this.#flush();
    if (sizeBytes > this.#output.length) this.#output = new Uint8Array(sizeBytes);
  }

  async #flush(): Promise<void> {
    await this.#file.write(this.#output.subarray(0, this.#outputEnd), this.#position);
    this.#position += this.#outputEnd;
    this.#outputEnd = 0;
  }

  /** Where the next member will be. */
  #endPosition(): number {
    return this.#position + this.#outputEnd;
  }
}
