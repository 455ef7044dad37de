/** What the WAL's tests share: a WAL in a temporary directory, and batches to put into it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import type { WalEntry } from "../../src/wal/group-scan.ts";
import { Wal } from "../../src/wal/wal.ts";
import type { WalOptions } from "../../src/wal/wal-options.ts";

export const TOPIC_ID = Uint8Array.from({ length: 16 }, (_, index) => index + 1);

/** An entry whose bytes outlive the call that gave it. */
export interface KeptEntry extends WalEntry {
  readonly payload: Uint8Array;
}

/** A WAL with small files, and the entries that it found when it was opened. */
export interface OpenedWal {
  readonly wal: Wal;
  readonly entries: readonly KeptEntry[];
  readonly failures: readonly Error[];
}

/** Opens the WAL in `directory` with a slab of 16 KiB and files of 64 KiB. */
export async function openWal(
  directory: string,
  changes: Partial<WalOptions> = {},
): Promise<OpenedWal> {
  const entries: KeptEntry[] = [];
  const failures: Error[] = [];
  const wal = await Wal.open({
    disk: systemDisk,
    directory,
    clock: systemClock,
    logger: silentLogger,
    slabBytes: 16 * 1024,
    fileBytes: 64 * 1024,
    walBytesMax: 16 * 1024 * 1024,
    syncDelayMsMax: 10,
    diskFreeBytesMin: 0,
    onEntry: (entry) => entries.push(keptEntryOf(entry)),
    onFailure: (failure) => failures.push(failure),
    ...changes,
  });
  return { wal, entries, failures };
}

export function keptEntryOf(entry: WalEntry): KeptEntry {
  return { ...entry, payload: entry.payload.slice(), topicIdBytes: entry.topicIdBytes.slice() };
}

/** A batch of one record whose value has `valueBytes` bytes that depend on `seed`. */
export function batchWith(valueBytes: number, seed = 0): Uint8Array {
  const value = new Uint8Array(valueBytes).map((_, index) => (index * 31 + seed * 7) & 0xff);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  return encodeBatch(batchOf([record]));
}

/** Appends a batch, waiting for room. @returns its address */
export async function appendBatch(
  wal: Wal,
  batch: Uint8Array,
  fields: { readonly partition?: number; readonly baseOffset?: number } = {},
): Promise<number> {
  while (!wal.hasRoom(batch.length)) await wal.whenRoom(batch.length);
  const { partition = 0, baseOffset = 0 } = fields;
  const { length: end } = batch;
  return wal.appendBatch({
    topicIdBytes: TOPIC_ID,
    partition,
    baseOffset,
    leaderEpoch: 3,
    bytes: batch,
    start: 0,
    end,
  });
}

/** Runs `use` with a new directory and removes it. */
export async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-wal-"));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
