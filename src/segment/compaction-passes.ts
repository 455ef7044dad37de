/**
 * Compaction in the merging Worker: the pieces of a partition are read once for the keys in them, and filtered on
 * their way into the new segment. One map at a time; what does not fit into it waits for the next compaction.
 */

import { assert } from "../core/assert.ts";
import type { KeptRange } from "../core/native-segments.ts";
import { batchesIn, readBatchHeader } from "../protocol/record-batch.ts";
import { addKeys, type FilterOptions, filterBatch } from "./compaction-filter.ts";
import { KeyOffsetMap } from "./key-offset-map.ts";
import type { CompactedPartition, PartitionCompaction } from "./merging-messages.ts";
import type { PartitionRange } from "./segment-facts.ts";

/** Of all partitions together; with more holes than this, a search index is made anew instead of merged. */
const KEPT_RANGES_MAX = 50_000;

/** The batches of one piece of a partition: some whole ones at a time, each valid until the next are asked for. */
export interface PartitionPiece {
  readonly range: PartitionRange;
  batches(): AsyncIterable<Uint8Array>;
}

/** What is known of a partition while it is compacted. */
interface Compacting {
  readonly compaction: PartitionCompaction;
  /** In the order of offsets. */
  readonly pieces: PartitionPiece[];
  readonly producerOffsets: ReadonlyMap<number, number>;
  compactedEnd: number;
}

/** The partitions that a merge compacts on its way. */
export class CompactionPasses {
  readonly #partitions = new Map<string, Compacting>();
  /** The map at hand, and whose it is. */
  #current: { readonly key: string; readonly options: FilterOptions } | undefined;

  constructor(compactions: readonly PartitionCompaction[]) {
    for (const compaction of compactions) {
      const { endOffset: compactedEnd, producers } = compaction;
      const producerOffsets = new Map<number, number>();
      for (let at = 0; at + 1 < producers.length; at += 2) {
        producerOffsets.set(producers[at] ?? 0, producers[at + 1] ?? 0);
      }
      const known = { compaction, pieces: [], producerOffsets, compactedEnd };
      this.#partitions.set(keyOf(compaction), known);
    }
  }

  /** Whether the range's partition is compacted. All its pieces must be told of before any is filtered. */
  isCompacted(range: PartitionRange): boolean {
    return this.#partitions.has(keyOf(range));
  }

  /** A piece that will be filtered, in any order. */
  add(piece: PartitionPiece): void {
    const { pieces } = this.#of(piece.range);
    pieces.push(piece);
    pieces.sort((one, other) => one.range.startOffset - other.range.startOffset);
  }

  /** What is left of the piece's batches; `kept` learns which offsets these are. */
  async *filtered(piece: PartitionPiece, kept?: KeptOffsets): AsyncGenerator<Uint8Array> {
    const options = await this.#optionsFor(piece.range);
    kept?.begin(piece.range);
    for await (const bytes of piece.batches()) {
      for (const [start, end] of batchesIn(bytes)) {
        const batch = bytes.subarray(start, end);
        const left = filterBatch(batch, options);
        kept?.remove(left.removedOffsets);
        if (left.bytes !== undefined) yield left.bytes;
      }
    }
    kept?.end(piece.range);
  }

  /** How far each partition is compacted now. */
  done(): readonly CompactedPartition[] {
    return [...this.#partitions.values()].map(({ compaction, compactedEnd: endOffset }) => {
      const { topicId, partition } = compaction;
      return { topicId, partition, endOffset };
    });
  }

  async #optionsFor(range: PartitionRange): Promise<FilterOptions> {
    const key = keyOf(range);
    if (this.#current?.key === key) return this.#current.options;
    this.#current = undefined;
    const { compaction, pieces, producerOffsets } = this.#of(range);
    const { nowMs, deleteRetentionMs, endOffset } = compaction;
    const map = await mapOf(pieces, compaction);
    const options = { map, endOffset, nowMs, deleteRetentionMs, producerOffsets };
    this.#of(range).compactedEnd = Math.min(endOffset, map.latestOffset + 1);
    this.#current = { key, options };
    return options;
  }

  #of(range: PartitionRange): Compacting {
    const known = this.#partitions.get(keyOf(range));
    assert(known !== undefined, "the partition is compacted");
    return known;
  }
}

/** The last offset of each key from `dirtyOffset` on, as far as there is room. */
async function mapOf(
  pieces: readonly PartitionPiece[],
  { dirtyOffset, endOffset, keyMapBytesMax }: PartitionCompaction,
): Promise<KeyOffsetMap> {
  const dirty = pieces.filter(
    ({ range }) => range.endOffset > dirtyOffset && range.startOffset < endOffset,
  );
  const recordCount = dirty.reduce((sum, { range }) => sum + range.recordCount, 0);
  const map = new KeyOffsetMap(recordCount, keyMapBytesMax);
  for (const piece of dirty) {
    for await (const bytes of piece.batches()) {
      for (const [start, end] of batchesIn(bytes)) {
        const { baseOffset, lastOffsetDelta } = readBatchHeader(bytes, start);
        if (baseOffset + lastOffsetDelta < dirtyOffset) continue;
        if (!addKeys(map, bytes.subarray(start, end), dirtyOffset)) return map;
      }
    }
  }
  return map;
}

/** Which offsets of the compacted partitions stay, as ranges that hold nothing that has gone. */
export class KeptOffsets {
  readonly #ranges: KeptRange[] = [];
  #startOffset = 0;
  #range: PartitionRange | undefined;

  /** Undefined if there are too many. */
  get ranges(): readonly KeptRange[] | undefined {
    return this.#ranges.length <= KEPT_RANGES_MAX ? this.#ranges : undefined;
  }

  begin(range: PartitionRange): void {
    this.#range = range;
    this.#startOffset = range.startOffset;
  }

  remove(offsets: readonly number[]): void {
    for (const offset of offsets) {
      this.#add(offset);
      this.#startOffset = offset + 1;
    }
  }

  end(range: PartitionRange): void {
    this.#add(range.endOffset);
    this.#range = undefined;
  }

  #add(endOffset: number): void {
    const range = this.#range;
    assert(range !== undefined, "offsets are of a range");
    if (endOffset <= this.#startOffset || this.#ranges.length > KEPT_RANGES_MAX) return;
    const { topicId, partition } = range;
    this.#ranges.push({ topicId, partition, startOffset: this.#startOffset, endOffset });
  }
}

function keyOf({ topicId, partition }: { topicId: string; partition: number }): string {
  return `${topicId}/${partition}`;
}
