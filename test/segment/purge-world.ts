/** Segments of made-up batches over a simulated time, from which a purge job takes what was deleted. */

import type { Random } from "../../src/core/clock.ts";
import { planPurge } from "../../src/segment/purge-policy.ts";
import { PurgeTracker } from "../../src/segment/purge-tracker.ts";
import type { PartitionRange, SegmentFacts } from "../../src/segment/segment-facts.ts";
import { compareRanges } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { below, uuidFrom } from "./segment-model.ts";

export interface TestBatch {
  readonly topicId: string;
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly sizeBytes: number;
}

/** Those of a lower order were sealed earlier. */
interface TestSegment {
  readonly order: number;
  readonly batches: readonly TestBatch[];
}

interface RunningJob {
  readonly segmentId: string;
  readonly endMs: number;
  /** What was live when it began. */
  readonly batches: readonly TestBatch[];
}

export interface WorldOptions {
  readonly random: Random;
  readonly delayMs: number;
  /** How long it takes to write a segment again. */
  readonly jobMs: number;
}

/** One broker's segments. Time moves by `step` alone. */
export class PurgeWorld {
  nowMs = 1_700_000_000_000;
  rewrittenBytes = 0;
  sealedBytes = 0;
  readonly #segments = new Map<string, TestSegment>();
  readonly topicIds: string[] = [];
  /** When a topic was deleted. */
  readonly deletedMs = new Map<string, number>();
  /** When the log start offset of a partition passed an offset, oldest first. */
  readonly starts = new Map<string, { readonly offset: number; readonly atMs: number }[]>();
  readonly #options: WorldOptions;
  readonly #endOffsets = new Map<string, number>();
  #index = new SegmentIndex();
  #tracker: PurgeTracker;
  #job: RunningJob | undefined;
  #nextOrder = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#tracker = this.#newTracker();
  }

  /** The batches of each segment, earliest first. */
  segments(): readonly (readonly TestBatch[])[] {
    return this.#inOrder().map(([, { batches }]) => batches);
  }

  createTopic(): string {
    const topicId = uuidFrom(this.#options.random);
    this.topicIds.push(topicId);
    return topicId;
  }

  /** A segment with some batches of these topics. */
  seal(topicIds: readonly string[], batchCountMax = 8): string {
    const { random } = this.#options;
    const batches: TestBatch[] = [];
    for (const topicId of topicIds) {
      for (let partition = 0; partition < 2; partition += 1) {
        for (let count = below(random, batchCountMax + 1); count > 0; count -= 1) {
          const key = `${topicId}/${partition}`;
          const startOffset = this.#endOffsets.get(key) ?? 0;
          const endOffset = startOffset + 1 + below(random, 20);
          this.#endOffsets.set(key, endOffset);
          const sizeBytes = 100 + below(random, 900);
          batches.push({ topicId, partition, startOffset, endOffset, sizeBytes });
        }
      }
    }
    this.sealedBytes += bytesOf(batches);
    this.#nextOrder += 1;
    const segment = { order: this.#nextOrder, batches };
    return batches.length === 0 ? "" : this.#register(segment, []);
  }

  deleteTopic(topicId: string): void {
    const { delayMs } = this.#options;
    this.topicIds.splice(this.topicIds.indexOf(topicId), 1);
    this.deletedMs.set(topicId, this.nowMs);
    this.#tracker.topicDeleted(topicId, { nowMs: this.nowMs, delayMs });
    this.#index.deleteTopic(topicId);
  }

  endOffset(topicId: string, partition: number): number {
    return this.#endOffsets.get(`${topicId}/${partition}`) ?? 0;
  }

  logStartOffset(topicId: string, partition: number): number {
    return this.starts.get(`${topicId}/${partition}`)?.at(-1)?.offset ?? 0;
  }

  deleteRecords(topicId: string, partition: number, offset: number): void {
    if (offset <= this.logStartOffset(topicId, partition)) return;
    const { delayMs } = this.#options;
    const key = `${topicId}/${partition}`;
    this.#tracker.recordsDeleted({ topicId, partition }, offset, { nowMs: this.nowMs, delayMs });
    this.#index.setLogStartOffset(topicId, partition, offset);
    const starts = this.starts.get(key) ?? [];
    this.starts.set(key, [...starts, { offset, atMs: this.nowMs }]);
  }

  /** As a restart: times are forgotten, and a job that runs. */
  restart(): void {
    this.#job = undefined;
    const index = new SegmentIndex();
    for (const topicId of this.deletedMs.keys()) index.deleteTopic(topicId);
    const places = [...this.starts.keys()].map((key) => {
      const [topicId = "", partition] = key.split("/");
      return { topicId, partition: Number(partition) };
    });
    for (const { topicId, partition } of places) {
      index.setLogStartOffset(topicId, partition, this.logStartOffset(topicId, partition));
    }
    for (const [segmentId, { batches }] of this.#segments) {
      index.apply({ added: [factsOf(segmentId, batches)], removedIds: [] });
    }
    this.#index = index;
    this.#tracker = this.#newTracker();
    this.#tracker.start(places);
  }

  /** Makes one of the ten earliest segments, without what is dead, unless the purge job has one of them. */
  merge(): void {
    const inputs = this.#inOrder().slice(0, 10);
    if (inputs.some(([segmentId]) => segmentId === this.#job?.segmentId)) return;
    const batches = inputs.flatMap(([, segment]) => segment.batches);
    const live = batches.filter((batch) => this.isLive(batch));
    const removedIds = inputs.map(([segmentId]) => segmentId);
    if (live.length === 0) this.#change([], removedIds);
    else this.#register({ order: inputs[0]?.[1].order ?? 0, batches: live }, removedIds);
  }

  /** Moves time, and lets the job do what is due: one segment at a time. */
  step(elapsedMs: number): void {
    this.nowMs += elapsedMs;
    if (this.#job !== undefined && this.#job.endMs <= this.nowMs) this.#finish(this.#job);
    const plan = planPurge(this.#tracker.candidates(), this.nowMs);
    const deletedIds = plan.deletedIds.filter((segmentId) => segmentId !== this.#job?.segmentId);
    if (deletedIds.length > 0) this.#change([], deletedIds);
    const [segmentId] = plan.rewrittenIds;
    if (this.#job !== undefined || segmentId === undefined) return;
    const { batches: all = [] } = this.#segments.get(segmentId) ?? {};
    const batches = all.filter((batch) => this.isLive(batch));
    this.#job = { segmentId, endMs: this.nowMs + this.#options.jobMs, batches };
  }

  /** A batch that holds the log start offset is live. */
  isLive({ topicId, partition, endOffset }: TestBatch): boolean {
    return !this.deletedMs.has(topicId) && endOffset > this.logStartOffset(topicId, partition);
  }

  #finish({ segmentId, batches }: RunningJob): void {
    this.#job = undefined;
    this.rewrittenBytes += bytesOf(batches);
    const { order = 0 } = this.#segments.get(segmentId) ?? {};
    if (batches.length === 0) this.#change([], [segmentId]);
    else this.#register({ order, batches }, [segmentId]);
  }

  #inOrder(): [string, TestSegment][] {
    return [...this.#segments].sort(([, one], [, other]) => one.order - other.order);
  }

  #register(segment: TestSegment, removedIds: readonly string[]): string {
    const segmentId = uuidFrom(this.#options.random);
    this.#segments.set(segmentId, segment);
    this.#change([factsOf(segmentId, segment.batches)], removedIds);
    return segmentId;
  }

  #change(added: readonly SegmentFacts[], removedIds: readonly string[]): void {
    for (const segmentId of removedIds) this.#segments.delete(segmentId);
    this.#index.apply({ added, removedIds });
    this.#tracker.segmentsChanged({ added, removedIds });
  }

  #newTracker(): PurgeTracker {
    return new PurgeTracker({
      index: this.#index,
      logStartOffset: (topicId, partition) => this.logStartOffset(topicId, partition),
    });
  }
}

function factsOf(segmentId: string, batches: readonly TestBatch[]): SegmentFacts {
  const byPlace = Map.groupBy(batches, ({ topicId, partition }) => `${topicId}/${partition}`);
  const ranges = [...byPlace.values()].map((own): PartitionRange => {
    const [first] = own;
    if (first === undefined) throw new Error("a group has a batch");
    const { topicId, partition, startOffset } = first;
    const endOffset = own.at(-1)?.endOffset ?? 0;
    const times = { minTimestampMs: 0, maxTimestampMs: 0, rowStart: 0, rowCount: 0 };
    const counts = { batchCount: own.length, recordCount: endOffset - startOffset };
    const place = { position: 0, sizeBytes: bytesOf(own) };
    return { topicId, partition, startOffset, endOffset, ...place, ...times, ...counts };
  });
  let position = 0;
  const placed = ranges.sort(compareRanges).map((range) => {
    const start = position;
    position += range.sizeBytes;
    return { ...range, position: start };
  });
  const addresses = { startAddress: 0, endAddress: 1 };
  const rest = { level: 0, createdMs: 0, lengthBytes: position, searchIndex: null };
  return { segmentId, ...addresses, ...rest, ranges: placed };
}

function bytesOf(batches: readonly TestBatch[]): number {
  return batches.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
