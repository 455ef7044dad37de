/**
 * The main thread's side of indexing: which parts of the search index there are, and the Workers that make them.
 *
 *   const indexer = await createWalIndexer({ dataDir, walDirectory, walFileBytes, oldestAddress, durableAddress,
 *     topics, liveIndexBytesMax, clock, logger });
 *   wal.onDurable((address) => indexer.onDurable(address));
 *   indexer.topicCreated({ topicId, name });        // before the topic's first batch is durable
 *   indexer.topicDeleted(topicId);                  // at once when it is gone for clients
 *   await indexer.refresh(timeoutMs);               // what is durable now is a hit then
 *   metrics.collectIndexerLag(() => indexer.lag());
 *   await indexer.stop();                           // before the WAL closes
 *
 * The index is a chain of generations, each for a range of the WAL that begins where the one before ends: frozen
 * ones on disk, at most one full one in memory that is being frozen, and the live one. A Worker that dies takes
 * the live one's future with it: the next Worker makes it anew from its start. Until that has caught up,
 * the dead one's index stands in for it, so that no hit is lost in between, and none found twice.
 */

import type { Clock } from "../core/clock.ts";
import { systemDisk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import type { IndexerLag } from "../core/metrics.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import type {
  AddressRange,
  GenerationFacts,
  IndexCommand,
  IndexReport,
  LoadedGeneration,
  NamedTopic,
} from "./indexer-messages.ts";
import { IndexingLag } from "./indexing-lag.ts";
import { KeeperClient } from "./keeper-client.ts";
import type { SearchedGeneration } from "./search-plan.ts";
import { type CreateWorker, SupervisedWorker } from "./supervised-worker.ts";
import { workerUrl } from "./worker-url.ts";

export interface WalIndexerOptions {
  readonly dataDir: string;
  readonly walDirectory: string;
  /** Size of the WAL's files; only for the lag in bytes. */
  readonly walFileBytes: number;
  /** Exclusive end of what is durable in the WAL at the moment. */
  readonly durableAddress: WalAddress;
  /** The oldest address that can still be read from the WAL (`wal.startAddress`). */
  readonly oldestAddress: () => WalAddress;
  /** All topics that exist. */
  readonly topics: Iterable<NamedTopic>;
  /** Memory for the live index and the one that is being frozen, together. */
  readonly liveIndexBytesMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests that want to kill Workers. */
  readonly createWorker?: CreateWorker;
}

/** A part of the index that is still in memory. */
interface MemoryGeneration extends SearchedGeneration {
  readonly indexNumber: number;
  readonly startAddress: WalAddress;
  /** Of what is committed. */
  endAddress: WalAddress;
  documentCount: number;
  sizeBytes: number;
  readonly topicIds: Set<string>;
}

interface RefreshWait {
  readonly address: WalAddress;
  readonly resolve: (isDone: boolean) => void;
}

/** Durable addresses are announced to the Worker at most this often. */
const ANNOUNCE_MS = 25;
/** Skipped batches that are logged one by one; the rest is only counted. */
const SKIPPED_LOGGED_MAX = 10;

/** Opens the frozen generations in the background and indexes what they do not cover. Returns at once. */
export function createWalIndexer(options: WalIndexerOptions): WalIndexer {
  const indexer = new WalIndexer(options);
  indexer.start();
  return indexer;
}

/** Owns the chain of generations. */
export class WalIndexer {
  readonly #options: WalIndexerOptions;
  readonly #directory: string;
  readonly #worker: SupervisedWorker<IndexCommand, IndexReport>;
  readonly #keeper: KeeperClient;
  readonly #lag: IndexingLag;
  /** By topic id. */
  readonly #topics: Map<string, NamedTopic>;
  #durableAddress: WalAddress;
  #isAnnounceDue = false;
  #isLoaded = false;
  #isStopped = false;
  #frozen: LoadedGeneration[] = [];
  #sealing: MemoryGeneration | undefined;
  #live: MemoryGeneration | undefined;
  #standIn: MemoryGeneration | undefined;
  readonly #refreshWaits = new Set<RefreshWait>();
  #indexedRecordsTotal = 0;
  #skippedTotal = 0;

  constructor(options: WalIndexerOptions) {
    const { clock, logger, createWorker } = options;
    const url = workerUrl("wal-indexer-worker");
    const workerOptions = { url, clock, logger, ...(createWorker ? { createWorker } : {}) };
    this.#options = options;
    this.#directory = `${options.dataDir}/search`;
    this.#topics = new Map([...options.topics].map((topic) => [topic.topicId, topic]));
    this.#durableAddress = options.durableAddress;
    const { walFileBytes } = options;
    this.#lag = new IndexingLag({ walFileBytes, address: options.oldestAddress() });
    this.#lag.onDurable(options.durableAddress, clock.monotonicMs());
    this.#keeper = new KeeperClient(workerOptions);
    this.#worker = new SupervisedWorker<IndexCommand, IndexReport>({
      ...workerOptions,
      name: "wal-indexer",
      onStart: () => this.#onWorkerStart(),
      onReport: (report) => this.#onReport(report),
      onDeath: () => this.#onWorkerDeath(),
    });
  }

  /** Called once by `createWalIndexer`. */
  start(): void {
    this.#load().catch((thrown: unknown) => {
      const reason = String(thrown);
      this.#options.logger.error("search_index_unreadable", { directory: this.#directory, reason });
    });
  }

  /** Everything before `address` is durable. Cheap: call it after every sync. */
  onDurable(address: WalAddress): void {
    this.#durableAddress = address;
    if (this.#isAnnounceDue || this.#isStopped) return;
    this.#isAnnounceDue = true;
    const { clock } = this.#options;
    // The first address counts for all that follow until it is announced: lag is never told too small.
    const sinceMs = clock.monotonicMs();
    clock.after(ANNOUNCE_MS, () => {
      this.#isAnnounceDue = false;
      this.#lag.onDurable(this.#durableAddress, sinceMs);
      this.#announce();
    });
  }

  topicCreated(topic: NamedTopic): void {
    this.#topics.set(topic.topicId, topic);
    this.#worker.post({ kind: "topicCreated", topic });
  }

  topicDeleted(topicId: string): void {
    this.#topics.delete(topicId);
    this.#worker.post({ kind: "topicDeleted", topicId });
  }

  /** The topics whose records can be hits. */
  get topics(): Iterable<NamedTopic> {
    return this.#topics.values();
  }

  hasTopic(topicId: string): boolean {
    return this.#topics.has(topicId);
  }

  /** What a search has to look into: each record is in exactly one of them. */
  generations(): readonly SearchedGeneration[] {
    const memory = [this.#sealing, this.#live].filter((generation) => generation !== undefined);
    const chain = [...this.#frozen, ...memory];
    const standIn = this.#standIn;
    if (standIn === undefined) return chain;
    return [...chain.filter(({ endAddress }) => endAddress <= standIn.startAddress), standIn];
  }

  /** Resolves with true when what is durable now is searchable, with false if that takes longer than `timeoutMs`. */
  refresh(timeoutMs: number): Promise<boolean> {
    const address = this.#durableAddress;
    if (this.#endAddress() >= address && this.#isLoaded) return Promise.resolve(true);
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(timeoutMs, () => finish(false));
      const finish = (isDone: boolean): void => {
        cancel();
        this.#refreshWaits.delete(wait);
        resolve(isDone);
      };
      const wait = { address, resolve: finish };
      this.#refreshWaits.add(wait);
      this.#announce();
      this.#worker.post({ kind: "refresh", address });
    });
  }

  lag(): IndexerLag {
    const memory = [this.#sealing, this.#live, this.#standIn];
    return {
      lagBytes: this.#lag.bytes(),
      lagSeconds: this.#lag.seconds(this.#options.clock.monotonicMs()),
      indexedRecordsTotal: this.#indexedRecordsTotal,
      liveIndexBytes: memory.reduce((sum, generation) => sum + (generation?.sizeBytes ?? 0), 0),
      frozenGenerationCount: this.#frozen.length,
      workerRestartsTotal: this.#worker.restartCount,
    };
  }

  /** Ends the Workers. What is in memory is made anew at the next start. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#worker.stop();
    for (const wait of [...this.#refreshWaits]) wait.resolve(false);
    const indexNumbers = this.generations().flatMap(({ indexNumber }) => indexNumber ?? []);
    const closing = this.#keeper.run(this.#dropCommand([], indexNumbers));
    const timeout = new Promise((resolve) =>
      this.#options.clock.after(STOP_MS_MAX, () => resolve(0)),
    );
    await Promise.race([closing, timeout]);
    this.#keeper.stop();
  }

  /** Exclusive end of what is searchable through the chain. */
  #endAddress(): WalAddress {
    return this.#live?.endAddress ?? this.#liveStartAddress();
  }

  /** Where the live generation has to begin. */
  #liveStartAddress(): WalAddress {
    const end = this.#sealing?.endAddress ?? this.#frozen.at(-1)?.endAddress ?? 0;
    return Math.max(end, this.#options.oldestAddress());
  }

  async #load(): Promise<void> {
    const { logger, walDirectory } = this.#options;
    const names = await systemDisk.list(this.#directory);
    if (names.length > 0) {
      const report = await this.#keeper.run({
        kind: "load",
        directory: this.#directory,
        walDirectory,
        oldestAddress: this.#options.oldestAddress(),
        durableAddress: this.#options.durableAddress,
      });
      if (report.kind !== "loaded" || this.#isStopped) return;
      this.#frozen = [...report.generations];
      for (const dropped of report.dropped) logger.warn("search_index_dropped", { dropped });
    }
    this.#isLoaded = true;
    this.#onProgress();
    this.#announce();
    await this.#verify();
  }

  /** Compares the checksums of what was loaded; from the first damaged generation on, all is made anew. */
  async #verify(): Promise<void> {
    for (const generation of [...this.#frozen]) {
      if (generation.indexNumber === undefined) continue;
      const range = rangeOf(generation);
      const report = await this.#keeper.run({ kind: "verify", directory: this.#directory, range });
      if (report.kind !== "verified" || report.fault === undefined) continue;
      this.#options.logger.error("search_index_damaged", { reason: report.fault });
      this.#cutFrom(generation);
      return;
    }
  }

  /** Gives up everything from `generation` on; the Worker starts again there. */
  #cutFrom(generation: LoadedGeneration): void {
    const index = this.#frozen.indexOf(generation);
    if (index < 0) return;
    const removed = this.#frozen.splice(index);
    const memory = [this.#sealing, this.#live, this.#standIn].filter((one) => one !== undefined);
    this.#sealing = undefined;
    this.#live = undefined;
    this.#standIn = undefined;
    const indexNumbers = [...removed, ...memory].flatMap(({ indexNumber }) => indexNumber ?? []);
    // Nothing waits for it; the queue of the keeper keeps the order.
    void this.#keeper.run(this.#dropCommand(removed.map(rangeOf), indexNumbers));
    this.#worker.kill("the search index is made anew");
    this.#onProgress();
  }

  /** Tells the Worker how far it may go; starts it when there is something to do. */
  #announce(): void {
    if (!this.#isLoaded || this.#isStopped) return;
    if (this.#worker.isRunning) {
      this.#worker.post({ kind: "durable", address: this.#durableAddress });
    } else if (this.#durableAddress > this.#endAddress()) {
      this.#worker.start();
    }
  }

  #onWorkerStart(): void {
    this.#worker.post({
      kind: "index",
      walDirectory: this.#options.walDirectory,
      startAddress: this.#liveStartAddress(),
      durableAddress: this.#durableAddress,
      topics: [...this.#topics.values()],
      // One that is full and one that fills up.
      generationBytesMax: Math.floor(this.#options.liveIndexBytesMax / 2),
      isSealing: this.#sealing !== undefined,
    });
    for (const { address } of this.#refreshWaits) this.#worker.post({ kind: "refresh", address });
  }

  #onWorkerDeath(): void {
    const dead = this.#live;
    this.#live = undefined;
    if (dead === undefined) return;
    if (this.#standIn === undefined && dead.documentCount > 0) this.#standIn = dead;
    else this.#close(dead.indexNumber);
  }

  #onReport(report: IndexReport): void {
    switch (report.kind) {
      case "created": {
        const { indexNumber, startAddress } = report;
        this.#live = {
          indexNumber,
          startAddress,
          endAddress: startAddress,
          documentCount: 0,
          sizeBytes: 0,
          topicIds: new Set(),
        };
        break;
      }
      case "topics":
        for (const topicId of report.topicIds) this.#live?.topicIds.add(topicId);
        break;
      case "committed":
        this.#onCommitted(report);
        break;
      case "full":
        this.#onFull();
        break;
      case "skipped":
        this.#onSkipped(report);
        break;
    }
  }

  #onCommitted(report: Extract<IndexReport, { kind: "committed" }>): void {
    const live = this.#live;
    if (live === undefined || live.indexNumber !== report.indexNumber) return;
    this.#indexedRecordsTotal += report.documentCount - live.documentCount;
    live.endAddress = report.endAddress;
    live.documentCount = report.documentCount;
    live.sizeBytes = report.sizeBytes;
    this.#onProgress();
  }

  /** More is searchable than before, or less. */
  #onProgress(): void {
    const endAddress = this.#endAddress();
    const standIn = this.#standIn;
    if (standIn !== undefined && endAddress >= standIn.endAddress) {
      this.#standIn = undefined;
      this.#close(standIn.indexNumber);
    }
    this.#lag.onIndexed(endAddress);
    for (const wait of [...this.#refreshWaits]) {
      if (endAddress >= wait.address) wait.resolve(true);
    }
  }

  #onFull(): void {
    const full = this.#live;
    if (full === undefined) return;
    this.#sealing = full;
    this.#live = undefined;
    // It retries until it is done or the broker stops.
    void this.#freeze(full);
  }

  async #freeze(full: MemoryGeneration): Promise<void> {
    const facts: GenerationFacts = { ...factsOf(full) };
    const report = await this.#keeper.run({
      kind: "freeze",
      directory: this.#directory,
      walDirectory: this.#options.walDirectory,
      indexNumber: full.indexNumber,
      facts,
      excludedTopicIds: facts.topicIds.filter((topicId) => !this.#topics.has(topicId)),
    });
    if (report.kind !== "frozen") return;
    const { generation, elapsedMs } = report;
    if (this.#sealing !== full) {
      // The chain was cut before it.
      const indexNumbers = generation.indexNumber === undefined ? [] : [generation.indexNumber];
      void this.#keeper.run(this.#dropCommand([rangeOf(generation)], indexNumbers));
      return;
    }
    this.#frozen.push(generation);
    this.#sealing = undefined;
    this.#worker.post({ kind: "sealed" });
    this.#close(full.indexNumber);
    const { documentCount, sizeBytes } = generation;
    this.#options.logger.info("search_index_frozen", {
      documentCount,
      sizeBytes,
      elapsedMs: Math.round(elapsedMs),
    });
  }

  #onSkipped(report: Extract<IndexReport, { kind: "skipped" }>): void {
    this.#skippedTotal += 1;
    if (this.#skippedTotal > SKIPPED_LOGGED_MAX) return;
    const { topicId, partition, baseOffset, reason } = report;
    const topic = this.#topics.get(topicId)?.name;
    this.#options.logger.warn("batch_not_searchable", { topic, partition, baseOffset, reason });
  }

  /** Closing waits for the index's threads: not here. */
  #close(indexNumber: number): void {
    void this.#keeper.run(this.#dropCommand([], [indexNumber]));
  }

  #dropCommand(ranges: readonly AddressRange[], indexNumbers: readonly number[]) {
    return { kind: "drop", directory: this.#directory, ranges, indexNumbers } as const;
  }
}

const STOP_MS_MAX = 2_000;

function rangeOf({ startAddress, endAddress }: AddressRange): AddressRange {
  return { startAddress, endAddress };
}

function factsOf(generation: MemoryGeneration): GenerationFacts {
  const { startAddress, endAddress, documentCount, sizeBytes, topicIds } = generation;
  return { startAddress, endAddress, documentCount, sizeBytes, topicIds: [...topicIds] };
}
