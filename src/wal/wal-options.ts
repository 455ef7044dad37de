/** What the WAL is given: its surroundings and limits, and batches. */

import type { Clock, Random } from "../core/clock.ts";
import type { Disk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import type { KafkaError } from "../protocol/errors.ts";
import type { WalEntry } from "./group-scan.ts";
import type { WalAddress } from "./wal-address.ts";

export interface WalOptions {
  readonly disk: Disk;
  /** Created if it is missing. Its owner holds the lock of the data directory. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A power of two, at least 16 KiB, that divides `fileBytes`; memory is taken as it is first used. */
  readonly slabBytes: number;
  /** A power of two. */
  readonly fileBytes: number;
  /** Of all files that hold entries. Batches leave the last file of it to metadata. */
  readonly walBytesMax: number;
  /** An append that nobody waits for is synced after this time. */
  readonly syncDelayMsMax: number;
  /** Called for every entry found at start, in WAL order. */
  readonly onEntry: (entry: WalEntry) => void;
  /** Called once, when the disk failed; everything waiting is then rejected and the broker must stop. */
  readonly onFailure: (failure: KafkaError) => void;
  /** The oldest address that a checkpoint still needs; 0 if there is none. */
  readonly startAddress?: WalAddress;
  /** Entries of older files need not be read at start: whoever needs them reads them later. Default 0. */
  readonly walkStart?: WalAddress;
  /** Of the disk, left to others; 0 asks nothing. Default 64 MiB. */
  readonly diskFreeBytesMin?: number;
  /** Told the time that each write and sync took together. */
  readonly onSync?: (latencyMs: number) => void;
  readonly random?: Random;
  /** Runs its argument when the events at hand have been taken in; `setImmediate` by default. */
  readonly defer?: (action: () => void) => void;
}

/** A batch on its way into the WAL: `bytes[start, end)`, of magic 2, with a valid CRC. */
export interface WalBatch {
  readonly topicIdBytes: Uint8Array;
  readonly partition: number;
  /** Written into the copy, as is the leader epoch. */
  readonly baseOffset: number;
  readonly leaderEpoch: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Sizes for the metrics; the first two count from the start of the process. */
export interface WalSizes {
  readonly appendedBytes: number;
  readonly durableBytes: number;
  readonly fileCount: number;
  readonly sizeBytes: number;
}
