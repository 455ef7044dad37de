/**
 * The index of segments as it is kept on disk, so that a start need not look at every object. Written aside, synced
 * and renamed: after a crash there is the old one or the new one, whole. Layout (big-endian):
 *
 *    0 magic "CHRNSEGS"   8 version u32   12 coveredEnd i64 (WAL address, exclusive)   20 segmentCount u32
 *   24 CRC-32C u32 of bytes 0 to 23
 *   28 frames: lengthBytes u32, CRC-32C u32 of the payload, payload: facts of segments (`writeSegmentFacts`) of the
 *      same version
 *      the last frame has length 0 and in place of the CRC the number of frames before it
 *
 * It holds exactly the segments of one moment, in no particular order; changes whose entries lie at or after
 * `coveredEnd` are applied again at start. Deleted topics and log starts are the metadata's to tell.
 */

import { assert } from "../core/assert.ts";
import { type Disk, DiskError, type DiskFile, replaceFileBy } from "../core/disk.ts";
import { crc32c } from "../core/native.ts";
import { readInt64At, readUint32At, writeInt32At, writeInt64At } from "../protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { Reader } from "../protocol/reader.ts";
import { Writer } from "../protocol/writer.ts";
import {
  FACTS_VERSION,
  FACTS_VERSION_MIN,
  readSegmentFacts,
  type SegmentFacts,
  writeSegmentFacts,
} from "./segment-facts.ts";
import { SegmentIndex } from "./segment-index.ts";

const MAGIC = new TextEncoder().encode("CHRNSEGS");
const VERSION_POSITION = 8;
const COVERED_END_POSITION = 12;
const SEGMENT_COUNT_POSITION = 20;
const CRC_POSITION = 24;
const HEADER_BYTES = 28;
const FRAME_HEADER_BYTES = 8;
/** Ranges in one frame, about: a slice of work between two turns of the event loop. */
const RANGES_PER_FRAME = 256;
/** A segment with a range in each of a million partitions fits. */
const FRAME_BYTES_LIMIT = 128 * 1024 * 1024;

/** An index, and how far in the WAL the changes are in it. */
export interface SavedSegmentIndex {
  readonly index: SegmentIndex;
  /** The changes of entries below this WAL address are in the index, no others. */
  readonly coveredEnd: number;
}

/** The file is not what was written. The index can be rebuilt from the objects. */
export class SegmentIndexDamagedError extends KafkaError {
  readonly path: string;

  constructor(where: { readonly path: string; readonly position: number }, reason: string) {
    super(
      ErrorCode.kafkaStorageError,
      `${where.path} is damaged at position ${where.position}: ${reason}. It can be rebuilt from the segments.`,
    );
    this.path = where.path;
  }
}

/**
 * Replaces the file at `path` by the index as it is when this is called. The index may change meanwhile.
 * @throws DiskError; then the old file still holds
 */
export async function saveSegmentIndex(
  disk: Disk,
  path: string,
  { index, coveredEnd }: SavedSegmentIndex,
): Promise<void> {
  const snapshot = index.snapshot();
  try {
    await replaceFileBy(disk, path, async (file) => {
      await file.write(headerOf(coveredEnd, snapshot.segmentCount), 0);
      let position = HEADER_BYTES;
      let frameCount = 0;
      const writer = new Writer(64 * 1024);
      for (;;) {
        const segments = snapshot.take(RANGES_PER_FRAME);
        if (segments.length === 0) break;
        const frame = frameOf(writer, segments);
        await file.write(frame, position);
        position += frame.length;
        frameCount += 1;
      }
      await file.write(endFrameOf(frameCount), position);
    });
  } finally {
    snapshot.close();
  }
}

/**
 * Reads the file at `path`; undefined if there is none.
 * @throws SegmentIndexDamagedError, DiskError, KafkaError KAFKA_STORAGE_ERROR if a newer version wrote it
 */
export async function loadSegmentIndex(
  disk: Disk,
  path: string,
): Promise<SavedSegmentIndex | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (thrown) {
    if (thrown instanceof DiskError && thrown.kind === "missing") return undefined;
    throw thrown;
  }
  try {
    return await new IndexReader(file, await file.sizeBytes()).read();
  } finally {
    await file.close();
  }
}

/** Reads the parts of the file in order, each checked before it is used. */
class IndexReader {
  readonly #file: DiskFile;
  readonly #sizeBytes: number;
  readonly #index = new SegmentIndex();
  #position = 0;

  constructor(file: DiskFile, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  async read(): Promise<SavedSegmentIndex> {
    const start = await this.#read(HEADER_BYTES + FRAME_HEADER_BYTES);
    const { version, coveredEnd, segmentCount } = this.#header(start);
    let frameCount = 0;
    let restoredCount = 0;
    let frameHeader = start.subarray(HEADER_BYTES);
    for (;;) {
      const lengthBytes = readUint32At(frameHeader, 0);
      const crc = readUint32At(frameHeader, 4);
      if (lengthBytes === 0) {
        const isEnd = crc === frameCount && this.#position === this.#sizeBytes;
        if (!isEnd) this.#refuse("its end is not where it should be");
        break;
      }
      if (lengthBytes > FRAME_BYTES_LIMIT) this.#refuse("a frame is too long");
      // The next frame's header comes with it: one trip to the disk a frame.
      const bytes = await this.#read(lengthBytes + FRAME_HEADER_BYTES);
      if (crc32c(bytes, 0, lengthBytes) !== crc) this.#refuse("a checksum is wrong");
      restoredCount += this.#restore(new Reader(bytes, 0, lengthBytes), version);
      frameHeader = bytes.subarray(lengthBytes);
      frameCount += 1;
    }
    if (restoredCount !== segmentCount) this.#refuse("it lacks segments");
    const fault = this.#index.finishRestore();
    if (fault !== undefined) this.#refuse(fault);
    return { index: this.#index, coveredEnd };
  }

  #header(bytes: Uint8Array): { version: number; coveredEnd: number; segmentCount: number } {
    if (!MAGIC.every((byte, index) => bytes[index] === byte)) {
      this.#refuse("it is not an index of segments");
    }
    const version = readUint32At(bytes, VERSION_POSITION);
    if (version > FACTS_VERSION) {
      throw new KafkaError(
        ErrorCode.kafkaStorageError,
        `${this.#file.path} has format ${version}, of a newer version of this program. Use that version.`,
      );
    }
    if (readUint32At(bytes, CRC_POSITION) !== crc32c(bytes, 0, CRC_POSITION)) {
      this.#refuse("its header is damaged");
    }
    if (version < FACTS_VERSION_MIN) this.#refuse(`its format ${version} is none`);
    return {
      version,
      coveredEnd: readInt64At(bytes, COVERED_END_POSITION),
      segmentCount: readUint32At(bytes, SEGMENT_COUNT_POSITION),
    };
  }

  /** @returns how many segments a frame held. */
  #restore(reader: Reader, version: number): number {
    let count = 0;
    try {
      for (; reader.remaining > 0; count += 1) {
        this.#index.restore(readSegmentFacts(reader, version));
      }
    } catch (thrown) {
      this.#refuse(`a frame has a valid checksum, but cannot be read: ${String(thrown)}`);
    }
    return count;
  }

  async #read(lengthBytes: number): Promise<Uint8Array> {
    if (this.#position + lengthBytes > this.#sizeBytes) this.#refuse("it is cut short");
    const bytes = new Uint8Array(lengthBytes);
    const count = await this.#file.read(bytes, this.#position);
    if (count < lengthBytes) this.#refuse("it is cut short");
    this.#position += lengthBytes;
    return bytes;
  }

  #refuse(reason: string): never {
    const where = { path: this.#file.path, position: this.#position };
    throw new SegmentIndexDamagedError(where, reason);
  }
}

function headerOf(coveredEnd: number, segmentCount: number): Uint8Array {
  assert(Number.isSafeInteger(coveredEnd) && coveredEnd >= 0, `${coveredEnd} is not an address`);
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes.set(MAGIC);
  writeInt32At(bytes, VERSION_POSITION, FACTS_VERSION);
  writeInt64At(bytes, COVERED_END_POSITION, coveredEnd);
  writeInt32At(bytes, SEGMENT_COUNT_POSITION, segmentCount);
  writeInt32At(bytes, CRC_POSITION, crc32c(bytes, 0, CRC_POSITION));
  return bytes;
}

/** A frame in `writer`'s memory: valid until it is used again. */
function frameOf(writer: Writer, segments: readonly SegmentFacts[]): Uint8Array {
  writer.reset();
  writer.writeInt32(0);
  writer.writeInt32(0);
  for (const facts of segments) writeSegmentFacts(writer, facts);
  const frame = writer.bytesWritten();
  const lengthBytes = frame.length - FRAME_HEADER_BYTES;
  assert(lengthBytes <= FRAME_BYTES_LIMIT, "a frame is too long");
  writeInt32At(frame, 0, lengthBytes);
  writeInt32At(frame, 4, crc32c(frame, FRAME_HEADER_BYTES));
  return frame;
}

function endFrameOf(frameCount: number): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES);
  writeInt32At(frame, 4, frameCount);
  return frame;
}
