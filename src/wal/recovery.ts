/**
 * Reads the WAL back at start. Groups are followed from the first file on that is needed; where the chain ends,
 * there are two cases:
 *
 *   the torn tail: nothing written later says that this place was durable. It is cut, and reported.
 *   corruption: a group behind it says so. The broker must not start; nothing is changed on disk.
 *
 * What no group calls durable yet is written once more before the caller syncs it: after a failed sync the
 * system's cache may show bytes that never reached the disk.
 */

import { type Disk, DiskError, type DiskFile } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import { GroupScan, type ScannedGroup, type WalEntry } from "./group-scan.ts";
import { fileSequenceOf, type WalAddress, walAddressOf } from "./wal-address.ts";
import { WalCorruptionError } from "./wal-errors.ts";
import { describeWalFile, isSpareName, isUnfinishedName, type WalFile } from "./wal-files.ts";
import {
  BLOCK_BYTES,
  blockEndOf,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  GROUP_HEADER_BYTES,
  GroupFlag,
  type GroupHeader,
  sequenceOfName,
  walFileName,
} from "./wal-format.ts";

const REWRITE_CHUNK_BYTES = 1024 * 1024;

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly logger: Logger;
  /** The oldest address that somebody still needs; its file must be there. */
  readonly startAddress: WalAddress;
  /** Of the files before that of this address only the last is walked. Default 0. */
  readonly walkStart?: WalAddress;
  /** Called for every entry in WAL order. */
  readonly onEntry: (entry: WalEntry) => void;
}

/** What recovery found. */
export interface RecoverySummary {
  /** The last run closed the WAL, and nothing was cut. True for a new WAL. */
  readonly isClean: boolean;
  readonly entryCount: number;
  readonly recoveredBytes: number;
  /** Of groups that were never durable. */
  readonly cutBytes: number;
  /** How often the WAL has been opened before. */
  readonly runNumber: number;
}

export interface RecoveredWal extends RecoverySummary {
  /** Open, in order; the last one is where the log goes on. Empty for a new WAL. */
  readonly files: readonly WalFile[];
  /** The file after the last one, if it was made already. */
  readonly prepared: WalFile | undefined;
  /** Paths of freed files. */
  readonly spares: readonly string[];
  /** In the last file: where the next group goes. */
  readonly endPosition: number;
  readonly previousCrc: number;
}

/** What the WAL in a directory holds, as a start would find it. */
export interface WalSummary extends RecoverySummary {
  readonly fileCount: number;
  /** Exclusive end of what is in it. */
  readonly endAddress: WalAddress;
}

/** Where the walk stands. */
interface Walk {
  previousCrc: number | undefined;
  provenAddress: WalAddress;
  last: ScannedGroup | undefined;
  entryCount: number;
  recoveredBytes: number;
}

interface FoundFiles {
  readonly files: WalFile[];
  readonly spares: string[];
}

/**
 * Reads the WAL in `directory`.
 * @throws WalCorruptionError, WalVersionError, DiskError
 */
export async function recoverWal(options: RecoveryOptions): Promise<RecoveredWal> {
  const { files, spares } = await findFiles(options, "readWrite");
  const { walk, endIndex, endPosition } = await walkFiles(files, options);
  const cutBytes = await cutTail({ files, endIndex, endPosition }, options.logger);
  await rewriteUnproven(files.slice(0, endIndex + 1), walk.provenAddress, endPosition);
  await removeBeyond(options, files, endIndex + 1);
  return {
    ...summaryOf(walk, cutBytes),
    files: files.slice(0, endIndex + 1),
    prepared: files[endIndex + 1],
    spares,
    endPosition,
    previousCrc: walk.previousCrc ?? 0,
  };
}

/**
 * Reads the WAL in `directory` as `recoverWal` does, and changes nothing.
 * @throws WalCorruptionError, WalVersionError, DiskError
 */
export async function inspectWal(options: RecoveryOptions): Promise<WalSummary> {
  const { files } = await findFiles(options, "read");
  try {
    const { walk, endIndex, endPosition } = await walkFiles(files, options);
    const cutBytes = await cutTail({ files, endIndex, endPosition }, options.logger);
    const endAddress = walAddressOf(files[endIndex]?.sequence ?? 0, endPosition);
    return { ...summaryOf(walk, cutBytes), fileCount: endIndex + 1, endAddress };
  } finally {
    for (const { file } of files) await file?.close();
  }
}

/** Follows the chain from the file before that of `walkStart` on, to where it ends. */
async function walkFiles(
  files: readonly WalFile[],
  { walkStart = 0, onEntry }: Pick<RecoveryOptions, "walkStart" | "onEntry">,
) {
  const walk: Walk = {
    previousCrc: undefined,
    provenAddress: 0,
    last: undefined,
    entryCount: 0,
    recoveredBytes: 0,
  };
  let endPosition = FILE_HEADER_BYTES;
  let endIndex = 0;
  // From the file before that one: the log may have ended where a file begins.
  const isBefore = ({ sequence }: WalFile) => sequence < fileSequenceOf(walkStart);
  const firstIndex = Math.max(0, files.findLastIndex(isBefore));
  for (const [index, file] of files.entries()) {
    if (index < firstIndex) continue;
    endIndex = index;
    endPosition = await walkFile(file, walk, onEntry);
    if (endPosition < file.fileBytes) break;
  }
  return { walk, endIndex, endPosition };
}

function summaryOf(walk: Walk, cutBytes: number): RecoverySummary {
  const isClosed = walk.last === undefined || (walk.last.flags & GroupFlag.closed) !== 0;
  return {
    isClean: isClosed && cutBytes === 0,
    entryCount: walk.entryCount,
    recoveredBytes: walk.recoveredBytes,
    cutBytes,
    runNumber: walk.last?.runNumber ?? 0,
  };
}

async function findFiles(
  options: RecoveryOptions,
  mode: "read" | "readWrite",
): Promise<FoundFiles> {
  const { disk, directory, startAddress } = options;
  const files: WalFile[] = [];
  const spares: string[] = [];
  for (const name of await disk.list(directory)) {
    const path = `${directory}/${name}`;
    const sequence = sequenceOfName(name);
    if (isUnfinishedName(name)) {
      if (mode === "readWrite") await disk.remove(path);
    } else if (isSpareName(name)) spares.push(path);
    else if (sequence !== undefined) files.push(await openWalFile(disk, path, sequence, mode));
  }
  // A process that died after a rename has left a name that a power cut would still take back.
  if (files.length > 0 && mode === "readWrite") await disk.syncDirectory(directory);
  const first = files[0];
  if (startAddress > 0 && (first === undefined || first.sequence > fileSequenceOf(startAddress))) {
    const path = `${directory}/${walFileName(fileSequenceOf(startAddress))}`;
    throw new WalCorruptionError({ path, position: 0 }, "the file is missing.");
  }
  for (const [index, file] of files.entries()) {
    const expected = (first?.sequence ?? 0) + index;
    if (file.sequence === expected) continue;
    const path = `${directory}/${walFileName(expected)}`;
    throw new WalCorruptionError({ path, position: 0 }, "the file is missing.");
  }
  return { files, spares };
}

/** Opens a WAL file and reads its header. @throws WalCorruptionError, WalVersionError, DiskError */
export async function openWalFile(
  disk: Disk,
  path: string,
  sequence: number,
  mode: "read" | "readWrite" = "readWrite",
): Promise<WalFile> {
  const file = await disk.open(path, mode);
  const block = new Uint8Array(FILE_HEADER_BYTES);
  const readBytes = await file.read(block, 0);
  const header = decodeFileHeader(block.subarray(0, readBytes), path);
  if (header.sequence !== sequence) {
    throw new WalCorruptionError({ path, position: 0 }, "it is another file under this name.");
  }
  const described = describeWalFile(header, path);
  described.file = file;
  return described;
}

/** Follows the chain through one file. @returns where it ends: at the file's size if it goes on in the next. */
async function walkFile(
  file: WalFile,
  walk: Walk,
  onEntry: (entry: WalEntry) => void,
): Promise<number> {
  const scan = new GroupScan(file);
  let position = FILE_HEADER_BYTES;
  try {
    while (position < file.fileBytes) {
      const group = await scan.groupAt(position);
      if (group === undefined) break;
      if (walk.previousCrc !== undefined && group.previousCrc !== walk.previousCrc) break;
      walk.previousCrc = group.crc;
      walk.last = group;
      walk.provenAddress = group.durableAddress;
      walk.entryCount += group.entryCount;
      walk.recoveredBytes += group.lengthBytes;
      scan.visitEntries(group, onEntry);
      position = group.nextPosition;
    }
    return position;
  } finally {
    await scan.close();
  }
}

/** Where the chain ended. */
interface ChainEnd {
  readonly files: readonly WalFile[];
  readonly endIndex: number;
  readonly endPosition: number;
}

/**
 * Looks at everything behind the end of the chain.
 * @returns the bytes of groups that were never durable @throws WalCorruptionError if durable ones are behind it
 */
async function cutTail(end: ChainEnd, logger: Logger): Promise<number> {
  const { files, endIndex, endPosition } = end;
  const endFile = files[endIndex];
  if (endFile === undefined) return 0;
  const endAddress = walAddressOf(endFile.sequence, endPosition);
  const refuseClaim = (file: WalFile, header: GroupHeader): void => {
    if (header.durableAddress <= endAddress) return;
    const claim = `the group at position ${header.position} of ${file.path}`;
    throw new WalCorruptionError(
      { path: endFile.path, position: endPosition },
      `${claim} was written when this place was durable.`,
    );
  };
  let cutEnd = endPosition;
  for (const file of files.slice(endIndex)) {
    const scan = new GroupScan(file);
    try {
      let position = FILE_HEADER_BYTES;
      if (file === endFile) {
        // Entries without an intact header before them were a group too.
        const entriesEnd = await scan.intactEntriesEnd(endPosition);
        if (entriesEnd > endPosition + GROUP_HEADER_BYTES) cutEnd = blockEndOf(entriesEnd);
        position = endPosition;
      }
      for (;;) {
        const header = await scan.nextHeaderFrom(position);
        if (header === undefined) break;
        refuseClaim(file, header);
        const groupEnd = blockEndOf(header.position + header.lengthBytes);
        if (file === endFile) cutEnd = Math.max(cutEnd, groupEnd);
        position = header.position + BLOCK_BYTES;
      }
    } finally {
      await scan.close();
    }
  }
  const cutBytes = cutEnd - endPosition;
  if (cutBytes > 0) {
    logger.warn("wal_tail_cut", { path: endFile.path, position: endPosition, cutBytes });
  }
  return cutBytes;
}

/** Removes the files behind the prepared one: all of them are empty. */
async function removeBeyond(
  { disk, directory }: RecoveryOptions,
  files: readonly WalFile[],
  preparedIndex: number,
): Promise<void> {
  for (let index = files.length - 1; index > preparedIndex; index -= 1) {
    const file = files[index];
    await file?.file?.close();
    if (file !== undefined) await disk.remove(file.path);
    await disk.syncDirectory(directory);
  }
}

/** Writes again what lies between the proven and the found end, so that the next sync covers it. */
async function rewriteUnproven(
  files: readonly WalFile[],
  provenAddress: WalAddress,
  endPosition: number,
): Promise<void> {
  const last = files.at(-1);
  for (const walFile of files) {
    const { sequence, fileBytes, file } = walFile;
    const start = Math.max(walAddressOf(sequence, FILE_HEADER_BYTES), provenAddress);
    const end = walAddressOf(sequence, walFile === last ? endPosition : fileBytes);
    if (start >= end || file === undefined) continue;
    await rewrite(file, start - walAddressOf(sequence, 0), end - walAddressOf(sequence, 0));
    await file.sync();
  }
}

async function rewrite(file: DiskFile, start: number, end: number): Promise<void> {
  const chunk = new Uint8Array(Math.min(end - start, REWRITE_CHUNK_BYTES));
  for (let position = start; position < end; position += chunk.length) {
    const bytes = chunk.subarray(0, Math.min(chunk.length, end - position));
    const readBytes = await file.read(bytes, position);
    if (readBytes < bytes.length) throw new DiskError("failed", file.path, "it is cut short");
    await file.write(bytes, position);
  }
}
