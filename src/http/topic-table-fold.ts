/**
 * The latest record of each key, for one page of a table: the first keys in byte order behind a given one. Memory is
 * bounded whatever the number of keys: when there are too many, the largest ones are let go, and from then on keys
 * beyond the largest that was kept (the *bound*) are not looked at. The next page begins there.
 *
 * Records come partition by partition, each in offset order. Within a partition the last record of a key counts, as
 * in compaction; of a key in several partitions the one with the latest timestamp, of equal ones that of the highest
 * partition. A record with a null value (a tombstone) deletes its key. It takes a place all the same, since what it
 * deletes may still come; so a page may hold fewer records than it may.
 */

/** A record that counts so far. */
export interface FoldedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  /** The record as it was stored, a copy, or its size if it is very large; undefined for a tombstone. */
  readonly stored: Uint8Array | number | undefined;
}

export interface FoldLimits {
  /** Keys of a page at most, deleted ones included. */
  readonly keysMax: number;
  /** Of all that is held, about; the first key may exceed it. */
  readonly heldBytesMax: number;
}

/** What a page holds. */
export interface FoldedPage {
  /** In the order of their keys; none of them is a tombstone. */
  readonly records: readonly (readonly [key: Uint8Array, record: FoldedRecord])[];
  /** The page has all keys up to this one; undefined if it is the last page. */
  readonly boundKey: Uint8Array | undefined;
}

interface Entry {
  /** Of the partition that came last. */
  current: FoldedRecord;
  /** The best of the partitions before that. */
  earlier: FoldedRecord | undefined;
}

/** What an entry takes beside its records' bytes and its key, about. */
const ENTRY_OVERHEAD_BYTES = 400;
/** Letting keys go costs a sort: it is done for many at a time. */
const SLACK_FACTOR = 2;

/** Keys are their bytes as Latin-1 text: the order of such texts is that of the bytes. */
export class TableFold {
  readonly #limits: FoldLimits;
  readonly #afterKey: string | undefined;
  readonly #entries = new Map<string, Entry>();
  #heldBytes = 0;
  /** Inclusive; undefined while no key was let go. */
  #boundKey: string | undefined;

  /** @param afterKey exclusive; undefined for the first page */
  constructor(limits: FoldLimits, afterKey: Uint8Array | undefined) {
    this.#limits = limits;
    this.#afterKey = afterKey && keyTextOf(afterKey);
  }

  /** Whether a record with this key counts for the page. */
  wants(key: string): boolean {
    if (this.#afterKey !== undefined && key <= this.#afterKey) return false;
    return this.#boundKey === undefined || key <= this.#boundKey;
  }

  /** Takes in a record whose key is wanted. */
  add(key: string, record: FoldedRecord): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { current: record, earlier: undefined });
      this.#heldBytes += ENTRY_OVERHEAD_BYTES + key.length + sizeBytesOf(record);
    } else {
      this.#heldBytes -= entrySizeBytes(entry);
      if (entry.current.partition !== record.partition) {
        entry.earlier = laterOf(entry.earlier, entry.current);
      }
      entry.current = record;
      this.#heldBytes += entrySizeBytes(entry);
    }
    const { keysMax, heldBytesMax } = this.#limits;
    const isOver = this.#heldBytes > heldBytesMax * SLACK_FACTOR;
    if (isOver || this.#entries.size > keysMax * SLACK_FACTOR) this.#trim();
  }

  /** What came of it all. */
  page(): FoldedPage {
    this.#trim();
    const keys = [...this.#entries.keys()].sort(byBytes);
    const records: [Uint8Array, FoldedRecord][] = [];
    for (const key of keys) {
      const entry = this.#entries.get(key);
      const record = entry && laterOf(entry.earlier, entry.current);
      if (record?.stored !== undefined) records.push([keyBytesOf(key), record]);
    }
    return {
      records,
      boundKey: this.#boundKey === undefined ? undefined : keyBytesOf(this.#boundKey),
    };
  }

  /** Lets the largest keys go until the rest is within the limits. */
  #trim(): void {
    const { keysMax, heldBytesMax } = this.#limits;
    if (this.#entries.size <= keysMax && this.#heldBytes <= heldBytesMax) return;
    const keys = [...this.#entries.keys()].sort(byBytes);
    let keptBytes = 0;
    let keptCount = 0;
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined) break;
      keptBytes += ENTRY_OVERHEAD_BYTES + key.length + entrySizeBytes(entry);
      const isOver = keptBytes > heldBytesMax || keptCount === keysMax;
      if (isOver && keptCount > 0) break;
      keptCount += 1;
    }
    if (keptCount === keys.length) return;
    this.#boundKey = keys[keptCount - 1];
    for (const key of keys.slice(keptCount)) {
      const entry = this.#entries.get(key);
      if (entry === undefined) continue;
      this.#heldBytes -= ENTRY_OVERHEAD_BYTES + key.length + entrySizeBytes(entry);
      this.#entries.delete(key);
    }
  }
}

/** A key as the fold knows it. */
export function keyTextOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function keyBytesOf(key: string): Uint8Array {
  return Buffer.from(key, "latin1");
}

function laterOf(earlier: FoldedRecord | undefined, current: FoldedRecord): FoldedRecord {
  if (earlier === undefined || current.timestampMs > earlier.timestampMs) return current;
  if (current.timestampMs < earlier.timestampMs) return earlier;
  return current.partition > earlier.partition ? current : earlier;
}

function entrySizeBytes({ current, earlier }: Entry): number {
  return sizeBytesOf(current) + (earlier === undefined ? 0 : sizeBytesOf(earlier));
}

function sizeBytesOf({ stored }: FoldedRecord): number {
  return stored instanceof Uint8Array ? stored.length : 0;
}

function byBytes(left: string, right: string): number {
  return left < right ? -1 : 1;
}
