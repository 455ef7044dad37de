/**
 * Copies batches from the WAL's files into segments, without opening them. Two passes: the first reads the
 * batches' headers and lays the segment out, the second checks every CRC and copies.
 */

import type { Disk, DiskFile } from "../core/disk.ts";
import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  readBatchHeader,
  verifyBatch,
} from "../protocol/record-batch.ts";
import { batchOfLegacyPayload } from "../wal/legacy-entry.ts";
import { filePositionOf, fileSequenceOf } from "../wal/wal-address.ts";
import { ENTRY_HEADER_BYTES, walFileName } from "../wal/wal-format.ts";
import {
  NUMBERS_PER_RUN,
  type SealCommand,
  type SealedPartition,
  type SegmentToSeal,
} from "./sealing-messages.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import { SegmentLayoutBuilder } from "./segment-layout.ts";
import { writeSegment } from "./segment-writer.ts";

/** Small batches lie close together: one read brings the headers of many. */
const HEADER_WINDOW_BYTES = 4 * 1024;
const EMPTY = new Uint8Array(0);

/** Writes the segments one after another. A failed attempt leaves none. */
export async function sealSegments(disk: Disk, command: SealCommand): Promise<SegmentFacts[]> {
  const runs = new RunReader(disk, command.walDirectory);
  try {
    const segments: SegmentFacts[] = [];
    for (const segment of command.segments) {
      segments.push(await sealSegment(disk, { command, segment, runs }));
    }
    return segments;
  } finally {
    await runs.close();
  }
}

interface SegmentJob {
  readonly command: SealCommand;
  readonly segment: SegmentToSeal;
  readonly runs: RunReader;
}

async function sealSegment(
  disk: Disk,
  { command, segment, runs }: SegmentJob,
): Promise<SegmentFacts> {
  const { createdMs, startAddress, endAddress, directory } = command;
  const { segmentId, partitions } = segment;
  const layout = new SegmentLayoutBuilder();
  for (const partition of partitions) {
    const { topicId, partition: index } = partition;
    for await (const header of headersOf(runs, partition)) layout.add(topicId, index, header);
  }
  const names = new Map(partitions.map(({ topicId, topicName }) => [topicId, topicName]));
  const topics = [...names].map(([topicId, name]) => ({ topicId, name }));
  return await writeSegment({
    disk,
    directory,
    head: { segmentId, level: 0, createdMs, startAddress, endAddress, topics },
    layout: layout.finish(),
    compression: "stored",
    batches: checkedBatches(runs, partitions),
  });
}

async function* checkedBatches(
  runs: RunReader,
  partitions: readonly SealedPartition[],
): AsyncGenerator<Uint8Array> {
  for (const partition of partitions) {
    for await (const { bytes, position, end } of batchesOf(runs, partition)) {
      verifyBatch(bytes, position, end);
      yield bytes.subarray(position, end);
    }
  }
}

/** The headers of all batches, of which hardly more is read. */
async function* headersOf(
  reader: RunReader,
  { runs }: SealedPartition,
): AsyncGenerator<BatchHeader> {
  for (let at = 0; at < runs.length; at += NUMBERS_PER_RUN) {
    const [address = 0, span = 0] = runs.subarray(at, at + NUMBERS_PER_RUN);
    if (span < 0) {
      yield readBatchHeader(await reader.read(address, span), 0);
      continue;
    }
    let window: Uint8Array = EMPTY;
    let windowStart = 0;
    for (let position = 0; position < span; ) {
      if (position + BATCH_HEADER_BYTES > windowStart + window.length) {
        windowStart = position;
        const sizeBytes = Math.min(HEADER_WINDOW_BYTES, span - position);
        window = await reader.read(address + position, sizeBytes);
      }
      const header = readBatchHeader(window, position - windowStart);
      yield header;
      position += header.sizeBytes + ENTRY_HEADER_BYTES;
    }
  }
}

/** A batch in the bytes of its run. */
interface BatchInRun {
  readonly bytes: Uint8Array;
  readonly position: number;
  readonly end: number;
}

async function* batchesOf(
  reader: RunReader,
  { runs }: SealedPartition,
): AsyncGenerator<BatchInRun> {
  for (let at = 0; at < runs.length; at += NUMBERS_PER_RUN) {
    const [address = 0, span = 0] = runs.subarray(at, at + NUMBERS_PER_RUN);
    const bytes = await reader.read(address, span);
    let position = 0;
    while (position < bytes.length) {
      const end = position + readBatchHeader(bytes, position).sizeBytes;
      yield { bytes, position, end };
      position = end + ENTRY_HEADER_BYTES;
    }
  }
}

/** Reads runs by their addresses. The files stay open until `close`. */
class RunReader {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #files = new Map<number, DiskFile>();
  #buffer = uninitializedBytes(64 * 1024);

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** The bytes of a run, valid until the next one is read. @param span negated: a legacy entry */
  async read(address: number, span: number): Promise<Uint8Array> {
    const sizeBytes = Math.abs(span);
    if (sizeBytes > this.#buffer.length) this.#buffer = uninitializedBytes(sizeBytes);
    const bytes = this.#buffer.subarray(0, sizeBytes);
    const file = await this.#file(fileSequenceOf(address));
    const readBytes = await file.read(bytes, filePositionOf(address));
    if (readBytes < sizeBytes) {
      throw new KafkaError(ErrorCode.kafkaStorageError, `${file.path} is cut short.`);
    }
    return span < 0 ? batchOfLegacyPayload(bytes) : bytes;
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
  }

  async #file(sequence: number): Promise<DiskFile> {
    const known = this.#files.get(sequence);
    if (known !== undefined) return known;
    const file = await this.#disk.open(`${this.#directory}/${walFileName(sequence)}`, "read");
    this.#files.set(sequence, file);
    return file;
  }
}
