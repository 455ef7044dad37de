/**
 * Writes a segment: one archive with, in this order,
 *
 *   segment.json   what it is, for people and for rebuilding the index of segments: JSON, `formatVersion` 1
 *   ranges.bin     which partition's batches lie where (`segment-facts.ts`)
 *   offsets.bin    the sparse index by offset and time (`segment-layout.ts`)
 *   batches.log    the batches of all ranges, one behind the other, as they are served
 *
 * The search index (`index/…`) is appended later. The file gets its final name at once: only registration makes
 * it a segment, and a name is never used twice.
 */

import { assert } from "../core/assert.ts";
import type { Disk } from "../core/disk.ts";
import { ArchiveWriter, type ChunkCompression } from "./archive-writer.ts";
import { encodeRanges, type SegmentFacts } from "./segment-facts.ts";
import type { SegmentLayout } from "./segment-layout.ts";

export const SEGMENT_JSON = "segment.json";
export const RANGES_NAME = "ranges.bin";
export const OFFSETS_NAME = "offsets.bin";
export const BATCHES_NAME = "batches.log";
export const SEGMENT_FORMAT_VERSION = 1;
const SEGMENT_SUFFIX = ".tar.gz";

/** Of `batches.log`: what a fetch reads at least. */
export const BATCHES_CHUNK_BYTES = 256 * 1024;
const SMALL_CHUNK_BYTES = 64 * 1024;

/** What is known of a segment before it is written. */
export type SegmentHead = Pick<
  SegmentFacts,
  "segmentId" | "level" | "createdMs" | "startAddress" | "endAddress"
> & { readonly topics: readonly { readonly topicId: string; readonly name: string }[] };

export interface SegmentToWrite {
  readonly disk: Disk;
  readonly directory: string;
  readonly head: SegmentHead;
  readonly layout: SegmentLayout;
  /** Of `batches.log`. */
  readonly compression: ChunkCompression;
  /** The bytes of `batches.log` in pieces of any size; a piece is valid until the next is asked for. */
  readonly batches: AsyncIterable<Uint8Array>;
}

/** The name of a segment's file. */
export function segmentFileName(segmentId: string): string {
  return `${segmentId}${SEGMENT_SUFFIX}`;
}

/** The segment that a file's name stands for; undefined if it is none. */
export function segmentIdOfName(name: string): string | undefined {
  return name.endsWith(SEGMENT_SUFFIX) ? name.slice(0, -SEGMENT_SUFFIX.length) : undefined;
}

/** Resolves when the file and its name are on disk. A failed attempt leaves nothing behind. */
export async function writeSegment(segment: SegmentToWrite): Promise<SegmentFacts> {
  const { disk, directory, head, layout } = segment;
  const { topics, ...known } = head;
  const path = `${directory}/${segmentFileName(head.segmentId)}`;
  const writer = await ArchiveWriter.create(disk, path);
  try {
    const json = { formatVersion: SEGMENT_FORMAT_VERSION, ...known, topics };
    await addFile(writer, SEGMENT_JSON, new TextEncoder().encode(`${JSON.stringify(json)}\n`));
    await addFile(writer, RANGES_NAME, encodeRanges(layout.ranges));
    await addFile(writer, OFFSETS_NAME, layout.rows);
    await addBatches(writer, segment);
    const { lengthBytes } = await writer.finish();
    await disk.syncDirectory(directory);
    return { ...known, lengthBytes, searchIndex: null, ranges: layout.ranges };
  } catch (thrown) {
    await writer.abort();
    throw thrown;
  }
}

async function addFile(writer: ArchiveWriter, name: string, bytes: Uint8Array): Promise<void> {
  await writer.beginFile({
    name,
    sizeBytes: bytes.length,
    chunkBytes: SMALL_CHUNK_BYTES,
    compression: "deflate",
  });
  await writer.write(bytes);
  await writer.endFile();
}

async function addBatches(
  writer: ArchiveWriter,
  { layout, compression, batches }: SegmentToWrite,
): Promise<void> {
  const { sizeBytes } = layout;
  await writer.beginFile({
    name: BATCHES_NAME,
    sizeBytes,
    chunkBytes: BATCHES_CHUNK_BYTES,
    compression,
  });
  let writtenBytes = 0;
  for await (const piece of batches) {
    await writer.write(piece);
    writtenBytes += piece.length;
  }
  assert(writtenBytes === sizeBytes, "the batches are as they were laid out");
  await writer.endFile();
}
