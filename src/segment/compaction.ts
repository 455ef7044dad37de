/**
 * Finds what is to be compacted: topics with `cleanup.policy=compact`, every `log.cleaner.backoff.ms`,
 * the dirtiest partitions first. `merging.ts` carries it out between merges.
 *
 * How far a partition is compacted is not kept over a restart: then all of it counts as dirty, and the first
 * compaction looks at everything once more.
 */

import { type CancelTimer, type Clock, nextTurn } from "../core/clock.ts";
import type { LogManager } from "../log/log-manager.ts";
import type { Partition } from "../log/partition.ts";
import type { MetaStore, Topic } from "../meta/meta-store.ts";
import type { TopicConfigs } from "../meta/topic-configs.ts";
import {
  type CompactibleRange,
  type CompactionLimits,
  type DuePartition,
  duePartition,
} from "./compaction-policy.ts";
import type { CompactedPartition, PartitionCompaction } from "./merging-messages.ts";
import type { SegmentIndex } from "./segment-index.ts";

const PARTITIONS_PER_TURN = 64;
/** Segments that one job reads: bounds open files and memory. */
const SEGMENT_COUNT_MAX = 64;
/** Of a job with several partitions. */
const JOB_BYTES_MAX = 1024 * 1024 * 1024;

export interface CompactionOptions {
  readonly storage: {
    readonly meta: Pick<MetaStore, "topics" | "topicById">;
    readonly logs: LogManager;
  };
  readonly index: SegmentIndex;
  readonly configs: TopicConfigs;
  /** Whether the segment gets a search index yet, which compaction waits for. */
  readonly isAwaited: (segmentId: string) => boolean;
  readonly clock: Clock;
  /** There is something to be compacted. */
  readonly onDue: () => void;
  /** Time between looks. */
  readonly backoffMs: number;
  readonly keyMapBytesMax: number;
}

/** Partitions to be compacted together. */
export interface CompactionJob {
  readonly segmentIds: readonly string[];
  /** Their ranges get segments of their own. */
  readonly topicIds: ReadonlySet<string>;
  readonly compactions: readonly PartitionCompaction[];
}

interface Candidate extends DuePartition {
  readonly topic: Topic;
  readonly partition: Partition;
}

interface Settings extends CompactionLimits {
  readonly deleteRetentionMs: number;
}

/** Owns how far each partition is compacted. */
export class Compaction {
  readonly #options: CompactionOptions;
  readonly #settings = new WeakMap<Topic, { readonly of: Settings | undefined }>();
  /** By topic id and partition: below it everything is compacted. */
  readonly #dirtyOffsets = new Map<string, Map<number, number>>();
  #due: Candidate[] = [];
  #cancelTimer: CancelTimer = () => {};
  #looking: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(this.#options.backoffMs, () => {
      this.#looking = this.look();
      // It never rejects: it reads what is in memory.
      void this.#looking.then(() => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#looking;
  }

  /** Looks for partitions that are due. */
  async look(): Promise<void> {
    const { meta } = this.#options.storage;
    const due: Candidate[] = [];
    let count = 0;
    for (const topic of [...meta.topics()]) {
      if (this.#settingsOf(topic) === undefined) continue;
      for (let index = 0; index < topic.partitionCount; index += 1) {
        count += 1;
        if (count % PARTITIONS_PER_TURN === 0) await nextTurn();
        if (this.#isStopped) return;
        const candidate = this.#candidate(topic, index);
        if (candidate !== undefined) due.push(candidate);
      }
    }
    for (const topicId of this.#dirtyOffsets.keys()) {
      if (meta.topicById(topicId) === undefined) this.#dirtyOffsets.delete(topicId);
    }
    due.sort((one, other) => other.dirtyRatio - one.dirtyRatio);
    this.#due = due;
    if (due.length > 0) this.#options.onDue();
  }

  /** What to compact now; asked again once that is done. @param isAside segments that are to be left alone */
  nextJob(isAside: (segmentId: string) => boolean): CompactionJob | undefined {
    const chosen: Candidate[] = [];
    const segmentIds = new Set<string>();
    const rest: Candidate[] = [];
    let sizeBytes = 0;
    for (const old of this.#due) {
      // Merged or deleted meanwhile, perhaps.
      const candidate = this.#candidate(old.topic, old.partition.index);
      if (candidate === undefined || candidate.segmentIds.some(isAside)) continue;
      const added = candidate.segmentIds.filter((segmentId) => !segmentIds.has(segmentId));
      const isFitting =
        segmentIds.size + added.length <= SEGMENT_COUNT_MAX &&
        sizeBytes + candidate.sizeBytes <= JOB_BYTES_MAX;
      if (chosen.length > 0 && !isFitting) {
        rest.push(old);
        continue;
      }
      for (const segmentId of added) segmentIds.add(segmentId);
      chosen.push(candidate);
      sizeBytes += candidate.sizeBytes;
    }
    this.#due = rest;
    if (chosen.length === 0) return undefined;
    return {
      segmentIds: this.#inOrderOfLog(segmentIds),
      topicIds: new Set(chosen.map(({ topic }) => topic.topicId)),
      compactions: chosen.map((candidate) => this.#compactionOf(candidate)),
    };
  }

  /** These partitions are compacted up to these offsets, and that is registered. */
  done(partitions: readonly CompactedPartition[]): void {
    for (const { topicId, partition, endOffset } of partitions) {
      const offsets = this.#dirtyOffsets.get(topicId) ?? new Map<number, number>();
      this.#dirtyOffsets.set(topicId, offsets.set(partition, endOffset));
    }
  }

  #inOrderOfLog(segmentIds: ReadonlySet<string>): string[] {
    const { index } = this.#options;
    const addressOf = (segmentId: string) => index.summary(segmentId)?.startAddress ?? 0;
    return [...segmentIds].sort((one, other) => addressOf(one) - addressOf(other));
  }

  #candidate(topic: Topic, index: number): Candidate | undefined {
    const { storage, clock } = this.#options;
    const partition = storage.logs.partition(topic.topicId, index);
    const current = storage.meta.topicById(topic.topicId);
    const settings = current && this.#settingsOf(current);
    if (partition === undefined || current === undefined || settings === undefined)
      return undefined;
    const due = duePartition(this.#rangesOf(topic.topicId, index), settings, {
      dirtyOffset: this.#dirtyOffsetOf(topic.topicId, index),
      lastStableOffset: partition.lastStableOffset,
      nowMs: clock.nowMs(),
      segmentCountMax: SEGMENT_COUNT_MAX,
    });
    return due && { ...due, topic: current, partition };
  }

  *#rangesOf(topicId: string, partition: number): Generator<CompactibleRange> {
    for (const range of this.#options.index.ranges(topicId, partition)) {
      yield { ...range, isAwaited: this.#options.isAwaited(range.segmentId) };
    }
  }

  #dirtyOffsetOf(topicId: string, partition: number): number {
    return this.#dirtyOffsets.get(topicId)?.get(partition) ?? 0;
  }

  #compactionOf({ topic, partition, endOffset }: Candidate): PartitionCompaction {
    const { clock, keyMapBytesMax } = this.#options;
    const { topicId } = topic;
    const producers = partition.producers
      .stored()
      .flatMap(({ producerId, batches }) => [producerId, batches.at(-1)?.lastOffset ?? -1]);
    return {
      ...{ topicId, partition: partition.index, endOffset, keyMapBytesMax },
      dirtyOffset: this.#dirtyOffsetOf(topicId, partition.index),
      nowMs: clock.nowMs(),
      deleteRetentionMs: this.#settingsOf(topic)?.deleteRetentionMs ?? 0,
      producers: new Float64Array(producers),
    };
  }

  /** Undefined if the topic is not compacted. */
  #settingsOf(topic: Topic): Settings | undefined {
    const known = this.#settings.get(topic);
    if (known !== undefined) return known.of;
    const settings = settingsOf(this.#options.configs, topic);
    this.#settings.set(topic, { of: settings });
    return settings;
  }
}

function settingsOf(configs: TopicConfigs, { configs: own }: Topic): Settings | undefined {
  if (!configs.listOf(own, "cleanup.policy").includes("compact")) return undefined;
  return {
    dirtyRatioMin: configs.numberOf(own, "min.cleanable.dirty.ratio"),
    lagMsMin: configs.numberOf(own, "min.compaction.lag.ms"),
    lagMsMax: configs.numberOf(own, "max.compaction.lag.ms"),
    deleteRetentionMs: configs.numberOf(own, "delete.retention.ms"),
  };
}
