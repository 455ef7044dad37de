/** Plans of merges: whatever is merged, ranges of a partition never interleave and nothing live is lost. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../src/core/clock.ts";
import { type PlanOptions, planMerge } from "../../src/segment/merging-plan.ts";
import type { PartitionRange, SegmentFacts } from "../../src/segment/segment-facts.ts";
import { factsOfPlan, ModelIndex } from "./merge-model.ts";
import "../seed.ts";

const TOPIC_IDS = ["A", "B", "C", "D"].map((letter) => letter.repeat(22));
const PARTITION_COUNT = 3;
const STEP_COUNT = 60;

test("planMerge: any inputs leave ranges that never interleave, and every live record", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0 }), async (seed) => {
      const history = new History(seed);
      for (let step = 0; step < STEP_COUNT; step += 1) await history.step();
      history.checkAll();
    }),
    { numRuns: 150 },
  );
});

test("planMerge: a topic with enough bytes gets a segment of its own, the rest stays together", async () => {
  const [a = "", b = "", c = ""] = TOPIC_IDS;
  const { index, inputs } = sealed([
    [rangeOf(a, 0, 0, 10), rangeOf(b, 0, 0, 60), rangeOf(c, 1, 0, 5)],
    [rangeOf(a, 0, 10, 5), rangeOf(b, 0, 60, 40), rangeOf(c, 0, 0, 5)],
  ]);
  const plan = await planMerge(inputs, index, optionsOf({ ownBytesMin: 100 }));
  expect(plan.outputs.map(({ pieces }) => pieces.length)).toEqual([2, 4]);
  expect(plan.outputs.map(({ level }) => level)).toEqual([1, 1]);
});

test("planMerge: a topic is cut where its own segment of one seal lies between", async () => {
  const [a = "", b = ""] = TOPIC_IDS;
  const { index, inputs } = sealed([
    [rangeOf(a, 0, 0, 10), rangeOf(b, 0, 0, 10)],
    [rangeOf(a, 0, 10, 99)],
    [rangeOf(a, 0, 109, 10), rangeOf(b, 0, 10, 10)],
  ]);
  const shared = inputs.filter((_, input) => input !== 1);
  const plan = await planMerge(shared, index, optionsOf({}));
  expect(plan.outputs.map(({ pieces }) => pieces.map(({ inputIndex }) => inputIndex))).toEqual([
    [0],
    [1],
    [0, 1],
  ]);
  const own = await planMerge(shared, index, optionsOf({ kind: "own" }));
  expect(own.separatedIndices).toEqual([1]);
});

test("planMerge: a topic that is too large is split by partitions", async () => {
  const [a = ""] = TOPIC_IDS;
  const partitions = [40, 50, 90, 10, 250];
  const { index, inputs } = sealed([
    partitions.map((sizeBytes, partition) => rangeOf(a, partition, 0, sizeBytes)),
    partitions.map((sizeBytes, partition) => rangeOf(a, partition, sizeBytes, sizeBytes)),
  ]);
  const plan = await planMerge(inputs, index, optionsOf({ ownBytesMin: 1, segmentBytesMax: 200 }));
  const facts = factsOfPlan(plan, 0);
  expect(facts.map(({ ranges }) => ranges.map(({ partition }) => partition))).toEqual([
    [0, 1],
    [2, 3],
    [4],
  ]);
});

test("planMerge: what is deleted is left out, down to nothing", async () => {
  const [a = "", b = "", c = ""] = TOPIC_IDS;
  const { index, inputs } = sealed([
    [rangeOf(a, 0, 0, 10), rangeOf(a, 1, 0, 10), rangeOf(b, 0, 0, 10), rangeOf(c, 0, 0, 10)],
  ]);
  index.deleteTopic(c);
  index.setLogStartOffset(a, 0, 10);
  index.setLogStartOffset(a, 1, 4);
  const plan = await planMerge(inputs, index, optionsOf({ kind: "purge" }));
  expect(plan.outputs.map(({ level, pieces }) => ({ level, pieces }))).toEqual([
    {
      level: 0,
      pieces: [
        { inputIndex: 0, rangeIndex: 1, fromOffset: 4 },
        { inputIndex: 0, rangeIndex: 2, fromOffset: 0 },
      ],
    },
  ]);
  index.deleteTopic(a);
  index.deleteTopic(b);
  expect((await planMerge(inputs, index, optionsOf({ kind: "purge" }))).outputs).toEqual([]);
});

/** Seals, merges of any segments, deletions: in any order. */
class History {
  readonly #random;
  readonly #index = new ModelIndex();
  readonly #endOffsets = new Map<string, number>();
  #sealCount = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.5) this.#seal();
    else if (choice < 0.9) await this.#merge();
    else if (choice < 0.97) this.#deleteRecords();
    else this.#index.deleteTopic(this.#pick(TOPIC_IDS));
  }

  /** Every record that was sealed and is not deleted is in exactly one range. */
  checkAll(): void {
    for (const topicId of TOPIC_IDS) {
      for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
        const ranges = this.#index.ranges(topicId, partition);
        const last = ranges.at(-1);
        if (last === undefined) continue;
        expect(last.endOffset).toBe(this.#endOffsets.get(`${topicId} ${partition}`) ?? 0);
        const start = this.#index.logStartOffset(topicId, partition);
        expect(ranges[0]?.startOffset).toBeLessThanOrEqual(start);
        for (const [position, range] of ranges.entries()) {
          const next = ranges[position + 1];
          if (next !== undefined) expect(next.startOffset).toBe(range.endOffset);
        }
      }
    }
  }

  #seal(): void {
    const start = this.#sealCount * 100;
    this.#sealCount += 1;
    const shared: PartitionRange[] = [];
    const added: SegmentFacts[] = [];
    for (const topicId of TOPIC_IDS) {
      const ranges: PartitionRange[] = [];
      for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
        if (this.#random() < 0.5) ranges.push(this.#nextRange(topicId, partition));
      }
      if (this.#random() < 0.3 && ranges.length > 0) added.push(segmentOf(start, ranges));
      else shared.push(...ranges);
    }
    if (shared.length > 0) added.push(segmentOf(start, shared));
    this.#index.apply({ added, removedIds: [] });
  }

  async #merge(): Promise<void> {
    const all = [...this.#index.segments.values()].sort(
      (one, other) => one.startAddress - other.startAddress,
    );
    const isMember =
      this.#random() < 0.5 ? () => this.#random() < 0.3 : this.#windowFilter(all.length);
    const inputs = all.filter((_, position) => isMember(position));
    if (inputs.length === 0) return;
    const plan = await planMerge(inputs, this.#index, {
      kind: this.#pick(["shared", "own", "purge"] as const),
      ownBytesMin: this.#pick([1, 50, 1e9]),
      segmentBytesMax: this.#pick([10, 1e9]),
      newSegmentId: nextSegmentId,
    });
    const removedIds = inputs.map(({ segmentId }) => segmentId);
    this.#index.apply({ added: factsOfPlan(plan, 0), removedIds });
  }

  #windowFilter(count: number): (position: number) => boolean {
    const start = Math.floor(this.#random() * count);
    const end = start + 1 + Math.floor(this.#random() * 8);
    return (position) => position >= start && position < end;
  }

  #deleteRecords(): void {
    const topicId = this.#pick(TOPIC_IDS);
    const partition = Math.floor(this.#random() * PARTITION_COUNT);
    const end = this.#endOffsets.get(`${topicId} ${partition}`) ?? 0;
    const start = this.#index.logStartOffset(topicId, partition);
    const offset = start + Math.floor(this.#random() * (end - start + 1));
    this.#index.setLogStartOffset(topicId, partition, offset);
  }

  #nextRange(topicId: string, partition: number): PartitionRange {
    const key = `${topicId} ${partition}`;
    const startOffset = this.#endOffsets.get(key) ?? 0;
    const range = rangeOf(topicId, partition, startOffset, 1 + Math.floor(this.#random() * 20));
    this.#endOffsets.set(key, range.endOffset);
    return range;
  }

  #pick<Value>(values: readonly Value[]): Value {
    return values[Math.floor(this.#random() * values.length)] as Value;
  }
}

let segmentCount = 0;

function nextSegmentId(): string {
  segmentCount += 1;
  return `segment${String(segmentCount).padStart(15, "0")}`;
}

function segmentOf(startAddress: number, ranges: readonly PartitionRange[]): SegmentFacts {
  return {
    segmentId: nextSegmentId(),
    level: 0,
    createdMs: 0,
    lengthBytes: 0,
    startAddress,
    endAddress: startAddress + 100,
    searchIndex: null,
    ranges,
  };
}

/** One byte for each record. */
function rangeOf(
  topicId: string,
  partition: number,
  startOffset: number,
  recordCount: number,
): PartitionRange {
  const counts = { batchCount: 1, recordCount, rowStart: 0, rowCount: 0 };
  const place = { position: 0, sizeBytes: recordCount, minTimestampMs: 0, maxTimestampMs: 0 };
  return {
    topicId,
    partition,
    startOffset,
    endOffset: startOffset + recordCount,
    ...place,
    ...counts,
  };
}

function sealed(seals: readonly (readonly PartitionRange[])[]): {
  index: ModelIndex;
  inputs: readonly SegmentFacts[];
} {
  const index = new ModelIndex();
  const inputs = seals.map((ranges, seal) => segmentOf(seal * 100, ranges));
  index.apply({ added: inputs, removedIds: [] });
  return { index, inputs };
}

function optionsOf(options: Partial<PlanOptions>): PlanOptions {
  const sizes = { ownBytesMin: 1e9, segmentBytesMax: 1e9 };
  return { kind: "shared", ...sizes, newSegmentId: nextSegmentId, ...options };
}
