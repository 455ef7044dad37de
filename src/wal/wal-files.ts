/**
 * The files of the WAL: the ones that hold entries, the next one prepared in time, and freed ones kept for
 * reuse. A name `<sequence>.wal` exists only for a file whose header is on disk: new files get theirs under
 * another name first.
 *
 * A pinned file is being read: it is freed only when the last pin is gone.
 */

import { assert } from "../core/assert.ts";
import type { Clock, Random } from "../core/clock.ts";
import { type Disk, DiskError, type DiskFile } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import { WalFreedError } from "./wal-errors.ts";
import {
  encodeFileHeader,
  FILE_HEADER_BYTES,
  seedOf,
  type WalFileHeader,
  walFileName,
} from "./wal-format.ts";
import { ZeroFill } from "./zero-fill.ts";

/** Freed files that wait for reuse; more are deleted. */
const SPARE_FILES_MAX = 2;
const SPARE_SUFFIX = ".free";
const NEW_NAME = "new.tmp";

/** One file. `file` is undefined until it is prepared. */
export interface WalFile {
  readonly sequence: number;
  readonly fileBytes: number;
  /** What its CRCs start from. */
  readonly seed: number;
  readonly header: WalFileHeader;
  readonly path: string;
  file: DiskFile | undefined;
  pinCount: number;
}

export interface WalFilesOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly fileBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Of the disk, left to others: below it no file is prepared. */
  readonly diskFreeBytesMin: number;
  /** Bytes that the log has grown by so far. */
  readonly grownBytes: () => number;
}

/** What lies in the directory at start. */
export interface FoundWalFiles {
  /** Open, in order and without a gap; the last one may have no entries. */
  readonly files: readonly WalFile[];
  /** The file after them, empty and open, if it was made already. */
  readonly prepared: WalFile | undefined;
  /** Paths of freed files. */
  readonly spares: readonly string[];
}

/** The owner of the WAL's directory. */
export class WalFiles {
  readonly #options: WalFilesOptions;
  readonly #files = new Map<number, WalFile>();
  readonly #spares: string[] = [];
  readonly #zeroFill: ZeroFill;
  #first = 1;
  /** Files below it are no longer needed and go as soon as nobody reads them. */
  #firstNeeded = 1;
  #last = 0;
  #next: WalFile | undefined;
  #preparing: Promise<void> | undefined;
  #freeing: Promise<void> = Promise.resolve();

  constructor(options: WalFilesOptions, found: FoundWalFiles) {
    this.#options = options;
    this.#zeroFill = new ZeroFill(options);
    for (const file of found.files) this.#files.set(file.sequence, file);
    this.#first = found.files[0]?.sequence ?? 1;
    this.#firstNeeded = this.#first;
    this.#last = found.files.at(-1)?.sequence ?? this.#first - 1;
    this.#next = found.prepared;
    this.#spares.push(...found.spares);
  }

  /** Sequence of the oldest file. */
  get firstSequence(): number {
    return this.#first;
  }

  /** Sequence of the file in use. */
  get lastSequence(): number {
    return this.#last;
  }

  /** Files that hold entries or may; a prepared one is not counted. */
  get fileCount(): number {
    return this.#files.size;
  }

  /** Bytes that the files take on disk once full, spares and a prepared one included. */
  get sizeBytes(): number {
    let total = this.#next?.fileBytes ?? 0;
    for (const file of this.#files.values()) total += file.fileBytes;
    return total + this.#spares.length * this.#options.fileBytes;
  }

  /** Whether `takeNext` gives a file that is on disk already. */
  get isNextPrepared(): boolean {
    return this.#next?.file !== undefined;
  }

  /** The file that holds `sequence`. @throws WalFreedError if it is gone. */
  file(sequence: number): WalFile {
    const file = this.#files.get(sequence);
    if (file === undefined) throw new WalFreedError(this.#pathOf(sequence));
    return file;
  }

  /**
   * Makes the next file, or first one in use that is not made yet; one preparation runs at a time.
   * @throws DiskError "full" if the disk has no room for it; calling again tries again.
   */
  prepareNext(): Promise<void> {
    if (this.#preparing !== undefined) return this.#preparing;
    // Files are made in order: a crash must not leave a gap between them.
    for (const file of this.#files.values()) {
      if (file.file === undefined) return this.#startPreparing(file);
    }
    const next = this.#describeNext();
    if (next.file !== undefined) return Promise.resolve();
    this.#zeroFill.takeTime();
    return this.#startPreparing(next);
  }

  /** Somebody waits for the next file: it is handed over as it is. */
  hurry(): void {
    this.#zeroFill.hurry();
  }

  /** Moves on to the next file. It may still have to be prepared: see `opened`. */
  takeNext(): WalFile {
    const next = this.#describeNext();
    this.#files.set(next.sequence, next);
    this.#last = next.sequence;
    // A preparation under way goes on and fills in `next.file`.
    this.#next = undefined;
    return next;
  }

  /** The descriptor of `file`, once it is prepared. */
  async opened(file: WalFile): Promise<DiskFile> {
    if (file.file !== undefined) return file.file;
    this.hurry();
    for (;;) {
      if (file.file !== undefined) return file.file;
      // What is under way may be this file or another; if it fails, this file gets a try of its own.
      if (this.#preparing === undefined) await this.#startPreparing(file);
      else await this.#preparing.catch(() => {});
    }
  }

  /** Keeps the file of `sequence` from being freed until the result is called. */
  pin(sequence: number): () => void {
    const file = this.file(sequence);
    file.pinCount += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      file.pinCount -= 1;
      if (file.sequence < this.#firstNeeded) void this.#startFreeing();
    };
  }

  /** Frees the files before `sequence`, oldest first, as soon as they are not pinned. */
  release(sequence: number): Promise<void> {
    assert(sequence <= this.#last, "the file in use is never freed");
    this.#firstNeeded = Math.max(this.#firstNeeded, sequence);
    return this.#startFreeing();
  }

  /** Waits for work under way and closes every file. */
  async close(): Promise<void> {
    this.hurry();
    await this.#preparing?.catch(() => {});
    await this.#freeing;
    const next = this.#next === undefined ? [] : [this.#next];
    for (const file of [...this.#files.values(), ...next]) await file.file?.close();
    this.#files.clear();
  }

  #describeNext(): WalFile {
    const { clock, random, fileBytes } = this.#options;
    if (this.#next !== undefined) return this.#next;
    const sequence = this.#last + 1;
    const salt = [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)] as const;
    const header = { sequence, fileBytes, salt, createdMs: clock.nowMs() };
    this.#next = describeWalFile(header, this.#pathOf(sequence));
    return this.#next;
  }

  #startPreparing(target: WalFile): Promise<void> {
    assert(this.#preparing === undefined, "one file is prepared at a time");
    this.#preparing = this.#prepare(target).finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  async #prepare(target: WalFile): Promise<void> {
    const { disk, directory, fileBytes, diskFreeBytesMin } = this.#options;
    const spare = this.#spares.shift();
    if (spare === undefined && diskFreeBytesMin > 0) {
      // What the file in use has not written yet needs room too.
      const freeBytes = await disk.freeBytes(directory);
      if (freeBytes < 2 * fileBytes + diskFreeBytesMin) throw new DiskError("full", directory);
    }
    const newPath = spare ?? `${directory}/${NEW_NAME}`;
    const file =
      spare === undefined
        ? await disk.create(newPath, fileBytes)
        : await disk.open(newPath, "readWrite");
    await file.writeDurably(encodeFileHeader(target.header), 0);
    // The very first file is wanted at once.
    if (spare === undefined && this.#files.size > 0) {
      await this.#zeroFill.fill(file, { start: FILE_HEADER_BYTES, end: fileBytes });
    }
    await disk.rename({ from: newPath, to: target.path });
    await disk.syncDirectory(directory);
    target.file = file;
  }

  #startFreeing(): Promise<void> {
    this.#freeing = this.#freeing.then(() => this.#freeAll());
    return this.#freeing;
  }

  /** Never rejects: what could not be freed is told, and stays. */
  async #freeAll(): Promise<void> {
    const { disk, directory, logger } = this.#options;
    for (;;) {
      const file = this.#files.get(this.#first);
      if (file === undefined || file.sequence >= this.#firstNeeded || file.pinCount > 0) return;
      this.#files.delete(file.sequence);
      this.#first += 1;
      try {
        await file.file?.close();
        await this.#free(file);
        // One name at a time: a crash never leaves a gap between the files.
        await disk.syncDirectory(directory);
      } catch (thrown) {
        logger.warn("wal_file_not_freed", { path: file.path, reason: String(thrown) });
      }
    }
  }

  async #free(file: WalFile): Promise<void> {
    const { disk, fileBytes } = this.#options;
    if (file.fileBytes !== fileBytes || this.#spares.length >= SPARE_FILES_MAX) {
      await disk.remove(file.path);
      return;
    }
    const spare = `${file.path}${SPARE_SUFFIX}`;
    await disk.rename({ from: file.path, to: spare });
    this.#spares.push(spare);
  }

  #pathOf(sequence: number): string {
    return `${this.#options.directory}/${walFileName(sequence)}`;
  }
}

/** A file that is not open yet. */
export function describeWalFile(header: WalFileHeader, path: string): WalFile {
  const { sequence, fileBytes } = header;
  return { sequence, fileBytes, seed: seedOf(header), header, path, file: undefined, pinCount: 0 };
}

/** Whether a name in the directory is a freed file. */
export function isSpareName(name: string): boolean {
  return name.endsWith(SPARE_SUFFIX);
}

/** Whether a name in the directory is a file whose making was cut off. */
export function isUnfinishedName(name: string): boolean {
  return name === NEW_NAME;
}
