/** Real segments of random batches on a disk, and all that was ever sealed, to compare with. */

import { expect } from "bun:test";
import type { Random } from "../../src/core/clock.ts";
import { type Disk, readWholeFile } from "../../src/core/disk.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { batchesIn, readBatchHeader } from "../../src/protocol/record-batch.ts";
import { uuidOf } from "../../src/protocol/uuid.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import { decodeRanges, type SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentLayoutBuilder } from "../../src/segment/segment-layout.ts";
import {
  BATCHES_NAME,
  OFFSETS_NAME,
  RANGES_NAME,
  segmentFileName,
  writeSegment,
} from "../../src/segment/segment-writer.ts";
import { memorySource, noise, prose } from "./archive-fixture.ts";

export const TOPIC_IDS = [1, 2, 3, 4].map((byte) => uuidOf(new Uint8Array(16).fill(byte), 0));
const PARTITION_COUNT = 2;
const ADDRESSES_PER_SEAL = 1000;
/** Values are cut out of these. */
const POOL_BYTES = 1_000_000;
const NOISE = noise(POOL_BYTES, 1);
const PROSE = prose(POOL_BYTES, 1);

let idCount = 0;

/** Unique within the process, so that a failure shows the same ids again. */
export function nextSegmentId(): string {
  idCount += 1;
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(12, idCount);
  return uuidOf(bytes, 0);
}

/** One batch, with the offset it was sealed at. */
interface SealedBatch {
  readonly lastOffset: number;
  readonly bytes: Uint8Array;
}

export interface SealSizes {
  /** Of a batch's records. */
  readonly batchBytesMax: number;
  readonly batchCountMax: number;
}

/** Seals batches, and knows them all. */
export class SealedWorld {
  readonly #random: Random;
  readonly #sizes: SealSizes;
  readonly #text: "prose" | "noise" | undefined;
  /** By topic and partition. */
  readonly #batches = new Map<string, SealedBatch[]>();
  #sealCount = 0;

  /** @param text what the records are, uncompressed; anything, and partly compressed, if it isn't given */
  constructor(random: Random, sizes: SealSizes, text?: "prose" | "noise") {
    this.#random = random;
    this.#sizes = sizes;
    this.#text = text;
  }

  /** Writes the segments of one seal: one for most topics, and perhaps some of one topic. */
  async seal(disk: Disk, directory: string): Promise<SegmentFacts[]> {
    const topics = TOPIC_IDS.filter(() => this.#random() < 0.7);
    const own = topics.filter(() => this.#random() < 0.25);
    const groups = [topics.filter((topicId) => !own.includes(topicId)), ...own.map((one) => [one])];
    const segments: SegmentFacts[] = [];
    for (const group of groups) {
      if (group.length > 0) segments.push(await this.#sealGroup(disk, directory, group));
    }
    this.#sealCount += 1;
    return segments;
  }

  endOffset(topicId: string, partition: number): number {
    return (this.#batches.get(`${topicId} ${partition}`)?.at(-1)?.lastOffset ?? -1) + 1;
  }

  /** The batches of a partition that hold `fromOffset` or a later one, one behind the other. */
  expected(topicId: string, partition: number, fromOffset: number): Uint8Array {
    const batches = this.#batches.get(`${topicId} ${partition}`) ?? [];
    const live = batches.filter(({ lastOffset }) => lastOffset >= fromOffset);
    return Buffer.concat(live.map(({ bytes }) => bytes));
  }

  async #sealGroup(
    disk: Disk,
    directory: string,
    topicIds: readonly string[],
  ): Promise<SegmentFacts> {
    const layout = new SegmentLayoutBuilder();
    const pieces: Uint8Array[] = [];
    for (const topicId of topicIds) {
      for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
        // The last partition of a topic may have nothing.
        if (partition > 0 && this.#random() < 0.3) continue;
        for (let left = 1 + this.#below(this.#sizes.batchCountMax); left > 0; left -= 1) {
          const bytes = this.#nextBatch(topicId, partition);
          layout.add(topicId, partition, readBatchHeader(bytes, 0));
          pieces.push(bytes);
        }
      }
    }
    const startAddress = this.#sealCount * ADDRESSES_PER_SEAL;
    const head = { segmentId: nextSegmentId(), level: 0, createdMs: this.#sealCount };
    return await writeSegment({
      disk,
      directory,
      head: {
        ...head,
        startAddress,
        endAddress: startAddress + ADDRESSES_PER_SEAL,
        topics: topicIds.map((topicId) => ({ topicId, name: `name-of-${topicId}` })),
      },
      layout: layout.finish(),
      compression: "stored",
      batches: (async function* () {
        yield* pieces;
      })(),
    });
  }

  #nextBatch(topicId: string, partition: number): Uint8Array {
    const baseOffset = this.endOffset(topicId, partition);
    const recordCount = 1 + this.#below(3);
    const records = Array.from({ length: recordCount }, (_, index) => {
      const valueBytes = 1 + this.#below(this.#sizes.batchBytesMax / recordCount);
      const text = this.#text ?? (this.#random() < 0.5 ? "prose" : "noise");
      const pool = text === "prose" ? PROSE : NOISE;
      const start = this.#below(pool.length - valueBytes);
      const value = pool.subarray(start, start + valueBytes);
      const timestampMs = 1_000_000 + this.#below(1000);
      return {
        offset: baseOffset + index,
        timestampMs,
        key: null,
        value,
        headers: [],
        attributes: 0,
      };
    });
    const compression = this.#text === undefined && this.#random() < 0.3 ? "gzip" : "none";
    const bytes = encodeBatch(batchOf(records, { compression, partitionLeaderEpoch: 3 }));
    const key = `${topicId} ${partition}`;
    const batches = this.#batches.get(key) ?? [];
    batches.push({ lastOffset: baseOffset + recordCount - 1, bytes });
    this.#batches.set(key, batches);
    return bytes;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** What the ranges of `segments` hold, from `startOffset` on, compared with all that was sealed. */
export async function expectAllSealed(
  world: SealedWorld,
  segments: readonly SegmentFacts[],
  place: {
    readonly disk: Disk;
    readonly directory: string;
    readonly startOffset: (topicId: string, partition: number) => number;
    readonly isDeleted: (topicId: string) => boolean;
  },
): Promise<void> {
  const archives = new Map<string, ArchiveReader>();
  for (const { segmentId, lengthBytes } of segments) {
    const bytes = await readWholeFile(
      place.disk,
      `${place.directory}/${segmentFileName(segmentId)}`,
    );
    archives.set(
      segmentId,
      await ArchiveReader.open(memorySource(bytes ?? new Uint8Array(0)), lengthBytes),
    );
  }
  const ranges = segments.flatMap((facts) =>
    facts.ranges.map((range) => ({ ...range, segmentId: facts.segmentId })),
  );
  ranges.sort((one, other) => one.startOffset - other.startOffset);
  for (const topicId of TOPIC_IDS) {
    if (place.isDeleted(topicId)) continue;
    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      const startOffset = place.startOffset(topicId, partition);
      const found: Uint8Array[] = [];
      for (const range of ranges) {
        if (range.topicId !== topicId || range.partition !== partition) continue;
        const archive = archives.get(range.segmentId);
        const bytes = await archive?.read(BATCHES_NAME, range.position, range.sizeBytes);
        if (bytes !== undefined) found.push(liveBatches(bytes, startOffset));
      }
      const expected = world.expected(topicId, partition, startOffset);
      expect(Buffer.compare(Buffer.concat(found), expected)).toBe(0);
    }
  }
}

/** Compares what a segment's file says with its facts, and its sparse index with its batches. */
export async function expectSound(
  disk: Disk,
  directory: string,
  facts: SegmentFacts,
): Promise<void> {
  const bytes = await readWholeFile(disk, `${directory}/${segmentFileName(facts.segmentId)}`);
  expect(bytes?.length).toBe(facts.lengthBytes);
  const archive = await ArchiveReader.open(
    memorySource(bytes ?? new Uint8Array(0)),
    facts.lengthBytes,
  );
  const [ranges, rows, batches] = await Promise.all(
    [RANGES_NAME, OFFSETS_NAME, BATCHES_NAME].map((name) => {
      const entry = archive.entries().find((each) => each.name === name);
      return archive.read(name, 0, entry?.sizeBytes ?? 0);
    }),
  );
  expect(decodeRanges(ranges ?? new Uint8Array(0))).toEqual(facts.ranges);
  const layout = new SegmentLayoutBuilder();
  for (const { topicId, partition, position, sizeBytes } of facts.ranges) {
    for (const [start] of batchesIn(batches ?? new Uint8Array(0), position, position + sizeBytes)) {
      layout.add(topicId, partition, readBatchHeader(batches ?? new Uint8Array(0), start));
    }
  }
  const expected = layout.finish();
  expect(expected.ranges).toEqual(facts.ranges);
  expect(Buffer.compare(expected.rows, rows ?? new Uint8Array(0))).toBe(0);
  expect(expected.sizeBytes).toBe(batches?.length ?? -1);
}

function liveBatches(bytes: Uint8Array, startOffset: number): Uint8Array {
  for (const [start] of batchesIn(bytes)) {
    const { baseOffset, lastOffsetDelta } = readBatchHeader(bytes, start);
    if (baseOffset + lastOffsetDelta >= startOffset) return bytes.subarray(start);
  }
  return bytes.subarray(bytes.length);
}
