/** Writes segments for the search tests: what a seal does, without the log's partitions. */

import { systemDisk } from "../../src/core/disk.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { randomUuid } from "../../src/protocol/uuid.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentLayoutBuilder } from "../../src/segment/segment-layout.ts";
import { writeSegment } from "../../src/segment/segment-writer.ts";

export interface StoredBatch {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly bytes: Uint8Array;
}

interface SealedTopic {
  readonly name: string;
  readonly topicId: string;
}

interface SealedRange {
  readonly directory: string;
  readonly startAddress: number;
  readonly endAddress: number;
  /** By topic id and partition, with a slash between. */
  readonly batches: ReadonlyMap<string, readonly StoredBatch[]>;
}

/** Knows which batches are in segments. */
export class TestSealer {
  readonly #sealedCounts = new Map<string, number>();

  /** One segment for all topics, but for those that are to have their own. */
  async seal(
    topics: readonly SealedTopic[],
    options: SealedRange & { readonly isOwn: (topic: string) => boolean },
  ): Promise<SegmentFacts[]> {
    await systemDisk.createDirectory(options.directory);
    const own = topics.filter(({ name }) => options.isOwn(name)).map((topic) => [topic]);
    const facts: SegmentFacts[] = [];
    for (const group of [topics.filter(({ name }) => !options.isOwn(name)), ...own]) {
      facts.push(...(await this.#sealTopics(group, options)));
    }
    return facts;
  }

  async #sealTopics(topics: readonly SealedTopic[], range: SealedRange): Promise<SegmentFacts[]> {
    const layout = new SegmentLayoutBuilder();
    const batches: Uint8Array[] = [];
    for (const { topicId } of topics.toSorted((a, b) => (a.topicId < b.topicId ? -1 : 1))) {
      for (const [key, stored] of [...range.batches].sort()) {
        const [id, partition] = key.split("/");
        if (id !== topicId) continue;
        for (const batch of stored.slice(this.#sealedCounts.get(key) ?? 0)) {
          layout.add(topicId, Number(partition), readBatchHeader(batch.bytes, 0));
          batches.push(batch.bytes);
        }
        this.#sealedCounts.set(key, stored.length);
      }
    }
    if (batches.length === 0) return [];
    const { directory, startAddress, endAddress } = range;
    const facts = await writeSegment({
      disk: systemDisk,
      directory,
      head: { segmentId: randomUuid(), level: 0, createdMs: 0, startAddress, endAddress, topics },
      layout: layout.finish(),
      compression: "stored",
      batches: streamOf(batches),
    });
    return [facts];
  }
}

async function* streamOf(batches: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* batches;
}
