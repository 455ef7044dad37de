/** What the main thread and the sealing Worker tell each other. */

import type { SegmentFacts } from "./segment-facts.ts";

/** Numbers of one run in `SealedPartition.runs`. */
export const NUMBERS_PER_RUN = 2;

/** What of one partition is to be sealed. */
export interface SealedPartition {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  /** In offset order, for each run: address of its first batch, bytes to its end (negated: a legacy entry). */
  readonly runs: Float64Array<ArrayBuffer>;
}

/** A segment to be written. */
export interface SegmentToSeal {
  readonly segmentId: string;
  /** By topic id, then partition. */
  readonly partitions: readonly SealedPartition[];
}

/** Writes segments from what is durable in the WAL, whose files stay until the answer is there. */
export interface SealCommand {
  readonly kind: "seal";
  readonly walDirectory: string;
  readonly directory: string;
  readonly createdMs: number;
  readonly startAddress: number;
  readonly endAddress: number;
  readonly segments: readonly SegmentToSeal[];
}

export type SealReport =
  | { readonly kind: "sealed"; readonly segments: readonly SegmentFacts[] }
  /** The disk refused; nothing of it is left. */
  | { readonly kind: "failed"; readonly reason: string };
