/**
 * Reads the WAL's files beside the broker, for Workers: with descriptors of its own, every CRC checked, up to an
 * address that the main thread has announced as durable. It never writes.
 *
 * The main thread pins the files that a Worker may be reading. Should one be recycled all the same, its
 * groups don't pass the check, and the reader says that the file was freed.
 */

import { type Disk, DiskError, systemDisk } from "../core/disk.ts";
import { GroupScan, type WalEntry } from "./group-scan.ts";
import { openWalFile } from "./recovery.ts";
import { filePositionOf, fileSequenceOf, type WalAddress, walAddressOf } from "./wal-address.ts";
import { WalCorruptionError, WalFreedError } from "./wal-errors.ts";
import type { WalFile } from "./wal-files.ts";
import { BLOCK_BYTES, FILE_HEADER_BYTES, walFileName } from "./wal-format.ts";

const CHUNK_BYTES = 1024 * 1024;

export interface WalReaderOptions {
  /** The WAL's directory. */
  readonly directory: string;
  readonly disk?: Disk;
}

/** The entries of one group. Their bytes are views, valid until the next step. */
export interface WalChunk {
  readonly entries: readonly WalEntry[];
  /** Where to go on: a place that `entriesFrom` takes as its start without searching. */
  readonly endAddress: WalAddress;
}

/** A reader without state: each iteration opens what it reads. */
export class WalReader {
  readonly #directory: string;
  readonly #disk: Disk;

  constructor(options: WalReaderOptions) {
    this.#directory = options.directory;
    this.#disk = options.disk ?? systemDisk;
  }

  /**
   * The groups from the one that holds `address` on, to `endAddress` (a durable address). Groups without
   * entries are given too: they move `endAddress`.
   * @throws WalFreedError if the file of `address` is gone, WalCorruptionError, WalVersionError, DiskError
   */
  async *entriesFrom(
    address: WalAddress,
    endAddress: WalAddress,
  ): AsyncGenerator<WalChunk, void, void> {
    let next = address;
    while (next < endAddress) {
      const file = await this.#open(fileSequenceOf(next));
      try {
        yield* this.#chunksOf(file, filePositionOf(next), endAddress);
      } finally {
        await file.file?.close();
      }
      next = walAddressOf(file.sequence + 1, FILE_HEADER_BYTES);
    }
  }

  async *#chunksOf(
    file: WalFile,
    startPosition: number,
    endAddress: WalAddress,
  ): AsyncGenerator<WalChunk, void, void> {
    const fileAddress = walAddressOf(file.sequence, 0);
    const endPosition = Math.min(file.fileBytes, endAddress - fileAddress);
    if (startPosition >= endPosition) return;
    const scan = new GroupScan(file, { chunkBytes: CHUNK_BYTES, endPosition });
    try {
      let position = await startOfGroup(scan, startPosition);
      while (position < endPosition) {
        const group = await scan.groupAt(position);
        if (group === undefined) throw await this.#damageOf(file, position);
        const entries: WalEntry[] = [];
        scan.visitEntries(group, (entry) => entries.push(entry));
        yield { entries, endAddress: group.endAddress };
        position = group.nextPosition;
      }
    } finally {
      await scan.close();
    }
  }

  async #open(sequence: number): Promise<WalFile> {
    const path = `${this.#directory}/${walFileName(sequence)}`;
    try {
      return await openWalFile(this.#disk, path, sequence, "read");
    } catch (thrown) {
      const isGone = thrown instanceof DiskError && thrown.kind === "missing";
      throw isGone ? new WalFreedError(path) : thrown;
    }
  }

  /** Why a durable group can't be read: the file was recycled under us, or it is damaged. */
  async #damageOf(file: WalFile, position: number): Promise<Error> {
    const now = await this.#open(file.sequence);
    await now.file?.close();
    if (now.seed !== file.seed) return new WalFreedError(file.path);
    return new WalCorruptionError({ path: file.path, position }, "a durable group is damaged.");
  }
}

/** The start of the group that holds `position`, or of the one that comes next. */
async function startOfGroup(scan: GroupScan, position: number): Promise<number> {
  if (position <= FILE_HEADER_BYTES) return FILE_HEADER_BYTES;
  const isBlockStart = position % BLOCK_BYTES === 0;
  if (isBlockStart && (await scan.headerAt(position)) !== undefined) return position;
  let start = FILE_HEADER_BYTES;
  for (;;) {
    const header = await scan.headerAt(start);
    if (header === undefined || header.nextPosition > position) return start;
    start = header.nextPosition;
  }
}
