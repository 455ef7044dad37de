/**
 * Copies live batches of segments into new ones, without opening them: offsets and bytes stay as they are. Two
 * passes, as when sealing: the first reads the batches' headers and lays the segment out, the second checks every
 * CRC and copies. Then come the search indexes. Memory: some 16 MiB whatever the size, and about 150 bytes for each
 * range of a partition; what merging search indexes takes is the shim's.
 *
 * Partitions that are compacted on the way are filtered in both passes, with the same outcome. An index that would
 * have to leave out too many single records is made anew from the batches later.
 */

import { assert } from "../core/assert.ts";
import { waitWhileBusy } from "../core/client-traffic.ts";
import type { Disk } from "../core/disk.ts";
import type { KeptRange } from "../core/native-segments.ts";
import { batchesIn, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import type { ChunkCompression } from "./archive-writer.ts";
import { CompactionPasses, KeptOffsets } from "./compaction-passes.ts";
import { storedMemberBytes, writeDeflatedMember } from "./gzip-member.ts";
import { MergingInput, Scratch } from "./merging-input.ts";
import {
  decodePieces,
  type MergeCommand,
  type MergedSegments,
  type MergeOutput,
} from "./merging-messages.ts";
import type { MergePiece } from "./merging-plan.ts";
import { MergingSearchIndexes } from "./merging-search-index.ts";
import type { PartitionRange, SegmentFacts } from "./segment-facts.ts";
import { type SegmentLayout, SegmentLayoutBuilder } from "./segment-layout.ts";
import { segmentFileName, writeSegment } from "./segment-writer.ts";

/** Writes the outputs one after another. A failed attempt leaves none. */
export async function mergeSegments(disk: Disk, command: MergeCommand): Promise<MergedSegments> {
  const inputs: MergingInput[] = [];
  const segments: WrittenSegment[] = [];
  try {
    const { directory } = command;
    const place = { disk, directory, inputCount: command.inputs.length, scratch: new Scratch() };
    for (const input of command.inputs) inputs.push(await MergingInput.open(input, place));
    const compaction = new CompactionPasses(command.compactions);
    const plans = command.outputs.map((output) => {
      const pieces = piecesOf(inputs, decodePieces(output.pieces));
      for (const piece of pieces) if (compaction.isCompacted(piece.range)) compaction.add(piece);
      return { output, pieces };
    });
    for (const plan of plans) {
      const written = await mergeSegment(disk, { command, ...plan, inputs, compaction });
      if (written !== undefined) segments.push(written);
    }
    const merged = await withSearchIndexes(disk, command, segments);
    return { ...merged, compacted: compaction.done() };
  } catch (thrown) {
    for (const { facts } of segments) {
      await disk.remove(`${command.directory}/${segmentFileName(facts.segmentId)}`);
    }
    throw thrown;
  } finally {
    for (const input of inputs) await input.close();
  }
}

interface WrittenSegment {
  readonly facts: SegmentFacts;
  readonly isIndexed: boolean;
  /** Of its records, in the inputs' indexes; undefined if they are too many to be named. */
  readonly kept: readonly KeptRange[] | undefined;
}

/**
 * Without an index of every input there is none of any output: it is made from the batches later. An output without a
 * topic that is indexed gets none.
 */
async function withSearchIndexes(
  disk: Disk,
  { inputs, directory }: MergeCommand,
  written: readonly WrittenSegment[],
): Promise<Omit<MergedSegments, "compacted">> {
  const segments = written.map(({ facts }) => facts);
  if (inputs.some(({ documentCount }) => documentCount === null)) return { segments };
  const indexes = new MergingSearchIndexes(disk, directory);
  const indexed = [...segments];
  try {
    for (const input of inputs) indexes.open(input);
    for (const [place, { facts, isIndexed, kept }] of written.entries()) {
      if (isIndexed && kept !== undefined) indexed[place] = await indexes.addTo(facts, kept);
    }
    return { segments: indexed };
  } catch (thrown) {
    // Those that have got theirs keep it.
    return { segments: indexed, indexFault: String(thrown) };
  } finally {
    indexes.close();
  }
}

interface SegmentJob {
  readonly command: MergeCommand;
  readonly output: MergeOutput;
  readonly pieces: readonly InputPiece[];
  readonly inputs: readonly MergingInput[];
  readonly compaction: CompactionPasses;
}

/** Undefined if nothing is left of it. */
async function mergeSegment(disk: Disk, job: SegmentJob): Promise<WrittenSegment | undefined> {
  const { directory, createdMs } = job.command;
  const { segmentId, level, startAddress, endAddress, isIndexed } = job.output;
  const kept = new KeptOffsets();
  const { layout, compression } = await layOut(job, kept);
  if (layout.ranges.length === 0) return undefined;
  const names = new Map(
    job.inputs.flatMap(({ topics }) => topics).map((topic) => [topic.topicId, topic.name]),
  );
  const topicIds = new Set(layout.ranges.map(({ topicId }) => topicId));
  const topics = [...topicIds].map((topicId) => ({ topicId, name: names.get(topicId) ?? "" }));
  const facts = await writeSegment({
    disk,
    directory,
    head: { segmentId, level, createdMs, startAddress, endAddress, topics },
    layout,
    compression,
    batches: checkedBatches(job),
  });
  const copied = layout.ranges.filter((range) => !job.compaction.isCompacted(range));
  return { facts, isIndexed, kept: kept.ranges && [...copied, ...kept.ranges] };
}

interface LaidOut {
  readonly layout: SegmentLayout;
  readonly compression: ChunkCompression;
}

async function layOut(job: SegmentJob, kept: KeptOffsets): Promise<LaidOut> {
  const builder = new SegmentLayoutBuilder();
  const probe = new CompressionProbe(
    job.pieces.reduce((sum, { range }) => sum + range.sizeBytes, 0),
  );
  for await (const { range, bytes } of batchesOf(job, kept)) {
    for (const [start, end] of batchesIn(bytes)) {
      const header = readBatchHeader(bytes, start);
      builder.add(range.topicId, range.partition, header);
      if (header.compression === "none") probe.add(bytes.subarray(start, end));
    }
  }
  return { layout: builder.finish(), compression: probe.verdict() };
}

async function* checkedBatches(job: SegmentJob): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of batchesOf(job)) {
    for (const [start, end] of batchesIn(bytes)) verifyBatch(bytes, start, end);
    yield bytes;
  }
}

/** Some whole batches of a range. */
interface BatchesOfRange {
  readonly range: PartitionRange;
  readonly bytes: Uint8Array;
}

async function* batchesOf(
  { command, pieces, compaction }: SegmentJob,
  kept?: KeptOffsets,
): AsyncGenerator<BatchesOfRange> {
  for (const piece of pieces) {
    const { range } = piece;
    const batches = compaction.isCompacted(range)
      ? compaction.filtered(piece, kept)
      : piece.batches();
    for await (const bytes of batches) {
      if (command.busy !== undefined) waitWhileBusy(command.busy);
      yield { range, bytes };
    }
  }
}

/** A piece of an input, whose batches can be read again and again. */
interface InputPiece {
  readonly range: PartitionRange;
  batches(): AsyncIterable<Uint8Array>;
}

function piecesOf(
  inputs: readonly MergingInput[],
  pieces: readonly MergePiece[],
): readonly InputPiece[] {
  return pieces.map(({ inputIndex, rangeIndex, fromOffset }) => {
    const input = inputs[inputIndex];
    const range = input?.ranges[rangeIndex];
    assert(input !== undefined && range !== undefined, "a piece is a range of an input");
    return { range, batches: () => input.batchesOf(range, fromOffset) };
  });
}

const SAMPLE_COUNT = 16;
const SAMPLE_BYTES = 16 * 1024;
/** Of all bytes, those not compressed yet, from which on trying to deflate pays. */
const PLAIN_SHARE_MIN = 1 / 4;

/** Finds out whether deflating saves enough: tries it on samples of the batches that are not compressed yet. */
class CompressionProbe {
  readonly #totalBytes: number;
  readonly #samples = new Uint8Array(SAMPLE_COUNT * SAMPLE_BYTES);
  #sampledBytes = 0;
  #plainBytes = 0;
  #nextSample = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  add(plainBatch: Uint8Array): void {
    if (this.#plainBytes >= this.#nextSample) {
      const room = this.#samples.length - this.#sampledBytes;
      const sample = plainBatch.subarray(0, Math.min(SAMPLE_BYTES, room));
      this.#samples.set(sample, this.#sampledBytes);
      this.#sampledBytes += sample.length;
      this.#nextSample += sample.length * Math.max(1, this.#totalBytes / this.#samples.length);
    }
    this.#plainBytes += plainBatch.length;
  }

  verdict(): ChunkCompression {
    if (this.#plainBytes < this.#totalBytes * PLAIN_SHARE_MIN) return "stored";
    const sample = this.#samples.subarray(0, this.#sampledBytes);
    const target = new Uint8Array(storedMemberBytes(sample.length));
    return writeDeflatedMember(target, sample) > 0 ? "deflate" : "stored";
  }
}
