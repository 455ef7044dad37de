/**
 * What a merge of segments makes: which ranges of which inputs go to which output.
 *
 * Invariant, for any set of inputs: in an output a partition's ranges follow one another in the order of offsets,
 * and no other segment holds a live range of that partition between them. So the output's one range of a partition
 * holds all that is live between its first and its last offset, and ranges of different segments never interleave.
 *
 * Where another segment's range lies between those of two inputs (a topic's own segment of one seal between shared
 * ones), the topic is cut there: each part gets a segment of its own, and merging the topic's own segments later
 * brings them together. Ranges without live records are left out.
 */

import { assert } from "../core/assert.ts";
import { nextTurn } from "../core/clock.ts";
import type { PartitionRange, SegmentFacts } from "./segment-facts.ts";

/** What is live now; later seals and deletions do not make a plan wrong. */
export interface LiveRanges {
  /** The live range of any segment that holds `offset`, or the next one after it. */
  rangeOf(
    topicId: string,
    partition: number,
    offset: number,
  ): { readonly segmentId: string; readonly startOffset: number } | undefined;
  /** Of the first live record; undefined if there is none. */
  startOffset(topicId: string, partition: number): number | undefined;
}

export interface PlanOptions {
  readonly kind: "shared" | "own" | "purge" | "compact";
  /** Of `compact`: these leave shared segments whatever their size. */
  readonly topicIds?: ReadonlySet<string>;
  readonly ownBytesMin: number;
  readonly segmentBytesMax: number;
  readonly newSegmentId: () => string;
}

/** One range of one input. */
export interface MergePiece {
  readonly inputIndex: number;
  /** Among the input's ranges. */
  readonly rangeIndex: number;
  /** Batches that end at or before it are left out. */
  readonly fromOffset: number;
}

export interface PlannedSegment {
  readonly segmentId: string;
  readonly level: number;
  readonly startAddress: number;
  readonly endAddress: number;
  /** By topic, partition and offset. */
  readonly pieces: readonly MergePiece[];
}

export interface MergePlan {
  /** In the order of the log. */
  readonly inputs: readonly SegmentFacts[];
  readonly outputs: readonly PlannedSegment[];
  /** For own segments: indices of inputs that others' ranges separate from the input before them. */
  readonly separatedIndices: readonly number[];
}

/** Looked up between turns of the event loop. */
const RANGES_PER_TURN = 100;
/** A topic's segment is split by partitions when it would be so many times its largest size. */
const SPLIT_FACTOR = 2;

interface Piece extends MergePiece {
  readonly range: PartitionRange;
}

/** What the inputs hold of one topic. */
interface TopicPieces {
  readonly topicId: string;
  readonly pieces: Piece[];
  /** Inputs that begin a new segment. */
  readonly cuts: Set<number>;
}

/** @param inputs in the order of the log */
export async function planMerge(
  inputs: readonly SegmentFacts[],
  live: LiveRanges,
  options: PlanOptions,
): Promise<MergePlan> {
  const topics = await livePieces(inputs, live);
  const segmentOf = (pieces: readonly Piece[], levelMin: number): PlannedSegment => {
    const sources = pieces.map(({ inputIndex }) => inputOf(inputs, inputIndex));
    // What a compaction does not compact is no more merged than it was.
    const levelled = options.kind === "compact" ? sources : inputs;
    const isMerged =
      options.kind === "compact" ? new Set(sources).size > 1 : options.kind !== "purge";
    const level = levelled.reduce((most, each) => Math.max(most, each.level), 0);
    return {
      segmentId: options.newSegmentId(),
      level: Math.max(level + Number(isMerged), levelMin),
      startAddress: sources.reduce((least, each) => Math.min(least, each.startAddress), Infinity),
      endAddress: sources.reduce((most, each) => Math.max(most, each.endAddress), 0),
      pieces: pieces.map(({ inputIndex, rangeIndex, fromOffset }) => ({
        inputIndex,
        rangeIndex,
        fromOffset,
      })),
    };
  };
  const shared: Piece[] = [];
  const own: (readonly Piece[])[] = [];
  for (const topic of topics) {
    const isAsked = options.kind === "own" || options.topicIds?.has(topic.topicId) === true;
    const isOwn = isAsked || isToLeave(topic, options.ownBytesMin);
    if (isOwn) own.push(...ownParts(topic, options.segmentBytesMax));
    else shared.push(...topic.pieces);
  }
  const outputs = own.map((pieces) => segmentOf(pieces, 1));
  if (shared.length > 0) outputs.push(segmentOf(shared, 0));
  const separated = topics.flatMap(({ cuts }) => [...cuts]);
  return { inputs, outputs, separatedIndices: [...new Set(separated)] };
}

/** The live ranges of the inputs, by topic; topics and their pieces in the order of a segment. */
async function livePieces(
  inputs: readonly SegmentFacts[],
  live: LiveRanges,
): Promise<readonly TopicPieces[]> {
  const topics = new Map<string, TopicPieces>();
  const pace = new Pace();
  for (const [inputIndex, { segmentId, ranges }] of inputs.entries()) {
    for (const [rangeIndex, range] of ranges.entries()) {
      if (pace.isTurnOver()) await nextTurn();
      const { topicId, partition, startOffset } = range;
      if (live.rangeOf(topicId, partition, startOffset)?.segmentId !== segmentId) continue;
      const topic = topics.get(topicId) ?? { topicId, pieces: [], cuts: new Set() };
      const fromOffset = live.startOffset(topicId, partition) ?? 0;
      topic.pieces.push({ inputIndex, rangeIndex, fromOffset, range });
      topics.set(topicId, topic);
    }
  }
  const sorted = [...topics.values()].sort((one, other) => (one.topicId < other.topicId ? -1 : 1));
  for (const topic of sorted) {
    await findCuts(topic, inputs, live, pace);
  }
  return sorted;
}

/** Sorts the topic's pieces and notes where other segments' ranges lie between them. */
async function findCuts(
  { topicId, pieces, cuts }: TopicPieces,
  inputs: readonly SegmentFacts[],
  live: LiveRanges,
  pace: Pace,
): Promise<void> {
  pieces.sort(
    (one, other) =>
      one.range.partition - other.range.partition ||
      one.range.startOffset - other.range.startOffset,
  );
  let before: Piece | undefined;
  for (const piece of pieces) {
    if (pace.isTurnOver()) await nextTurn();
    const last = before;
    before = piece;
    if (last === undefined || last.range.partition !== piece.range.partition) continue;
    assert(last.range.endOffset <= piece.range.startOffset, `${topicId}: ranges overlap`);
    if (piece.inputIndex <= last.inputIndex) {
      // The order of the log is not that of the offsets: each input for itself is right in any case.
      for (let input = 1; input < inputs.length; input += 1) cuts.add(input);
      return;
    }
    const next = live.rangeOf(topicId, piece.range.partition, last.range.endOffset);
    const isNext = next?.segmentId === inputOf(inputs, piece.inputIndex).segmentId;
    if (!isNext) cuts.add(piece.inputIndex);
  }
}

/** Counts ranges, so that the event loop gets its turns. */
class Pace {
  #count = 0;

  isTurnOver(): boolean {
    this.#count += 1;
    return this.#count % RANGES_PER_TURN === 0;
  }
}

/** Whether the topic leaves a shared segment. */
function isToLeave({ pieces, cuts }: TopicPieces, ownBytesMin: number): boolean {
  return cuts.size > 0 || bytesOf(pieces) >= ownBytesMin;
}

/** The topic's pieces from cut to cut, and each of these by partitions where it is too large. */
function ownParts({ pieces, cuts }: TopicPieces, bytesMax: number): (readonly Piece[])[] {
  const starts = [0, ...[...cuts].sort((one, other) => one - other), Number.POSITIVE_INFINITY];
  const parts: (readonly Piece[])[] = [];
  for (const [index, start] of starts.slice(0, -1).entries()) {
    const end = starts[index + 1] ?? 0;
    const part = pieces.filter(({ inputIndex }) => inputIndex >= start && inputIndex < end);
    if (bytesOf(part) > SPLIT_FACTOR * bytesMax) parts.push(...splitByPartitions(part, bytesMax));
    else if (part.length > 0) parts.push(part);
  }
  return parts;
}

/** Neighbouring partitions together, as far as they fit; a partition is never split. */
function splitByPartitions(pieces: readonly Piece[], bytesMax: number): (readonly Piece[])[] {
  const parts: Piece[][] = [];
  let part: Piece[] = [];
  for (const partition of new Set(pieces.map(({ range }) => range.partition))) {
    const next = pieces.filter(({ range }) => range.partition === partition);
    if (part.length > 0 && bytesOf(part) + bytesOf(next) > bytesMax) {
      parts.push(part);
      part = [];
    }
    part.push(...next);
  }
  return [...parts, part];
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { range }) => sum + range.sizeBytes, 0);
}

function inputOf(inputs: readonly SegmentFacts[], index: number): SegmentFacts {
  const input = inputs[index];
  assert(input !== undefined, "a piece is of an input");
  return input;
}
