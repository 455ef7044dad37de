/**
 * Deletes what has passed a topic's `retention.ms` or `retention.bytes`, from time to time: the log start offset
 * rises by the same command as with DeleteRecords, so the records are gone from fetches, searches and aggregations at
 * once, and their bytes follow with the purge.
 *
 * `cleanup.policy` says whether: topics without `delete` keep everything.
 */

import { type CancelTimer, type Clock, nextTurn } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { LogManager } from "../log/log-manager.ts";
import type { PartitionPlace } from "../log/sealed-log.ts";
import { RangeMovedError } from "../log/sealed-log.ts";
import { PARTITIONS_PER_COMMAND } from "../meta/log-start-offsets.ts";
import type { MetaStore, PartitionStart, Topic } from "../meta/meta-store.ts";
import type { TopicConfigs } from "../meta/topic-configs.ts";
import { retainedLogOf } from "./retained-log.ts";
import { type RetentionLimits, retainedStart } from "./retention-policy.ts";
import type { SegmentStore } from "./segment-store.ts";

/** The first check comes so soon after the start, as in Kafka, or after the interval if that is shorter. */
const FIRST_CHECK_MS = 30_000;
const PARTITIONS_PER_TURN = 64;

export interface RetentionOptions {
  readonly storage: {
    readonly meta: MetaStore;
    readonly logs: LogManager;
    readonly segments: SegmentStore;
  };
  readonly configs: TopicConfigs;
  /** `log.retention.check.interval.ms`. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Owns the checks: one at a time. */
export class Retention {
  readonly #options: RetentionOptions;
  /** Undefined: the topic keeps everything. A topic is another object once its configs have changed. */
  readonly #limits = new WeakMap<Topic, { readonly limits: RetentionLimits | undefined }>();
  /** Of the command under way: the topic, and its partitions' new starts. */
  #expiring: { topicId: string; offsets: readonly PartitionStart[] } | undefined;
  #cancelTimer: CancelTimer = () => {};
  #checking: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#checkAfter(Math.min(FIRST_CHECK_MS, this.#options.intervalMs));
  }

  /** Waits for a check under way, which ends early. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#checking;
  }

  /** Whether records below `offset` are deleted now because they have passed their retention. */
  isExpiring({ topicId, partition }: PartitionPlace, offset: number): boolean {
    if (this.#expiring?.topicId !== topicId) return false;
    return this.#expiring.offsets.some(
      (one) => one.partition === partition && one.offset === offset,
    );
  }

  /** Looks at every partition once; a topic that fails is told, and tried again with the next check. */
  check(): Promise<void> {
    this.#checking ??= this.#checkAll().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  #checkAfter(delayMs: number): void {
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      // `check` never rejects.
      void this.check().then(() => {
        if (!this.#isStopped) this.#checkAfter(this.#options.intervalMs);
      });
    });
  }

  async #checkAll(): Promise<void> {
    const { meta } = this.#options.storage;
    const { logger } = this.#options;
    let count = 0;
    for (const topic of [...meta.topics()]) {
      const limits = this.#limitsOf(topic);
      if (limits === undefined) continue;
      const offsets: PartitionStart[] = [];
      try {
        for (let partition = 0; partition < topic.partitionCount; partition += 1) {
          count += 1;
          if (count % PARTITIONS_PER_TURN === 0) await nextTurn();
          if (this.#isStopped) return;
          const offset = await this.#newStartOf({ topicId: topic.topicId, partition }, limits);
          if (offset !== undefined) offsets.push({ partition, offset });
        }
        await this.#expire(topic, offsets);
      } catch (thrown) {
        // Deleted while it was looked at.
        if (meta.topicById(topic.topicId) === undefined) continue;
        logger.warn("retention_failed", { topic: topic.name, reason: String(thrown) });
      }
    }
  }

  /** Undefined if nothing of the partition has passed. */
  async #newStartOf(place: PartitionPlace, limits: RetentionLimits): Promise<number | undefined> {
    const { clock, storage } = this.#options;
    const partition = storage.logs.partition(place.topicId, place.partition);
    if (partition === undefined) return undefined;
    try {
      const log = retainedLogOf(storage.segments, partition);
      const offset = await retainedStart(log, limits, clock.nowMs());
      return offset > partition.logStartOffset ? offset : undefined;
    } catch (thrown) {
      // Merged meanwhile: the next check looks again.
      if (thrown instanceof RangeMovedError) return undefined;
      throw thrown;
    }
  }

  async #expire({ topicId, name }: Topic, offsets: readonly PartitionStart[]): Promise<void> {
    const { storage, logger } = this.#options;
    for (let start = 0; start < offsets.length; start += PARTITIONS_PER_COMMAND) {
      const part = offsets.slice(start, start + PARTITIONS_PER_COMMAND);
      this.#expiring = { topicId, offsets: part };
      try {
        await storage.meta.commit({ kind: "logStartOffsetsSet", topicId, offsets: part });
      } finally {
        this.#expiring = undefined;
      }
      logger.info("records_expired", { topic: name, partitionCount: part.length });
    }
  }

  #limitsOf(topic: Topic): RetentionLimits | undefined {
    const known = this.#limits.get(topic);
    if (known !== undefined) return known.limits;
    const limits = limitsOf(this.#options.configs, topic);
    this.#limits.set(topic, { limits });
    return limits;
  }
}

function limitsOf(configs: TopicConfigs, { configs: own }: Topic): RetentionLimits | undefined {
  if (!configs.listOf(own, "cleanup.policy").includes("delete")) return undefined;
  const retentionMs = configs.numberOf(own, "retention.ms");
  const retentionBytes = configs.numberOf(own, "retention.bytes");
  if (retentionMs < 0 && retentionBytes < 0) return undefined;
  return {
    retentionMs,
    retentionBytes,
    segmentBytes: configs.numberOf(own, "segment.bytes"),
    segmentMs: configs.numberOf(own, "segment.ms"),
  };
}
