/** What the main thread and the merging Worker tell each other. */

import { assert } from "../core/assert.ts";
import type { BusyCell } from "../core/client-traffic.ts";
import type { MergePiece, MergePlan } from "./merging-plan.ts";
import type { SegmentFacts } from "./segment-facts.ts";

/** A segment that is read. It stays where it is until the answer is there. */
export interface MergeInput {
  readonly segmentId: string;
  readonly lengthBytes: number;
  /** Of its search index, 0 if it needs none; null if it has none yet. */
  readonly documentCount: number | null;
}

/** A segment that is written. */
export interface MergeOutput {
  readonly segmentId: string;
  readonly level: number;
  readonly startAddress: number;
  readonly endAddress: number;
  /** By topic, partition and offset, see `encodePieces`. */
  readonly pieces: Float64Array<ArrayBuffer>;
  /** Whether it gets a search index. */
  readonly isIndexed: boolean;
}

/** A partition that is compacted on the way, up to `endOffset` at most. */
export interface PartitionCompaction {
  readonly topicId: string;
  readonly partition: number;
  /** Below it everything is compacted already. */
  readonly dirtyOffset: number;
  /** Exclusive. All of the partition before it is among the pieces. */
  readonly endOffset: number;
  readonly nowMs: number;
  readonly deleteRetentionMs: number;
  readonly keyMapBytesMax: number;
  /** Producer ids, each with the last offset that it wrote. */
  readonly producers: Float64Array<ArrayBuffer>;
}

/** How far a partition is compacted. */
export interface CompactedPartition {
  readonly topicId: string;
  readonly partition: number;
  /** Exclusive. */
  readonly endOffset: number;
}

/** Copies what the pieces name from the inputs to the outputs. */
export interface MergeCommand {
  readonly kind: "merge";
  /** The merge pauses while clients are busy; without it, never. */
  readonly busy?: BusyCell;
  /** Of the segments. */
  readonly directory: string;
  readonly createdMs: number;
  readonly inputs: readonly MergeInput[];
  readonly outputs: readonly MergeOutput[];
  readonly compactions: readonly PartitionCompaction[];
}

export interface MergedSegments {
  readonly segments: readonly SegmentFacts[];
  /** Why they have no search index, where all inputs had one. */
  readonly indexFault?: string;
  readonly compacted: readonly CompactedPartition[];
}

export type MergeReport =
  | ({ readonly kind: "merged" } & MergedSegments)
  /** Nothing is left of the attempt. */
  | { readonly kind: "failed"; readonly reason: string };

const NUMBERS_PER_PIECE = 3;

/** What a command says beyond its plan. */
interface CommandOptions {
  readonly directory: string;
  readonly createdMs: number;
  /** Whether the topic's records are to be found by search. */
  readonly isIndexed: (topicId: string) => boolean;
  readonly compactions?: readonly PartitionCompaction[];
}

export function commandOf(
  plan: MergePlan,
  { directory, createdMs, isIndexed, compactions = [] }: CommandOptions,
): MergeCommand {
  return {
    kind: "merge",
    directory,
    createdMs,
    compactions,
    inputs: plan.inputs.map(({ segmentId, lengthBytes, searchIndex, ranges }) => {
      const isAwaited = searchIndex === null && ranges.some(({ topicId }) => isIndexed(topicId));
      const documentCount = isAwaited ? null : (searchIndex?.documentCount ?? 0);
      return { segmentId, lengthBytes, documentCount };
    }),
    outputs: plan.outputs.map((output) => ({
      ...output,
      pieces: encodePieces(output.pieces),
      isIndexed: output.pieces.some(({ inputIndex, rangeIndex }) => {
        const topicId = plan.inputs[inputIndex]?.ranges[rangeIndex]?.topicId;
        return topicId !== undefined && isIndexed(topicId);
      }),
    })),
  };
}

export function decodePieces(numbers: Float64Array): MergePiece[] {
  assert(numbers.length % NUMBERS_PER_PIECE === 0, "pieces are whole");
  const pieces: MergePiece[] = [];
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_PIECE) {
    const [inputIndex = 0, rangeIndex = 0, fromOffset = 0] = numbers.subarray(at);
    pieces.push({ inputIndex, rangeIndex, fromOffset });
  }
  return pieces;
}

/** For each piece its input, its range there, and the offset from which on it is live. */
function encodePieces(pieces: readonly MergePiece[]): Float64Array<ArrayBuffer> {
  const numbers = new Float64Array(pieces.length * NUMBERS_PER_PIECE);
  for (const [index, { inputIndex, rangeIndex, fromOffset }] of pieces.entries()) {
    numbers.set([inputIndex, rangeIndex, fromOffset], index * NUMBERS_PER_PIECE);
  }
  return numbers;
}
