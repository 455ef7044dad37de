/**
 * What the Rust shim does for the indexes of segments: it reads them in archives by range, through a cache of the
 * process, and merges them with a choice of records.
 */

import { type FrozenStats, nativeJson, nativeNumber, OpenedIndex } from "./native.ts";

/** Which records `mergeIndexes` keeps; of `ranges`, start inclusive, end exclusive. */
export type KeptRecords =
  | { readonly kind: "all" }
  | { readonly kind: "topics" | "excludedTopics"; readonly topicIds: readonly string[] }
  | { readonly kind: "ranges"; readonly ranges: readonly KeptRange[] };

export interface KeptRange {
  readonly topicId: string;
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
}

export interface MergedStats extends FrozenStats {
  /** Topics that have records in it, sorted. */
  readonly topicIds: readonly string[];
}

/** Of all archives of this process together. */
export interface ArchiveStats {
  /** Read from their files since the process started. */
  readonly bytesRead: number;
  readonly cacheBytes: number;
  readonly cacheBytesMax: number;
}

/**
 * Opens the index in the archive of `lengthBytes` at `path`. It is read by range as searches need it; the file
 * stays open, and may be removed meanwhile. With `isVerified` all of it is read and compared with its checksums.
 * @throws NativeError if there is none, or it is damaged or of another schema.
 */
export function openArchivedIndex(archive: {
  readonly path: string;
  readonly lengthBytes: number;
  readonly isVerified?: boolean;
}): OpenedIndex {
  return new OpenedIndex(nativeNumber("chronik_index_open_archived", archive));
}

/**
 * Writes the committed records of `sources` (numbers) that are to be kept to a new directory, as one segment,
 * synced; nothing is written if there are none. The indexes stay open.
 * @throws NativeError if the directory exists.
 */
export function mergeIndexes(request: {
  readonly sources: readonly number[];
  readonly directory: string;
  readonly keep: KeptRecords;
}): MergedStats {
  return nativeJson("chronik_index_merge", request);
}

/** What was read from archives by range, and what is kept of it in memory. */
export function archiveStats(): ArchiveStats {
  return nativeJson("chronik_archive_stats", {});
}

/** Sets how much of what was read from archives is kept in memory, for the whole process; 32 MiB unless set. */
export function setArchiveCacheBytes(bytesMax: number): void {
  nativeNumber("chronik_archive_set_cache", { bytesMax });
}
