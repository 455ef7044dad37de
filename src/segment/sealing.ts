/**
 * Moves what is durable in the WAL into segments, one round at a time. A round takes everything that lies before
 * the durable end when it starts: one segment for all topics, and one of its own for each topic with much. The
 * segments are written by a Worker, then registered; from then on the log reads them, and the WAL may go. A crash
 * before the registration leaves files that nobody knows, and the round is done again.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { type CreateWorker, SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import type { LogManager } from "../log/log-manager.ts";
import type { Partition } from "../log/partition.ts";
import { randomUuid } from "../protocol/uuid.ts";
import type { Wal } from "../wal/wal.ts";
import { type WalAddress, walAddressOf } from "../wal/wal-address.ts";
import {
  NUMBERS_PER_RUN,
  type SealCommand,
  type SealedPartition,
  type SealReport,
  type SegmentToSeal,
} from "./sealing-messages.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import type { SegmentStore } from "./segment-store.ts";

/** A topic with at least this many bytes in a round gets a segment of its own. */
const OWN_SEGMENT_BYTES = 32 * 1024 * 1024;
/**
 * Partitions of one segment at most: their ranges, at 131 bytes in the worst case, are registered in one entry of
 * metadata, which may have 2 MiB.
 */
const RANGE_COUNT_MAX = 15_000;
/** WAL files of one round at most: a long backlog becomes several segments. */
const ROUND_FILES_MAX = 4;

/** Under load rounds follow each other: so long the Worker, warm by then, waits for the next one. */
const IDLE_MS = 3_000;

export interface SealingOptions {
  readonly wal: Wal;
  readonly walDirectory: string;
  readonly logs: LogManager;
  readonly segments: SegmentStore;
  /** A round takes what lies before `endAddress`. Called before more than what is durable now is announced. */
  readonly onBegin?: (endAddress: WalAddress) => void;
  /** Partitions of one segment at most, for tests. */
  readonly rangeCountMax?: number;
  /** Makes segments known; resolves when that is durable and the log reads them. */
  readonly register: (segments: readonly SegmentFacts[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests that want to kill the Worker. */
  readonly createWorker?: CreateWorker;
}

/** What became of a round. */
export interface SealedRound {
  readonly segments: readonly SegmentFacts[];
  /** Exclusive end of what is sealed in the WAL. */
  readonly endAddress: WalAddress;
}

/** Owns the Worker. Rounds are not to overlap. */
export class Sealing {
  readonly #options: SealingOptions;
  #worker: SupervisedWorker<SealCommand, SealReport> | undefined;
  /** What it carries out. */
  #command: SealCommand | undefined;
  #resolve: (report: SealReport) => void = () => {};
  #cancelIdle: CancelTimer = () => {};
  #sealedAddress: WalAddress;
  #isStopped = false;

  constructor(options: SealingOptions) {
    this.#options = options;
    this.#sealedAddress = options.wal.startAddress;
    for (const { endAddress } of options.segments.index.segments()) {
      this.#sealedAddress = Math.max(this.#sealedAddress, endAddress);
    }
  }

  /**
   * Seals what is durable now, or of much of it the oldest part.
   * @returns undefined if there is nothing, or the broker stops
   * @throws Error if the segments can't be written or registered; the WAL keeps it all
   */
  async seal(): Promise<SealedRound | undefined> {
    const endAddress = this.#endOfRound();
    const segments = this.#plan(endAddress);
    if (segments.length === 0) return undefined;
    // Until they are registered, whoever sweeps the directory must know of them.
    const unpins = segments.map(({ segmentId }) => this.#options.segments.pin(segmentId));
    try {
      this.#options.onBegin?.(endAddress);
      const report = await this.#run({
        kind: "seal",
        walDirectory: this.#options.walDirectory,
        directory: this.#options.segments.directory,
        createdMs: this.#options.clock.nowMs(),
        startAddress: Math.min(this.#sealedAddress, firstAddressOf(segments)),
        endAddress,
        segments,
      });
      if (this.#isStopped) return undefined;
      if (report.kind === "failed") throw new Error(`Sealing failed: ${report.reason}`);
      await this.#options.register(report.segments);
      this.#sealedAddress = endAddress;
      return { segments: report.segments, endAddress };
    } finally {
      for (const unpin of unpins) unpin();
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelIdle();
    this.#endWorker();
    this.#resolve({ kind: "failed", reason: "the broker stops" });
  }

  #endOfRound(): WalAddress {
    const { wal, logs } = this.#options;
    const oldest = logs.oldestLiveSequence;
    if (oldest === undefined) return wal.durableAddress;
    return Math.min(wal.durableAddress, walAddressOf(oldest + ROUND_FILES_MAX, 0));
  }

  #plan(endAddress: WalAddress): SegmentToSeal[] {
    const byTopic = new Map<string, { partitions: SealedPartition[]; sizeBytes: number }>();
    for (const partition of this.#options.logs.partitions()) {
      const sealed = sealedPartitionOf(partition, endAddress);
      if (sealed === undefined) continue;
      const topic = byTopic.get(sealed.topicId) ?? { partitions: [], sizeBytes: 0 };
      byTopic.set(sealed.topicId, topic);
      topic.partitions.push(sealed);
      for (let at = 1; at < sealed.runs.length; at += NUMBERS_PER_RUN) {
        topic.sizeBytes += Math.abs(sealed.runs[at] ?? 0);
      }
    }
    const topics = [...byTopic].sort(([one], [other]) => (one < other ? -1 : 1));
    const isLarge = ([, { sizeBytes }]: (typeof topics)[number]) => sizeBytes >= OWN_SEGMENT_BYTES;
    const shared = topics.filter((topic) => !isLarge(topic));
    const groups = [
      ...(shared.length > 0 ? [shared] : []),
      ...topics.filter(isLarge).map((one) => [one]),
    ];
    return groups.flatMap((group) =>
      this.#divided(group.flatMap(([, { partitions }]) => partitions)),
    );
  }

  /** What one entry of metadata could not register becomes several segments. */
  #divided(partitions: readonly SealedPartition[]): SegmentToSeal[] {
    const { rangeCountMax = RANGE_COUNT_MAX } = this.#options;
    const segments: SegmentToSeal[] = [];
    for (let at = 0; at < partitions.length; at += rangeCountMax) {
      const part = partitions.slice(at, at + rangeCountMax);
      segments.push({ segmentId: randomUuid(), partitions: part });
    }
    return segments;
  }

  /** Has the Worker do it; if that dies, the next one does it again. */
  async #run(command: SealCommand): Promise<SealReport> {
    this.#cancelIdle();
    const { promise, resolve } = Promise.withResolvers<SealReport>();
    this.#resolve = resolve;
    this.#command = command;
    this.#worker ??= this.#createWorker();
    if (this.#worker.isRunning) this.#worker.post(command);
    else this.#worker.start();
    const report = await promise;
    this.#command = undefined;
    if (!this.#isStopped) {
      this.#cancelIdle = this.#options.clock.after(IDLE_MS, () => this.#endWorker());
    }
    return report;
  }

  #createWorker(): SupervisedWorker<SealCommand, SealReport> {
    const { clock, logger, createWorker } = this.#options;
    return new SupervisedWorker<SealCommand, SealReport>({
      name: "sealing",
      url: workerUrl("segment/sealing-worker"),
      clock,
      logger,
      ...(createWorker ? { createWorker } : {}),
      onStart: () => {
        if (this.#command !== undefined) this.#worker?.post(this.#command);
      },
      onReport: (report) => this.#resolve(report),
      // What the dead one wrote is swept later.
      onDeath: () => {},
    });
  }

  #endWorker(): void {
    this.#worker?.stop();
    this.#worker = undefined;
  }
}

/**
 * Where the first of what is to be sealed lies. It is behind the former round's end, unless a crash came between two
 * entries that registered that round's segments.
 */
function firstAddressOf(segments: readonly SegmentToSeal[]): WalAddress {
  let first = Number.POSITIVE_INFINITY;
  for (const { partitions } of segments) {
    for (const { runs } of partitions) first = Math.min(first, runs[0] ?? first);
  }
  return first;
}

/** The runs that lie before `endAddress`; undefined if there are none. A run is durable as a whole. */
function sealedPartitionOf(
  { topic, index, batches, isDeleted }: Partition,
  endAddress: WalAddress,
): SealedPartition | undefined {
  if (isDeleted || batches.runCount === 0) return undefined;
  const numbers: number[] = [];
  for (let run = 0; run < batches.runCount; run += 1) {
    const { address, spanBytes, isLegacy } = batches.runAt(run);
    if (address >= endAddress) break;
    numbers.push(address, isLegacy ? -spanBytes : spanBytes);
  }
  if (numbers.length === 0) return undefined;
  const runs = new Float64Array(numbers);
  return { topicId: topic.topicId, topicName: topic.name, partition: index, runs };
}
