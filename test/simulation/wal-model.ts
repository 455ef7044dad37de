/** Entries as a simulated history knows them: each has an id, and carries it in its bytes. */

import {
  readInt32At,
  readInt64At,
  writeInt32At,
  writeInt64At,
} from "../../src/protocol/big-endian.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PRODUCER_ID_OFFSET, writeCrc } from "../../src/protocol/record-batch.ts";
import type { WalEntry } from "../../src/wal/group-scan.ts";
import type { Wal } from "../../src/wal/wal.ts";
import type { WalReader } from "../../src/wal/wal-reader.ts";

const VALUE_SIZES = [1, 60, 400, 1000, 2500, 3900, 4030, 7000, 8000];
/** Batches of several sizes, without an id. */
export const TEMPLATES = VALUE_SIZES.map((valueBytes) => {
  const value = new Uint8Array(valueBytes).fill(9);
  return encodeBatch(
    batchOf([{ offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 }]),
  );
});

/** What happened, for the totals that show that the simulation does something. */
export interface HistoryCounts {
  runs: number;
  appended: number;
  recovered: number;
  cuts: number;
  corruptions: number;
  failures: number;
  refusals: number;
}

export function noCounts(): HistoryCounts {
  return {
    runs: 0,
    appended: 0,
    recovered: 0,
    cuts: 0,
    corruptions: 0,
    failures: 0,
    refusals: 0,
  };
}

/** An entry as the model knows it; its id is in its bytes. */
export interface Appended {
  readonly id: number;
  /** -1 for metadata. */
  readonly partition: number;
  readonly offset: number;
  readonly address: number;
}

/** A copy of `template` with `id` in it. */
export function batchWith(template: Uint8Array, id: number): Uint8Array {
  const batch = template.slice();
  writeInt64At(batch, PRODUCER_ID_OFFSET, id);
  writeCrc(batch, 0, batch.length);
  return batch;
}

/** All of `bytes`, as an append takes it. */
export function wholeOf(bytes: Uint8Array): { bytes: Uint8Array; start: number; end: number } {
  return { bytes, start: 0, end: bytes.length };
}

/** Metadata with `id` in it. */
export function metadataWith(id: number): Uint8Array {
  const payload = new Uint8Array(4 + (id % 700));
  writeInt32At(payload, 0, id);
  return payload;
}

/** Everything durable that `reader` finds. */
export async function modelsFrom(reader: WalReader, wal: Wal): Promise<Appended[]> {
  const found: Appended[] = [];
  for await (const chunk of reader.entriesFrom(wal.startAddress, wal.durableAddress)) {
    found.push(...chunk.entries.map(modelOf));
  }
  return found;
}

/** What was found, as the model knows it. */
export function modelOf(entry: WalEntry): Appended {
  const { partition, address, payload } = entry;
  const isMetadata = entry.kind === "metadata";
  const id = isMetadata ? readInt32At(payload, 0) : readInt64At(payload, PRODUCER_ID_OFFSET);
  return { id, partition, offset: isMetadata ? -1 : readInt64At(payload, 0), address };
}
