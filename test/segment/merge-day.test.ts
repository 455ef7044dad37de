/** A day of seals, as facts alone: how many objects a topic has at its end, and how often a byte was rewritten. */

import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { MERGE_LIMITS } from "../../src/segment/merge-policy.ts";
import { MergingLineages } from "../../src/segment/merging-lineages.ts";
import { planMerge } from "../../src/segment/merging-plan.ts";
import type { PartitionRange, SegmentFacts } from "../../src/segment/segment-facts.ts";
import { factsOfPlan, ModelIndex } from "./merge-model.ts";

const SEAL_MS = 30_000;
const SEALS_PER_DAY = 2_880;
const OWN_SEAL_BYTES = 32 * 1024 * 1024;
const RECORD_BYTES = 1_000;

interface Topic {
  readonly topicId: string;
  readonly partitionCount: number;
  readonly bytesPerSecond: number;
  /** How much the rate varies: 0 not at all, 1 from nothing to twice as much. */
  readonly variation: number;
}

interface Day {
  readonly objectCount: number;
  readonly topicObjectsMax: number;
  readonly rewrittenShare: number;
}

/** Nothing but work for the processor, which others may use too. */
const TIMEOUT_MS = 60_000;

test(
  "merging: a day of one busy topic (5 MB/s) leaves 70 objects, and rewrites a byte 2.5 times",
  async () => {
    const day = await liveDay([topicOf(0, 5_000_000, 6)]);
    expect(day.topicObjectsMax).toBeLessThanOrEqual(70);
    expect(day.rewrittenShare).toBeLessThanOrEqual(2.5);
  },
  TIMEOUT_MS,
);

test(
  "merging: a day of 100 topics from 1 B/s to 1 MB/s leaves 60 objects each, and rewrites a byte 2.5 times",
  async () => {
    const topics = Array.from({ length: 100 }, (_, index) =>
      topicOf(index, 10 ** ((6 * index) / 99), 1),
    );
    const day = await liveDay(topics);
    expect(day.topicObjectsMax).toBeLessThanOrEqual(60);
    expect(day.rewrittenShare).toBeLessThanOrEqual(2.5);
  },
  TIMEOUT_MS,
);

test(
  "merging: a day of 2,000 topics that trickle leaves 20 objects in all, and rewrites a byte 2.7 times",
  async () => {
    const topics = Array.from({ length: 2_000 }, (_, index) =>
      topicOf(index, 10 ** (-2 + (index % 30) / 10), 1),
    );
    const day = await liveDay(topics);
    expect(day.objectCount).toBeLessThanOrEqual(20);
    expect(day.rewrittenShare).toBeLessThanOrEqual(2.7);
  },
  TIMEOUT_MS,
);

test(
  "merging: a day of topics that change between own and shared segments leaves 70 objects each",
  async () => {
    const topics = [
      ...Array.from({ length: 5 }, (_, index) => topicOf(index, 1_100_000, 2, 1)),
      ...Array.from({ length: 20 }, (_, index) => topicOf(10 + index, 3, 1)),
    ];
    const day = await liveDay(topics);
    expect(day.topicObjectsMax).toBeLessThanOrEqual(70);
    expect(day.rewrittenShare).toBeLessThanOrEqual(2.5);
  },
  TIMEOUT_MS,
);

function topicOf(
  index: number,
  bytesPerSecond: number,
  partitionCount: number,
  variation = 0.3,
): Topic {
  const topicId = `topic${String(index).padStart(17, "0")}`;
  return { topicId, partitionCount, bytesPerSecond, variation };
}

async function liveDay(topics: readonly Topic[]): Promise<Day> {
  const day = new SimulatedDay(topics);
  for (let seal = 0; seal < SEALS_PER_DAY; seal += 1) {
    day.seal(seal);
    await day.merge(seal * SEAL_MS);
  }
  return day.result();
}

class SimulatedDay {
  readonly #topics: readonly Topic[];
  readonly #random: Random = seededRandom(1);
  readonly #index = new ModelIndex();
  readonly #lineages = new MergingLineages({
    ...MERGE_LIMITS,
    indexWaitMs: 0,
    isIndexed: () => true,
  });
  readonly #endOffsets = new Map<string, number>();
  #segmentCount = 0;
  #sealedBytes = 0;
  #rewrittenBytes = 0;

  constructor(topics: readonly Topic[]) {
    this.#topics = topics;
  }

  seal(number: number): void {
    const shared: PartitionRange[] = [];
    const added: SegmentFacts[] = [];
    for (const topic of this.#topics) {
      const ranges = this.#rangesOf(topic);
      const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
      this.#sealedBytes += sizeBytes;
      if (sizeBytes >= OWN_SEAL_BYTES) added.push(this.#sealed(number, ranges));
      else shared.push(...ranges);
    }
    if (shared.length > 0) added.push(this.#sealed(number, shared));
    this.#apply(added, []);
  }

  async merge(nowMs: number): Promise<void> {
    for (;;) {
      const window = this.#lineages.nextWindow(MERGE_LIMITS, nowMs);
      if (window === undefined) return;
      const inputs = window.segmentIds.flatMap((id) => this.#index.segments.get(id) ?? []);
      const plan = await planMerge(inputs, this.#index, {
        kind: window.kind,
        ownBytesMin: MERGE_LIMITS.ownBytesMin,
        segmentBytesMax: MERGE_LIMITS.segmentBytesMax,
        newSegmentId: () => this.#newSegmentId(),
      });
      if (window.kind === "own" && plan.separatedIndices.length > 0) {
        for (const index of plan.separatedIndices) {
          this.#lineages.separate(
            window.segmentIds[index] ?? "",
            window.segmentIds[index - 1] ?? "",
          );
        }
        continue;
      }
      const outputs = factsOfPlan(plan, nowMs);
      for (const { ranges } of outputs) {
        for (const { sizeBytes } of ranges) this.#rewrittenBytes += sizeBytes;
      }
      this.#apply(outputs, window.segmentIds);
    }
  }

  result(): Day {
    const counts = new Map<string, number>();
    for (const { ranges } of this.#index.segments.values()) {
      for (const topicId of new Set(ranges.map((range) => range.topicId))) {
        counts.set(topicId, (counts.get(topicId) ?? 0) + 1);
      }
    }
    return {
      objectCount: this.#index.segments.size,
      topicObjectsMax: Math.max(...counts.values()),
      rewrittenShare: this.#rewrittenBytes / this.#sealedBytes,
    };
  }

  #rangesOf({ topicId, partitionCount, bytesPerSecond, variation }: Topic): PartitionRange[] {
    const ranges: PartitionRange[] = [];
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const share = 1 + variation * (2 * this.#random() - 1);
      const records = (bytesPerSecond * SEAL_MS * share) / (1000 * partitionCount * RECORD_BYTES);
      const recordCount = Math.floor(records + this.#random());
      if (recordCount === 0) continue;
      const key = `${topicId} ${partition}`;
      const startOffset = this.#endOffsets.get(key) ?? 0;
      const endOffset = startOffset + recordCount;
      this.#endOffsets.set(key, endOffset);
      const sizeBytes = recordCount * RECORD_BYTES;
      const counts = { batchCount: 1, recordCount, rowStart: 0, rowCount: 0 };
      const times = { minTimestampMs: 0, maxTimestampMs: 0 };
      ranges.push({
        topicId,
        partition,
        startOffset,
        endOffset,
        position: 0,
        sizeBytes,
        ...times,
        ...counts,
      });
    }
    return ranges;
  }

  #sealed(number: number, ranges: readonly PartitionRange[]): SegmentFacts {
    return {
      segmentId: this.#newSegmentId(),
      level: 0,
      createdMs: number * SEAL_MS,
      lengthBytes: 0,
      startAddress: number * 1_000_000,
      endAddress: (number + 1) * 1_000_000,
      searchIndex: null,
      ranges,
    };
  }

  #newSegmentId(): string {
    this.#segmentCount += 1;
    return `segment${String(this.#segmentCount).padStart(15, "0")}`;
  }

  #apply(added: readonly SegmentFacts[], removedIds: readonly string[]): void {
    this.#index.apply({ added, removedIds });
    for (const segmentId of removedIds) this.#lineages.remove(segmentId);
    for (const facts of added) this.#lineages.add(facts);
  }
}
