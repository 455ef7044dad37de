/**
 * Copies live batches of segments into new ones, without opening them: offsets and bytes stay as they are. Two
 * passes, as when sealing: the first reads the batches' headers and lays the segment out, the second checks every
 * CRC and copies. Then come the search indexes. Memory: some 16 MiB whatever the size, and about 150 bytes for each
 * range of a partition; what merging search indexes takes is the shim's.
 */

import { assert } from "../core/assert.ts";
import type { Disk } from "../core/disk.ts";
import { batchesIn, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import type { ChunkCompression } from "./archive-writer.ts";
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
  const segments: SegmentFacts[] = [];
  try {
    const { directory } = command;
    const place = { disk, directory, inputCount: command.inputs.length, scratch: new Scratch() };
    for (const input of command.inputs) inputs.push(await MergingInput.open(input, place));
    for (const output of command.outputs) {
      segments.push(await mergeSegment(disk, { command, output, inputs }));
    }
    return await withSearchIndexes(disk, command, segments);
  } catch (thrown) {
    for (const { segmentId } of segments) {
      await disk.remove(`${command.directory}/${segmentFileName(segmentId)}`);
    }
    throw thrown;
  } finally {
    for (const input of inputs) await input.close();
  }
}

/**
 * Without an index of every input there is none of any output: it is made from the batches later. An output without a
 * topic that is indexed gets none.
 */
async function withSearchIndexes(
  disk: Disk,
  { inputs, outputs, directory }: MergeCommand,
  segments: readonly SegmentFacts[],
): Promise<MergedSegments> {
  if (inputs.some(({ documentCount }) => documentCount === null)) return { segments };
  const indexes = new MergingSearchIndexes(disk, directory);
  const indexed = [...segments];
  try {
    for (const input of inputs) indexes.open(input);
    for (const [place, facts] of segments.entries()) {
      if (outputs[place]?.isIndexed) indexed[place] = await indexes.addTo(facts);
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
  readonly inputs: readonly MergingInput[];
}

async function mergeSegment(
  disk: Disk,
  { command, output, inputs }: SegmentJob,
): Promise<SegmentFacts> {
  const { directory, createdMs } = command;
  const { segmentId, level, startAddress, endAddress } = output;
  const pieces = decodePieces(output.pieces);
  const { layout, compression } = await layOut(inputs, pieces);
  const names = new Map(
    inputs.flatMap(({ topics }) => topics).map((topic) => [topic.topicId, topic.name]),
  );
  const topicIds = new Set(layout.ranges.map(({ topicId }) => topicId));
  const topics = [...topicIds].map((topicId) => ({ topicId, name: names.get(topicId) ?? "" }));
  return await writeSegment({
    disk,
    directory,
    head: { segmentId, level, createdMs, startAddress, endAddress, topics },
    layout,
    compression,
    batches: checkedBatches(inputs, pieces),
  });
}

interface LaidOut {
  readonly layout: SegmentLayout;
  readonly compression: ChunkCompression;
}

async function layOut(
  inputs: readonly MergingInput[],
  pieces: readonly MergePiece[],
): Promise<LaidOut> {
  const builder = new SegmentLayoutBuilder();
  const probe = new CompressionProbe(
    pieces.reduce((sum, piece) => sum + placeOf(inputs, piece).range.sizeBytes, 0),
  );
  for await (const { range, bytes } of batchesOf(inputs, pieces)) {
    for (const [start, end] of batchesIn(bytes)) {
      const header = readBatchHeader(bytes, start);
      builder.add(range.topicId, range.partition, header);
      if (header.compression === "none") probe.add(bytes.subarray(start, end));
    }
  }
  return { layout: builder.finish(), compression: probe.verdict() };
}

async function* checkedBatches(
  inputs: readonly MergingInput[],
  pieces: readonly MergePiece[],
): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of batchesOf(inputs, pieces)) {
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
  inputs: readonly MergingInput[],
  pieces: readonly MergePiece[],
): AsyncGenerator<BatchesOfRange> {
  for (const piece of pieces) {
    const { input, range } = placeOf(inputs, piece);
    for await (const bytes of input.batchesOf(range, piece.fromOffset)) yield { range, bytes };
  }
}

function placeOf(inputs: readonly MergingInput[], { inputIndex, rangeIndex }: MergePiece) {
  const input = inputs[inputIndex];
  const range = input?.ranges[rangeIndex];
  assert(input !== undefined && range !== undefined, "a piece is a range of an input");
  return { input, range };
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
