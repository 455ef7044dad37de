/**
 * Reads the batches of one segment that is merged, range by range, as whole batches. Ranges are asked for in about
 * the order in which they lie in the archive, and many are small: so one stretch of it is kept at a time.
 */

import type { Disk, DiskFile } from "../core/disk.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { BATCH_HEADER_BYTES, batchesIn, readBatchHeader } from "../protocol/record-batch.ts";
import { ArchiveReader } from "./archive-reader.ts";
import type { RangeSource } from "./archive-source.ts";
import type { MergeInput } from "./merging-messages.ts";
import { decodeRanges, type PartitionRange } from "./segment-facts.ts";
import { positionOfOffset, ROW_BYTES } from "./segment-layout.ts";
import {
  BATCHES_NAME,
  OFFSETS_NAME,
  RANGES_NAME,
  SEGMENT_JSON,
  segmentFileName,
} from "./segment-writer.ts";

/** Shared by the stretches that the inputs of a job keep. */
const STRETCH_BYTES = 8 * 1024 * 1024;
const STRETCH_BYTES_MIN = 256 * 1024;
const STRETCH_BYTES_MAX = 1024 * 1024;

export interface TopicName {
  readonly topicId: string;
  readonly name: string;
}

/** What the inputs of a job have in common. */
export interface InputPlace {
  readonly disk: Disk;
  /** Of the segments. */
  readonly directory: string;
  readonly inputCount: number;
  /** For what lies on disk, to be unpacked at once. */
  readonly scratch: Scratch;
}

/** Memory that is used again. */
export class Scratch {
  #bytes = new Uint8Array(0);

  /** Valid until the next call. */
  take(sizeBytes: number): Uint8Array {
    if (sizeBytes > this.#bytes.length) this.#bytes = new Uint8Array(sizeBytes);
    return this.#bytes.subarray(0, sizeBytes);
  }
}

export class MergingInput {
  readonly ranges: readonly PartitionRange[];
  readonly topics: readonly TopicName[];
  readonly #file: DiskFile;
  readonly #archive: ArchiveReader;
  readonly #batchesEnd: number;
  readonly #stretchBytes: number;
  /** Of `batches.log`, from `#stretchStart` to `#stretchEnd`. */
  #stretch: Uint8Array;
  #stretchStart = 0;
  #stretchEnd = 0;

  private constructor(
    file: DiskFile,
    archive: ArchiveReader,
    known: {
      readonly ranges: readonly PartitionRange[];
      readonly topics: readonly TopicName[];
      readonly stretchBytes: number;
    },
  ) {
    this.#file = file;
    this.#archive = archive;
    this.ranges = known.ranges;
    this.topics = known.topics;
    this.#batchesEnd = sizeOf(archive, BATCHES_NAME);
    this.#stretchBytes = known.stretchBytes;
    this.#stretch = new Uint8Array(known.stretchBytes);
  }

  static async open(input: MergeInput, place: InputPlace): Promise<MergingInput> {
    const { disk, directory, inputCount, scratch } = place;
    const file = await disk.open(`${directory}/${segmentFileName(input.segmentId)}`, "read");
    try {
      const archive = await ArchiveReader.open(new ScratchSource(file, scratch), input.lengthBytes);
      const ranges = decodeRanges(await wholeFile(archive, RANGES_NAME));
      const json = new TextDecoder().decode(await wholeFile(archive, SEGMENT_JSON));
      const { topics }: { topics: readonly TopicName[] } = JSON.parse(json);
      const share = Math.max(STRETCH_BYTES_MIN, STRETCH_BYTES / inputCount);
      const stretchBytes = Math.floor(Math.min(STRETCH_BYTES_MAX, share));
      return new MergingInput(file, archive, { ranges, topics, stretchBytes });
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /**
   * The batches of a range that do not end at or before `fromOffset`: some whole ones at a time, each valid until
   * the next are asked for.
   */
  async *batchesOf(range: PartitionRange, fromOffset: number): AsyncGenerator<Uint8Array> {
    const end = range.position + range.sizeBytes;
    let position = await this.#startOf(range, fromOffset);
    while (position < end) {
      const bytes = await this.#wholeBatches(position, end);
      position += bytes.length;
      const kept = bytes.subarray(firstKept(bytes, fromOffset));
      if (kept.length > 0) yield kept;
    }
  }

  /** Where to look for the first batch that is kept. */
  async #startOf(
    { position, startOffset, rowStart, rowCount }: PartitionRange,
    fromOffset: number,
  ) {
    if (fromOffset <= startOffset || rowCount === 0) return position;
    const rows = await this.#archive.read(OFFSETS_NAME, rowStart * ROW_BYTES, rowCount * ROW_BYTES);
    return positionOfOffset(rows, fromOffset);
  }

  /** One batch or more, from `position` on. */
  async #wholeBatches(position: number, end: number): Promise<Uint8Array> {
    let wholeBytes = wholeBatchesEnd(this.#kept(position, end), end - position);
    if (wholeBytes === 0) {
      await this.#read(position, this.#stretchBytes);
      wholeBytes = wholeBatchesEnd(this.#kept(position, end), end - position);
    }
    if (wholeBytes === 0) {
      await this.#read(position, readBatchHeader(this.#kept(position, end), 0).sizeBytes);
      wholeBytes = wholeBatchesEnd(this.#kept(position, end), end - position);
    }
    return this.#kept(position, position + wholeBytes);
  }

  /** What of the stretch at hand lies between `position` and `end`. */
  #kept(position: number, end: number): Uint8Array {
    if (position < this.#stretchStart || position >= this.#stretchEnd) {
      return this.#stretch.subarray(0, 0);
    }
    const keptEnd = Math.min(end, this.#stretchEnd);
    return this.#stretch.subarray(position - this.#stretchStart, keptEnd - this.#stretchStart);
  }

  /** Makes `sizeBytes` from `position` on the stretch at hand; what of them is there already is not read again. */
  async #read(position: number, sizeBytes: number): Promise<void> {
    const kept = this.#kept(position, this.#stretchEnd);
    const stretchBytes = Math.max(sizeBytes, this.#stretchBytes);
    if (stretchBytes === this.#stretch.length) {
      this.#stretch.set(kept);
    } else {
      const other = new Uint8Array(stretchBytes);
      other.set(kept.subarray(0, stretchBytes));
      this.#stretch = other;
    }
    const keptBytes = Math.min(kept.length, stretchBytes);
    this.#stretchStart = position;
    this.#stretchEnd = position + keptBytes;
    const readBytes = Math.min(stretchBytes, this.#batchesEnd - position) - keptBytes;
    const target = this.#stretch.subarray(keptBytes, keptBytes + readBytes);
    await this.#archive.readInto(BATCHES_NAME, this.#stretchEnd, target);
    this.#stretchEnd += readBytes;
  }
}

/** A file whose ranges are valid only until the next is read: an `ArchiveReader` used by one needs no more. */
class ScratchSource implements RangeSource {
  readonly name: string;
  readonly #file: DiskFile;
  readonly #scratch: Scratch;

  constructor(file: DiskFile, scratch: Scratch) {
    this.name = file.path;
    this.#file = file;
    this.#scratch = scratch;
  }

  async readRange(start: number, end: number): Promise<Uint8Array> {
    const bytes = this.#scratch.take(end - start);
    return bytes.subarray(0, await this.#file.read(bytes, start));
  }
}

/** Where the last whole batch ends. @throws KafkaError if one is longer than the range, of which `leftBytes` follow */
function wholeBatchesEnd(bytes: Uint8Array, leftBytes: number): number {
  let end = 0;
  while (end + BATCH_HEADER_BYTES <= bytes.length) {
    const { sizeBytes } = readBatchHeader(bytes, end);
    if (sizeBytes < BATCH_HEADER_BYTES || end + sizeBytes > leftBytes) {
      throw new KafkaError(ErrorCode.kafkaStorageError, "A record batch ends outside its range.");
    }
    if (end + sizeBytes > bytes.length) break;
    end += sizeBytes;
  }
  return end;
}

/** Where the first batch begins that holds `fromOffset` or a later one. */
function firstKept(bytes: Uint8Array, fromOffset: number): number {
  for (const [start] of batchesIn(bytes)) {
    const { baseOffset, lastOffsetDelta } = readBatchHeader(bytes, start);
    if (baseOffset + lastOffsetDelta >= fromOffset) return start;
  }
  return bytes.length;
}

function wholeFile(archive: ArchiveReader, name: string): Promise<Uint8Array> {
  return archive.read(name, 0, sizeOf(archive, name));
}

/** 0 if there is no such file: reading it says so. */
function sizeOf(archive: ArchiveReader, name: string): number {
  return archive.entries().find((entry) => entry.name === name)?.sizeBytes ?? 0;
}
