/**
 * The records of several partitions as one sequence: of the next record of each partition, the one with the smallest
 * timestamp comes first; of equal ones, that of the lowest partition. So they are ordered by timestamp, but for
 * records out of order in their partition: those follow their predecessor at once. Offset order is always kept.
 *
 * The state of the sequence is the next offset of each partition and nothing else: whoever goes on from those offsets
 * sees each record once, whatever was added meanwhile.
 */

import {
  type OpenBatch,
  PartitionWalk,
  type WalkOptions,
  type WalkRange,
} from "./topic-records-walk.ts";

export interface MergeOptions extends Omit<WalkOptions, "readBytesMax"> {
  /** Of all partitions together; one batch may exceed it. */
  readonly heldBytesMax: number;
}

/** A record of the sequence. The batch's cursor stands at it until the next one is asked for. */
export interface MergedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly batch: OpenBatch;
}

const READ_BYTES_MAX = 1024 * 1024;
const READ_BYTES_MIN = 16 * 1024;

export class RecordMerge {
  readonly #walks: readonly PartitionWalk[];
  readonly #heldBytesMax: number;
  /** A heap of those that have a head: the first one comes next. */
  readonly #heap: PartitionWalk[] = [];
  /** What each walk holds that holds anything, the longest unused first. */
  readonly #held = new Map<PartitionWalk, number>();
  #heldBytes = 0;

  private constructor(ranges: readonly WalkRange[], options: MergeOptions) {
    const share = options.heldBytesMax / Math.max(1, ranges.length);
    const readBytesMax = Math.min(READ_BYTES_MAX, Math.max(READ_BYTES_MIN, share));
    this.#heldBytesMax = options.heldBytesMax;
    this.#walks = ranges.map((range) => new PartitionWalk(range, { ...options, readBytesMax }));
  }

  static async start(ranges: readonly WalkRange[], options: MergeOptions): Promise<RecordMerge> {
    const merge = new RecordMerge(ranges, options);
    for (const walk of merge.#walks) {
      if (await walk.start()) merge.#insert(walk);
      merge.#use(walk);
    }
    return merge;
  }

  /** The record that comes next, which stays where it is. */
  async peek(): Promise<MergedRecord | undefined> {
    for (;;) {
      const [walk] = this.#heap;
      if (walk === undefined) return undefined;
      const batch = await walk.head();
      this.#use(walk);
      const { partition, offset, timestampMs } = walk;
      if (batch !== undefined) return { partition, offset, timestampMs, batch };
      this.#removeFirst(); // Deleted since it was found.
    }
  }

  /** Goes behind the record that `peek` gave. */
  async skip(): Promise<void> {
    const [walk] = this.#heap;
    if (walk === undefined) return;
    if (await walk.next()) this.#sink(0);
    else this.#removeFirst();
    this.#use(walk);
  }

  /** By partition: where the sequence goes on. */
  positions(): Map<number, number> {
    return new Map(this.#walks.map(({ partition, offset }) => [partition, offset]));
  }

  /** Keeps the memory of all walks within its limit, at the cost of those that have not been used for longest. */
  #use(walk: PartitionWalk): void {
    this.#account(walk);
    for (const oldest of this.#held.keys()) {
      if (this.#heldBytes <= this.#heldBytesMax || oldest === walk) return;
      oldest.release();
      this.#account(oldest);
    }
  }

  #account(walk: PartitionWalk): void {
    this.#heldBytes += walk.heldBytes - (this.#held.get(walk) ?? 0);
    this.#held.delete(walk);
    if (walk.heldBytes > 0) this.#held.set(walk, walk.heldBytes);
  }

  #insert(walk: PartitionWalk): void {
    let index = this.#heap.push(walk) - 1;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex];
      if (parent === undefined || !isBefore(walk, parent)) break;
      this.#heap[index] = parent;
      index = parentIndex;
    }
    this.#heap[index] = walk;
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #sink(start: number): void {
    const walk = this.#heap[start];
    if (walk === undefined) return;
    let index = start;
    for (;;) {
      const [left, right] = [this.#heap[2 * index + 1], this.#heap[2 * index + 2]];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, walk)) break;
      this.#heap[index] = child;
      index = 2 * index + (isRight ? 2 : 1);
    }
    this.#heap[index] = walk;
  }
}

function isBefore(left: PartitionWalk, right: PartitionWalk): boolean {
  if (left.timestampMs !== right.timestampMs) return left.timestampMs < right.timestampMs;
  return left.partition < right.partition;
}
