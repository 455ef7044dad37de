/**
 * Makes the search index of a segment from its batches: where the WAL is gone before it was indexed, or where an
 * index is damaged.
 */

import { type Disk, removeTree } from "../core/disk.ts";
import { closeIndex, FrozenIndex, freezeIndexes, LiveIndex } from "../core/native.ts";
import { RecordPack } from "../core/record-pack.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { BATCH_HEADER_BYTES, batchesIn, readBatchHeader } from "../protocol/record-batch.ts";
import { ArchiveReader } from "../segment/archive-reader.ts";
import { LocalFileSource } from "../segment/archive-source.ts";
import type { PartitionRange } from "../segment/segment-facts.ts";
import type { SegmentObject } from "../segment/segment-search-index.ts";
import { BATCHES_NAME } from "../segment/segment-writer.ts";
import { packBatch } from "./document.ts";

const READ_BYTES = 1024 * 1024;
const PACK_BYTES = 512 * 1024;
/** Packed bytes between looks at how large the index in memory has become. */
const PART_CHECK_BYTES = 8 * 1024 * 1024;

export interface BatchesToIndex {
  readonly disk: Disk;
  readonly segment: SegmentObject;
  readonly ranges: readonly PartitionRange[];
  /** By id; the batches of others are left out. */
  readonly topicNames: ReadonlyMap<string, string>;
  /** Parts of the index are kept in `<directory>.part-<n>`, which the caller removes. */
  readonly directory: string;
  /** Of the index in memory. */
  readonly memoryBytesMax: number;
}

/** Indexes of all that is searchable in the batches; the caller closes them and removes their directories. */
export interface BatchesIndex {
  readonly indexNumbers: readonly number[];
  readonly directories: readonly string[];
  /** Batches that can't be read. */
  readonly skippedCount: number;
}

export async function indexBatches(job: BatchesToIndex): Promise<BatchesIndex> {
  const source = await LocalFileSource.open(job.disk, job.segment.path);
  const parts = new IndexParts(job);
  try {
    const archive = await ArchiveReader.open(source, job.segment.lengthBytes);
    for (const range of job.ranges) {
      const topic = job.topicNames.get(range.topicId);
      if (topic === undefined) continue;
      for await (const bytes of batchesOf(archive, range)) {
        await parts.add(bytes, { ...range, topic });
      }
    }
    return await parts.finish();
  } catch (thrown) {
    await parts.abort();
    throw thrown;
  } finally {
    await source.close();
  }
}

/** Owns the index that is filled and the parts that were full. */
class IndexParts {
  readonly #job: BatchesToIndex;
  readonly #pack = new RecordPack(PACK_BYTES);
  #live: LiveIndex | undefined;
  #uncheckedBytes = 0;
  readonly #indexNumbers: number[] = [];
  readonly #directories: string[] = [];
  #skippedCount = 0;

  constructor(job: BatchesToIndex) {
    this.#job = job;
  }

  async add(
    bytes: Uint8Array,
    place: { readonly topicId: string; readonly topic: string; readonly partition: number },
  ): Promise<void> {
    for (const [start, end] of batchesIn(bytes)) {
      try {
        packBatch(this.#pack, bytes.subarray(start, end), place);
      } catch (thrown) {
        if (!(thrown instanceof KafkaError)) throw thrown;
        this.#skippedCount += 1;
      }
      if (this.#pack.sizeBytes >= PACK_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<BatchesIndex> {
    await this.#flush();
    if (this.#live !== undefined) {
      this.#live.commit();
      this.#indexNumbers.push(this.#live.number);
      this.#live = undefined;
    }
    return {
      indexNumbers: this.#indexNumbers,
      directories: this.#directories,
      skippedCount: this.#skippedCount,
    };
  }

  async abort(): Promise<void> {
    this.#live?.close();
    for (const number of this.#indexNumbers) closeIndex(number);
    for (const directory of this.#directories) await removeTree(directory);
  }

  async #flush(): Promise<void> {
    if (this.#pack.recordCount === 0) return;
    this.#live ??= new LiveIndex();
    this.#live.add(this.#pack.bytes());
    this.#uncheckedBytes += this.#pack.sizeBytes;
    this.#pack.reset();
    if (this.#uncheckedBytes < PART_CHECK_BYTES) return;
    this.#uncheckedBytes = 0;
    this.#live.commit();
    const sizeBytes = this.#live.stats().live?.sizeBytes ?? 0;
    if (sizeBytes >= this.#job.memoryBytesMax) await this.#endPart(this.#live);
  }

  async #endPart(live: LiveIndex): Promise<void> {
    const directory = `${this.#job.directory}.part-${this.#directories.length}`;
    await removeTree(directory);
    this.#directories.push(directory);
    freezeIndexes([live.number], directory);
    this.#indexNumbers.push(new FrozenIndex(directory).number);
    live.close();
    this.#live = undefined;
  }
}

/** Some whole batches of the range at a time. */
async function* batchesOf(
  archive: ArchiveReader,
  range: PartitionRange,
): AsyncGenerator<Uint8Array> {
  const end = range.position + range.sizeBytes;
  let position = range.position;
  let readBytes = READ_BYTES;
  while (position < end) {
    const bytes = await archive.read(BATCHES_NAME, position, Math.min(readBytes, end - position));
    const wholeBytes = wholeBatchesBytes(bytes);
    if (wholeBytes === 0 && bytes.length === end - position) {
      throw new KafkaError(ErrorCode.kafkaStorageError, "A record batch ends outside its range.");
    }
    // A batch that is larger than what was read.
    readBytes = wholeBytes === 0 ? readBytes * 2 : READ_BYTES;
    position += wholeBytes;
    if (wholeBytes > 0) yield bytes.subarray(0, wholeBytes);
  }
}

function wholeBatchesBytes(bytes: Uint8Array): number {
  let end = 0;
  while (end + BATCH_HEADER_BYTES <= bytes.length) {
    const { sizeBytes } = readBatchHeader(bytes, end);
    if (end + sizeBytes > bytes.length) break;
    end += sizeBytes;
  }
  return end;
}
