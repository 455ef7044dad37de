/**
 * One seeded history of a broker's storage on a disk that fails: lives that append, seal, write checkpoints, free
 * the WAL, delete records and topics, each ended by a clean stop, the death of the process or a power cut at any
 * operation on the disk, also in the midst of a start. After each start all that was promised is there, once.
 *
 * In half of the histories segments are merged, purged and swept too. These inflate on a thread, so that their order
 * of events can differ when a seed is repeated; the others repeat exactly.
 */

import { startMaintenance } from "../../src/broker-maintenance.ts";
import { startManifests } from "../../src/broker-manifests.ts";
import { startSegmentWork } from "../../src/broker-segments.ts";
import { openStorage, type Storage } from "../../src/broker-storage.ts";
import type { Config } from "../../src/config.ts";
import { ClientTraffic } from "../../src/core/client-traffic.ts";
import { nextTurn, type Random, seededRandom } from "../../src/core/clock.ts";
import type { Disk } from "../../src/core/disk.ts";
import { type Logger, silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { TopicConfigs } from "../../src/meta/topic-configs.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import { mergeSegments } from "../../src/segment/merging-job.ts";
import type { MergeCommand, MergeReport } from "../../src/segment/merging-messages.ts";
import { registerRound } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import { sealSegments } from "../../src/segment/sealing-job.ts";
import type { SealCommand, SealReport } from "../../src/segment/sealing-messages.ts";
import { fileSequenceOf } from "../../src/wal/wal-address.ts";
import { type CrashEnding, CrashPoint } from "./crash-point.ts";
import { loseIndex } from "./lost-index.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { type Outcome, outcomeOf } from "./simulated-run.ts";
import { simulatedWorkers } from "./simulated-worker.ts";
import { type Life, StorageClients, storageOf } from "./storage-clients.ts";
import { judgeBytes, judgeFound, type StorageModel } from "./storage-judge.ts";
import {
  demand,
  noStorageCounts,
  RisingNumber,
  type StorageCounts,
  ViolationError,
} from "./storage-model.ts";

const GROUP_ID = "group";
const PRODUCER_IDS = [7, 8];
const ROUND_MS = 1000;
/** Deleted bytes are purged soon. */
const CONFIG_OF_SEGMENTS = {
  enableWalIndexing: false,
  fileDeleteDelayMs: 1000,
  walIndexingIntervalSecs: 1,
  logCleanerBackoffMs: 15_000,
  logCleanerDedupeBufferBytes: 1024 * 1024,
};
const HOURS_MS = 2 * 3_600_000;
/** Inflating takes its time on a thread of its own. */
const TURNS_LIMIT = 2_000_000;
const TURNS_PER_TIMER = 20;
const TIMER_MS = 25;
/** Most lives take fewer. */
const OPERATIONS_MAX = 400;

export interface HistoryOptions {
  readonly config: Config;
  readonly seed: number;
  /** Ends the second life at this operation; else chance decides, for each life. */
  readonly crashOf?: { readonly operation: number; readonly ending: CrashEnding };
}

/** @returns counts; `isOver`: the given crash was later than the end of its life. @throws ViolationError */
export async function runStorageHistory(
  options: HistoryOptions,
): Promise<{ readonly counts: StorageCounts; readonly isOver: boolean }> {
  const history = new History(options);
  await history.live();
  return history;
}

class History {
  readonly counts = noStorageCounts();
  isOver = false;
  readonly #options: HistoryOptions;
  readonly #random: Random;
  readonly #disk: SimulatedDisk;
  readonly #syncFailure: number;
  readonly #workerDeath: number;
  readonly #hasSegmentWork: boolean;
  readonly #model: StorageModel = {
    topics: [],
    committedOffset: new RisingNumber(),
    groupId: GROUP_ID,
    producerIds: PRODUCER_IDS,
  };
  readonly #clients: StorageClients;
  #life: Life | undefined;
  #lastEpoch = -1;
  #lastStop: "clean" | "cutOff" | "crash" = "clean";
  #violation: unknown;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    const isFixed = options.crashOf !== undefined;
    this.#syncFailure = !isFixed && this.#random() < 0.1 ? 0.02 : 0;
    this.#hasSegmentWork = isFixed || this.#random() < 0.5;
    this.#workerDeath = !isFixed && this.#random() < 0.2 ? 0.3 : 0;
    this.#disk = new SimulatedDisk(this.#random, {
      syncFailure: this.#syncFailure,
      capacityBytes: Number.POSITIVE_INFINITY,
      sectorSurvival: [0, 0.3, 0.7, 0.97][this.#below(4)] ?? 0,
    });
    this.#clients = new StorageClients({
      random: this.#random,
      model: this.#model,
      counts: this.counts,
      onRefused: (life, thrown) => this.#refused(life, thrown),
    });
  }

  async live(): Promise<void> {
    const isFixed = this.#options.crashOf !== undefined;
    const lifeCount = isFixed ? 3 : 2 + this.#below(5);
    for (let life = 0; life < lifeCount; life += 1) {
      this.counts.lives += 1;
      const isLast = life === lifeCount - 1;
      const isIndexLost = isFixed ? isLast : life > 0 && this.#random() < 0.25;
      if (isIndexLost && loseIndex(this.#disk, this.#random)) this.counts.lostIndexes += 1;
      await this.#liveOnce(this.#crashOfLife(life, isLast));
      // What the dead process had begun comes to its end.
      for (let turn = 0; turn < 3; turn += 1) await nextTurn();
      if (this.#violation !== undefined) throw this.#violation;
    }
  }

  #crashOfLife(life: number, isLast: boolean): { operation: number; ending: CrashEnding } {
    const { crashOf } = this.#options;
    const never = { operation: Number.POSITIVE_INFINITY, ending: "cut" } as const;
    if (crashOf !== undefined) return life === 1 ? crashOf : never;
    if (isLast || this.#random() < 0.25) return never;
    const ending = this.#random() < 0.7 ? "cut" : "kill";
    // Early ones are more: a start has few operations.
    const operation = 1 + Math.floor(OPERATIONS_MAX * this.#random() ** 2);
    return { operation, ending };
  }

  async #liveOnce(end: { operation: number; ending: CrashEnding }): Promise<void> {
    const crash = new CrashPoint({
      ...end,
      disk: this.#disk,
      slowness: this.#random,
      onCrash: () => this.#noteShown(),
    });
    const life: Life = {
      crash,
      clock: new SimulatedClock(),
      storage: undefined,
      hasFailed: false,
    };
    // Time goes on from life to life.
    this.#advance(life, Math.max(0, this.#disk.nowMs - life.clock.nowMs()));
    this.#life = life;
    const stopMaintenance = await this.#open(life);
    if (stopMaintenance !== undefined) {
      for (let left = 10 + this.#below(40); left > 0 && !this.#isEnding(life); left -= 1) {
        await this.#step(life);
      }
      if (!this.#isEnding(life)) await this.#end(life, stopMaintenance);
    }
    if (this.#options.crashOf && !crash.hasHappened && Number.isFinite(end.operation)) {
      this.isOver = true;
    }
    if (crash.hasHappened) this.counts.crashes += 1;
    else crash.crash("kill");
    this.counts.releases += life.storage ? fileSequenceOf(life.storage.wal.startAddress) : 0;
  }

  #isEnding({ crash, hasFailed }: Life): boolean {
    return crash.hasHappened || hasFailed || this.#violation !== undefined;
  }

  /** @returns stops the maintenance; undefined if the life ended before */
  async #open(life: Life): Promise<(() => Promise<void>) | undefined> {
    const { crash, clock } = life;
    const logger = this.#loggerOf(life);
    const { config } = this.#options;
    const opening = await this.#outcome(
      life,
      openStorage({
        ...{ config, clock, logger, disk: crash.disk, metrics: createMetrics("test") },
        onFailure: (reason) => this.#fail(life, reason),
      }),
      "the start",
    );
    if (opening.state === "failed") return this.#fail(life, opening.reason);
    if (opening.state === "pending") {
      this.counts.crashesInOpen += 1;
      return undefined;
    }
    const storage = opening.value;
    life.storage = storage;
    const { leaderEpoch } = storage.identity;
    const judging = await this.#outcome(life, judgeFound(storage, this.#model), "the first look");
    if (judging.state === "failed") throw judging.reason;
    if (judging.state === "pending") return undefined;
    this.counts.lost += judging.value;
    const isClean = this.#lastStop === "clean";
    demand(!isClean || judging.value === 0, "a clean stop loses nothing");
    // A stop that was cut off may have marked the directory as left in order, or not.
    const mayStay = this.#lastStop !== "crash" && judging.value === 0;
    const isRisen = leaderEpoch > this.#lastEpoch || (mayStay && leaderEpoch === this.#lastEpoch);
    demand(isRisen, `leader epoch ${leaderEpoch} follows ${this.#lastEpoch}`);
    this.#lastEpoch = leaderEpoch;
    this.#lastStop = "crash";
    return this.#startMaintenance(life, storage, logger);
  }

  #startMaintenance(life: Life, storage: Storage, logger: Logger): () => Promise<void> {
    const { crash, clock } = life;
    const createWorker = simulatedWorkers({
      disk: crash.disk,
      job: answer,
      lifeOf: () => (this.#random() < this.#workerDeath ? 1 + this.#below(30) : undefined),
    });
    const sealing = new Sealing({
      ...{ ...storage, clock, logger, walDirectory: `${this.#options.config.dataDir}/wal` },
      rangeCountMax: 2,
      register: async (segments) => {
        await registerRound(storage.meta, segments, 2);
        this.counts.seals += 1;
      },
      createWorker,
    });
    const manifests = startManifests({
      ...{ storage, clock, logger, config: CONFIG_OF_SEGMENTS, metrics: createMetrics("test") },
    });
    const searched = { isIndexed: () => true };
    const traffic = new ClientTraffic(clock);
    const owners = { storage, searched, manifests, traffic };
    const options = { ...owners, clock, logger, createWorker, disk: crash.disk };
    const stopSegmentWork = this.#hasSegmentWork
      ? startSegmentWork({ ...options, config: CONFIG_OF_SEGMENTS, configs: new TopicConfigs() })
      : undefined;
    storage.segments.onChanged(({ removedIds }) => {
      if (!crash.hasHappened && removedIds.length > 0) this.counts.merges += 1;
    });
    const maintenance = startMaintenance({
      ...{ storage, sealing, clock, logger, roundMs: ROUND_MS },
      producerIdExpirationMs: 10 ** 12,
      neededAddress: () => Number.POSITIVE_INFINITY,
      unindexedFilesMax: 16,
    });
    return async () => {
      await stopSegmentWork?.();
      await maintenance.stop();
      await manifests.stop();
      this.counts.generations += manifests.stats().generation;
    };
  }

  async #step(life: Life): Promise<void> {
    const choice = this.#random();
    if (this.#model.topics.every(({ state }) => state === "gone")) this.#clients.createTopic(life);
    else if (choice < 0.45) this.#clients.append(life);
    else if (choice < 0.5) this.#clients.repeat(life);
    else if (choice < 0.58) this.#clients.deleteRecords(life);
    else if (choice < 0.62) this.#clients.createTopic(life);
    else if (choice < 0.64) this.#clients.deleteTopic(life);
    else if (choice < 0.66) this.#clients.growTopic(life);
    else if (choice < 0.69) this.#clients.commitOffset(life);
    else if (choice < 0.79) this.#advance(life, this.#random() < 0.05 ? HOURS_MS : ROUND_MS);
    else if (choice < 0.83) await this.#read(life);
    else if (choice < 0.9) await this.#turns(life, 1 + this.#below(4));
    else if (choice < 0.95) await this.#turns(life, 30);
    else for (let left = this.#below(60); left > 0; left -= 1) await null;
  }

  /** While all the rest goes on. */
  async #read(life: Life): Promise<void> {
    const place = this.#clients.place(life);
    if (place === undefined) return;
    const storage = storageOf(life);
    const reading = await this.#outcome(
      life,
      judgeBytes(storage, place.partition, place.model),
      "a read",
    );
    const isDeleted = place.partition.isDeleted;
    if (reading.state === "failed" && !isDeleted && !life.hasFailed) throw reading.reason;
  }

  async #end(life: Life, stopMaintenance: () => Promise<void>): Promise<void> {
    const ending = (["stop", "stop", "cut", "kill"] as const)[this.#below(4)] ?? "cut";
    if (ending !== "stop" && this.#options.crashOf === undefined) {
      life.crash.crash(ending);
      return;
    }
    const storage = storageOf(life);
    const closing = (async () => {
      await stopMaintenance();
      this.#lastStop = "cutOff";
      await storage.close(true);
    })();
    const outcome = await this.#outcome(life, closing, "the stop");
    if (outcome.state === "failed" && !life.hasFailed) this.#fail(life, outcome.reason);
    if (outcome.state !== "done") return;
    for (const topic of this.#model.topics) {
      for (const partition of topic.partitions) partition.shownOffset = partition.endOffset;
    }
    this.#lastStop = "clean";
  }

  #noteShown(): void {
    const storage = this.#life?.storage;
    if (storage === undefined) return;
    for (const topic of this.#model.topics) {
      for (const [index, model] of topic.partitions.entries()) {
        const partition = storage.logs.partition(topic.topicId, index);
        if (partition === undefined) continue;
        model.shownOffset = Math.max(model.shownOffset, partition.highWatermark);
        model.sealedEnd = storage.segments.endOffset(partition.place);
        model.logStart.promise(partition.logStartOffset);
      }
    }
  }

  /** Refusals that are right: the disk failed, the broker stops, the topic has just been deleted. */
  #refused(life: Life, thrown: unknown): void {
    if (life.crash.hasHappened || life.hasFailed) return;
    const code = thrown instanceof KafkaError ? thrown.code : undefined;
    const isTopicGone = code === ErrorCode.unknownTopicId || code === ErrorCode.invalidPartitions;
    const isStopping = this.#lastStop === "cutOff";
    const isSimulated = this.#syncFailure > 0 && /simulated/.test(String(thrown));
    if (!isTopicGone && !isStopping && !isSimulated) this.#violation ??= thrown;
  }

  /** The process has to stop. */
  #fail(life: Life, reason: unknown): undefined {
    if (life.crash.hasHappened) return;
    life.hasFailed = true;
    this.counts.failures += 1;
    const isSimulated = this.#syncFailure > 0 && /simulated/.test(String(reason));
    if (!isSimulated) this.#violation ??= new ViolationError(`it stops: ${String(reason)}`);
  }

  #loggerOf(life: Life): Logger {
    const tell = (event: string, fields: unknown): void => {
      if (life.crash.hasHappened || life.hasFailed) return;
      if (event === "worker_died") this.counts.workerDeaths += 1;
      // One that was merged away and is old may be swept before its turn comes.
      const isBad = /failed|not_freed/.test(event);
      if (!isBad || this.#syncFailure > 0) return;
      this.#violation ??= new ViolationError(`${event}: ${JSON.stringify(fields)}`);
    };
    return { ...silentLogger, warn: tell, error: tell };
  }

  #advance({ clock }: Life, durationMs: number): void {
    this.#disk.nowMs = clock.nowMs() + durationMs;
    clock.advance(durationMs);
  }

  async #turns(life: Life, count: number): Promise<void> {
    for (let left = count; left > 0 && !life.crash.hasHappened; left -= 1) await nextTurn();
  }

  /** Lets time pass until `promise` is settled or the life ends. */
  async #outcome<Value>(
    life: Life,
    promise: Promise<Value>,
    what: string,
  ): Promise<Outcome<Value>> {
    const outcome = outcomeOf(promise);
    for (let turn = 1; turn < TURNS_LIMIT; turn += 1) {
      if (outcome.state !== "pending" || life.crash.hasHappened) return outcome;
      await nextTurn();
      if (turn % TURNS_PER_TIMER === 0) this.#advance(life, TIMER_MS);
    }
    throw new ViolationError(`${what} never ends`);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** What the Workers' scripts do. */
async function answer(disk: Disk, message: unknown): Promise<SealReport | MergeReport> {
  const command = message as SealCommand | MergeCommand;
  try {
    if (command.kind === "seal") {
      return { kind: "sealed", segments: await sealSegments(disk, command) };
    }
    return { kind: "merged", ...(await mergeSegments(disk, command)) };
  } catch (thrown) {
    return { kind: "failed", reason: String(thrown) };
  }
}
