/**
 * Says whether an entry may be appended now, must wait, or is refused. Three limits:
 *
 *   the slab: bytes that are not durable stay in it (waiting helps);
 *   the next file: it must lie on disk before batches go beyond the file in use (waiting helps, unless the
 *     disk is full: then batches are refused, and making the file is tried again from time to time);
 *   the size bound: only freeing files helps, so batches are refused.
 *
 * Batches leave a part of each limit to metadata.
 */

import type { Clock } from "../core/clock.ts";
import { DiskError } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Placement } from "./placement.ts";
import { WalFullError } from "./wal-errors.ts";
import type { WalFiles } from "./wal-files.ts";

/** Share of slab and file in use that only metadata may fill. */
const METADATA_SHARE = 1 / 16;
/** Between two attempts to make a file on a full disk. */
const PREPARE_RETRY_MS = 1000;

export interface WalRoomOptions {
  readonly files: WalFiles;
  readonly commit: GroupCommit;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly slabBytes: number;
  readonly fileBytes: number;
  readonly walBytesMax: number;
}

interface Waiter {
  readonly entryBytes: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** The gate before the WAL. */
export class WalRoom {
  readonly #options: WalRoomOptions;
  readonly #fileCountMax: number;
  readonly #slabBytesForBatches: number;
  readonly #fileBytesForMetadata: number;
  readonly #waiters: Waiter[] = [];
  #isPreparing = false;
  /** Why there is no next file, and since when; undefined while nothing is wrong. */
  #prepareFailure: { readonly reason: unknown; readonly monotonicMs: number } | undefined;

  constructor(options: WalRoomOptions) {
    this.#options = options;
    this.#fileCountMax = Math.floor(options.walBytesMax / options.fileBytes);
    this.#slabBytesForBatches = options.slabBytes * (1 - METADATA_SHARE);
    this.#fileBytesForMetadata = options.fileBytes * METADATA_SHARE;
  }

  /** Whether a batch's entry may be appended now. */
  isOpenForBatch(entryBytes: number): boolean {
    const end = this.#options.placement.endAfter(entryBytes);
    if (!this.#isSlabOpen(end, this.#slabBytesForBatches)) return false;
    if (!this.#needsNextFile(end)) return true;
    return this.#options.files.isNextPrepared && this.#mayAddFile(1);
  }

  /** @throws WalFullError if waiting does not help a batch's entry. */
  refuseBatch(entryBytes: number): void {
    if (!this.#needsNextFile(this.#options.placement.endAfter(entryBytes))) return;
    if (!this.#mayAddFile(1)) {
      throw new WalFullError(
        `The write-ahead log has reached its size bound of ${this.#options.walBytesMax} bytes.`,
      );
    }
    if (this.#options.files.isNextPrepared || this.#prepareFailure === undefined) return;
    this.#maybePrepare();
    const { reason } = this.#prepareFailure;
    throw new WalFullError(reason instanceof DiskError ? reason.message : String(reason));
  }

  /** @throws WalFullError if metadata of this size can't be appended. */
  refuseMetadata(entryBytes: number): void {
    const { placement, slabBytes, files } = this.#options;
    const end = placement.endAfter(entryBytes);
    if (!this.#isSlabOpen(end, slabBytes)) {
      throw new WalFullError("The disk is too slow: the write-ahead log's buffer is full.");
    }
    if (end <= placement.fileEnd || files.isNextPrepared) return;
    if (!this.#mayAddFile(0) || this.#prepareFailure !== undefined) {
      throw new WalFullError("The write-ahead log has no room left for metadata.");
    }
  }

  /** Resolves when a batch's entry may fit. @throws WalFullError */
  async waitForBatch(entryBytes: number): Promise<void> {
    this.refuseBatch(entryBytes);
    if (this.isOpenForBatch(entryBytes)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ entryBytes, resolve, reject });
    if (!this.#options.commit.isAllDurable) this.#options.commit.requestSync();
    this.#hurryNext(entryBytes);
    await promise;
  }

  /** Lets those go on who have room now, in order. */
  wake(): void {
    for (;;) {
      const waiter = this.#waiters[0];
      if (waiter === undefined) return;
      try {
        this.refuseBatch(waiter.entryBytes);
        if (!this.isOpenForBatch(waiter.entryBytes)) {
          this.#hurryNext(waiter.entryBytes);
          return;
        }
        waiter.resolve();
      } catch (thrown) {
        waiter.reject(thrown);
      }
      this.#waiters.shift();
    }
  }

  /** The WAL has failed or is closed: nobody gets room any more. */
  fail(reason: unknown): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
  }

  /** Makes the next file in time; cheap when there is nothing to do. */
  prepareNext(): void {
    if (this.#options.placement.isPastHalf) this.#maybePrepare();
  }

  /** Somebody waits: if it is for the next file, there is no time to lose. */
  #hurryNext(entryBytes: number): void {
    if (!this.#needsNextFile(this.#options.placement.endAfter(entryBytes))) return;
    this.#maybePrepare();
    this.#options.files.hurry();
  }

  #maybePrepare(): void {
    const { files, clock } = this.#options;
    if (this.#isPreparing || files.isNextPrepared || !this.#mayAddFile(0)) return;
    const failedMs = this.#prepareFailure?.monotonicMs ?? Number.NEGATIVE_INFINITY;
    if (clock.monotonicMs() < failedMs + PREPARE_RETRY_MS) return;
    this.#isPreparing = true;
    void this.#prepare(); // Never rejects.
  }

  async #prepare(): Promise<void> {
    const { files, clock, logger } = this.#options;
    try {
      await files.prepareNext();
      this.#prepareFailure = undefined;
    } catch (reason) {
      if (this.#prepareFailure === undefined) {
        logger.error("wal_file_not_prepared", { reason: String(reason) });
      }
      this.#prepareFailure = { reason, monotonicMs: clock.monotonicMs() };
    } finally {
      this.#isPreparing = false;
    }
    this.wake();
  }

  #isSlabOpen(end: number, bytesMax: number): boolean {
    const { commit, placement } = this.#options;
    return commit.isAllDurable || end - placement.linearOf(commit.durableAddress) <= bytesMax;
  }

  #needsNextFile(end: number): boolean {
    const { placement, files } = this.#options;
    const keptBytes = files.isNextPrepared ? 0 : this.#fileBytesForMetadata;
    return end > placement.fileEnd - keptBytes;
  }

  #mayAddFile(keptCount: number): boolean {
    return this.#options.files.fileCount + 1 <= this.#fileCountMax - keptCount;
  }
}
