/** Segments as facts alone: an index of them that checks itself, and merges that touch no file. */

import { assert } from "../../src/core/assert.ts";
import type { LiveRanges, MergePlan } from "../../src/segment/merging-plan.ts";
import {
  compareRanges,
  type PartitionRange,
  type SegmentFacts,
} from "../../src/segment/segment-facts.ts";

interface Entry {
  readonly segmentId: string;
  readonly startOffset: number;
  readonly endOffset: number;
}

/** All registered segments. Every change is checked: ranges of a partition never overlap. */
export class ModelIndex implements LiveRanges {
  readonly segments = new Map<string, SegmentFacts>();
  /** By topic and partition, in the order of offsets. */
  readonly #entries = new Map<string, Entry[][]>();
  readonly #logStartOffsets = new Map<string, number[]>();
  readonly #deletedTopicIds = new Set<string>();

  apply(change: { added: readonly SegmentFacts[]; removedIds: readonly string[] }): void {
    for (const segmentId of change.removedIds) {
      const facts = this.segments.get(segmentId);
      this.segments.delete(segmentId);
      for (const range of facts?.ranges ?? []) this.#removeRange(range, segmentId);
    }
    for (const facts of change.added) {
      this.segments.set(facts.segmentId, facts);
      for (const range of facts.ranges) this.#addRange(range, facts.segmentId);
    }
  }

  rangeOf(topicId: string, partition: number, offset: number): Entry | undefined {
    if (this.#deletedTopicIds.has(topicId)) return undefined;
    const entries = this.#entriesOf(topicId, partition);
    return entries[placeOf(entries, Math.max(offset, this.logStartOffset(topicId, partition)))];
  }

  startOffset(topicId: string, partition: number): number {
    return this.logStartOffset(topicId, partition);
  }

  logStartOffset(topicId: string, partition: number): number {
    return this.#logStartOffsets.get(topicId)?.[partition] ?? 0;
  }

  deleteTopic(topicId: string): void {
    this.#deletedTopicIds.add(topicId);
  }

  setLogStartOffset(topicId: string, partition: number, offset: number): void {
    const offsets = this.#logStartOffsets.get(topicId) ?? [];
    offsets[partition] = offset;
    this.#logStartOffsets.set(topicId, offsets);
  }

  /** The live ranges of a partition, in the order of offsets. */
  ranges(topicId: string, partition: number): readonly Entry[] {
    const entries = this.#entriesOf(topicId, partition);
    const start = this.logStartOffset(topicId, partition);
    return this.#deletedTopicIds.has(topicId)
      ? []
      : entries.filter(({ endOffset }) => endOffset > start);
  }

  #addRange(range: PartitionRange, segmentId: string): void {
    const entries = this.#entriesOf(range.topicId, range.partition);
    const { startOffset, endOffset } = range;
    const place = placeOf(entries, startOffset);
    const next = entries[place];
    assert(next === undefined || next.startOffset >= endOffset, "ranges overlap");
    entries.splice(place, 0, { segmentId, startOffset, endOffset });
  }

  #removeRange(range: PartitionRange, segmentId: string): void {
    const entries = this.#entriesOf(range.topicId, range.partition);
    const place = placeOf(entries, range.startOffset);
    assert(entries[place]?.segmentId === segmentId, "a removed range was there");
    entries.splice(place, 1);
  }

  #entriesOf(topicId: string, partition: number): Entry[] {
    const partitions = this.#entries.get(topicId) ?? [];
    this.#entries.set(topicId, partitions);
    partitions[partition] ??= [];
    return partitions[partition] ?? [];
  }
}

/** The first entry that ends behind `offset`. */
function placeOf(entries: readonly Entry[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.endOffset ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a plan's outputs hold, if every batch of their pieces is copied. */
export function factsOfPlan(plan: MergePlan, createdMs: number): SegmentFacts[] {
  return plan.outputs.map(({ segmentId, level, startAddress, endAddress, pieces }) => {
    const ranges: PartitionRange[] = [];
    for (const { inputIndex, rangeIndex } of pieces) {
      const range = plan.inputs[inputIndex]?.ranges[rangeIndex];
      assert(range !== undefined, "a piece is a range of an input");
      const last = ranges.at(-1);
      if (last !== undefined && compareRanges(last, range) === 0) {
        assert(last.endOffset <= range.startOffset, "pieces are in the order of offsets");
        ranges[ranges.length - 1] = joined(last, range);
      } else {
        assert(last === undefined || compareRanges(last, range) < 0, "pieces are in order");
        ranges.push(range);
      }
    }
    const place = { lengthBytes: 0, startAddress, endAddress };
    return { segmentId, level, createdMs, ...place, searchIndex: null, ranges };
  });
}

function joined(one: PartitionRange, other: PartitionRange): PartitionRange {
  return {
    ...one,
    endOffset: other.endOffset,
    sizeBytes: one.sizeBytes + other.sizeBytes,
    batchCount: one.batchCount + other.batchCount,
    recordCount: one.recordCount + other.recordCount,
  };
}
