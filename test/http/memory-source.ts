/** Topics in memory behind the HTTP edge's `RecordSource`, and topic reads that run in this thread. */
import { systemClock } from "../../src/core/clock.ts";
import type { ApiOwners } from "../../src/http/api-routes.ts";
import type {
  PartitionPlace,
  ReadStretch,
  RecordSource,
  SourceTopic,
} from "../../src/http/record-source.ts";
import { TopicReads } from "../../src/http/topic-reads.ts";
import { pageOfRecords } from "../../src/http/topic-records-page.ts";
import { pageOfTable } from "../../src/http/topic-table-page.ts";
import {
  type BatchFields,
  batchOf,
  type CanonicalRecord,
  encodeBatch,
} from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { randomUuid } from "../../src/protocol/uuid.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";

/** What a test says of a record. */
export interface TestRecord {
  readonly timestampMs: number;
  readonly key?: string | Uint8Array | null;
  readonly value?: string | Uint8Array | null;
}

interface StoredPartition {
  startOffset: number;
  endOffset: number;
  readonly batches: Uint8Array[];
}

interface StoredTopic extends SourceTopic {
  readonly partitions: StoredPartition[];
}

export class MemorySource implements RecordSource {
  readonly #topics = new Map<string, StoredTopic>();
  readCount = 0;

  addTopic(name: string, partitionCount: number): void {
    const partitions = Array.from({ length: partitionCount }, () => ({
      startOffset: 0,
      endOffset: 0,
      batches: [],
    }));
    const topic = { topicId: randomUuid(), name, partitionCount, createdMs: 1, partitions };
    this.#topics.set(name, topic);
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name);
  }

  /** Adds one batch. @returns the offset of its first record */
  append(
    name: string,
    partition: number,
    records: readonly TestRecord[],
    fields: BatchFields = {},
  ): number {
    const stored = this.#partitionOf(name, partition);
    const baseOffset = stored.endOffset;
    const canonical = records.map(
      (record, index): CanonicalRecord => ({
        offset: baseOffset + index,
        timestampMs: record.timestampMs,
        key: bytesOf(record.key),
        value: bytesOf(record.value),
        headers: [],
        attributes: 0,
      }),
    );
    this.appendBytes(name, partition, encodeBatch(batchOf(canonical, fields)));
    return baseOffset;
  }

  appendBytes(name: string, partition: number, batch: Uint8Array): void {
    const stored = this.#partitionOf(name, partition);
    stored.batches.push(batch);
    stored.endOffset += readBatchHeader(batch, 0).lastOffsetDelta + 1;
  }

  deleteRecords(name: string, partition: number, startOffset: number): void {
    this.#partitionOf(name, partition).startOffset = startOffset;
  }

  topics(): readonly SourceTopic[] {
    return [...this.#topics.values()];
  }

  topic(name: string): SourceTopic | undefined {
    return this.#topics.get(name);
  }

  reachOf(place: PartitionPlace) {
    return this.#stored(place);
  }

  sizeBytesOf(place: PartitionPlace): number {
    return this.#stored(place)?.batches.reduce((sum, { length }) => sum + length, 0) ?? 0;
  }

  async readBatches(place: PartitionPlace, stretch: ReadStretch): Promise<readonly Uint8Array[]> {
    this.readCount += 1;
    const { offset, endOffset, maxBytes } = stretch;
    const read: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const batch of this.#stored(place)?.batches ?? []) {
      const { baseOffset, lastOffsetDelta } = readBatchHeader(batch, 0);
      if (baseOffset + lastOffsetDelta < offset) continue;
      if (baseOffset >= endOffset || (read.length > 0 && sizeBytes + batch.length > maxBytes))
        break;
      read.push(batch.slice());
      sizeBytes += batch.length;
    }
    return read;
  }

  async offsetSince(place: PartitionPlace, timestampMs: number): Promise<number | undefined> {
    const job = {
      topic: "",
      topicId: place.topicId,
      ranges: [
        { ...place, offset: 0, endOffset: this.#stored(place)?.endOffset ?? 0, toMs: undefined },
      ],
      limit: 100_000,
    };
    const limits = {
      ...{ lengthMax: 1e9, heldBytesMax: 1e9, contentBytesMax: 1e9, elapsedMsMax: 1e9 },
      clock: systemClock,
    };
    const page = await pageOfRecords(job, (_, stretch) => this.readBatches(place, stretch), limits);
    const { records } = JSON.parse(Buffer.from(page).toString());
    return records.find((record: { timestamp: number }) => record.timestamp >= timestampMs)?.offset;
  }

  #stored({ topicId, partition }: PartitionPlace): StoredPartition | undefined {
    const topic = [...this.#topics.values()].find((each) => each.topicId === topicId);
    return topic?.partitions[partition];
  }

  #partitionOf(name: string, partition: number): StoredPartition {
    const stored = this.#topics.get(name)?.partitions[partition];
    if (stored === undefined) throw new Error(`there is no ${name}/${partition}`);
    return stored;
  }
}

/** Topic reads over `source`, with as little memory as a test wants. */
export function readsIn(source: RecordSource, heldBytesMax = 2 ** 20): TopicReads {
  return new TopicReads({
    source,
    clock: systemClock,
    run: async (job) => {
      const { topicId } = job;
      const read = (partition: number, stretch: ReadStretch) =>
        source.readBatches({ topicId, partition }, stretch);
      const contentBytesMax = 32 * 2 ** 20;
      const limits = { heldBytesMax, contentBytesMax, elapsedMsMax: 60_000, clock: systemClock };
      const body =
        job.kind === "records"
          ? await pageOfRecords(job, read, { ...limits, lengthMax: 100_000 })
          : await pageOfTable(job, read, { ...limits, keysMax: job.limit });
      return { status: 200, body };
    },
  });
}

/** A broker's `/api` without topics. */
export function apiWithoutTopics(): ApiOwners {
  const source = new MemorySource();
  const segmentStats = () => new SegmentIndex().stats();
  return { source, reads: readsIn(source), segmentStats };
}

function bytesOf(text: string | Uint8Array | null | undefined): Uint8Array | null {
  if (text === null || text === undefined) return null;
  return typeof text === "string" ? Buffer.from(text) : text;
}
