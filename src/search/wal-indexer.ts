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
 * The index is a chain of generations (`GenerationChain`). A Worker that dies takes the live one's future with it:
 * the next Worker makes it anew from its start.
 */

import type { Clock } from "../core/clock.ts";
import { systemDisk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import type { IndexerLag } from "../core/metrics.ts";
import { type CreateWorker, SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import {
  factsOf,
  GenerationChain,
  type MemoryGeneration,
  type RemovedGenerations,
  rangeOf,
} from "./generation-chain.ts";
import type {
  IndexCommand,
  IndexReport,
  LoadedGeneration,
  NamedTopic,
} from "./indexer-messages.ts";
import { IndexingLag } from "./indexing-lag.ts";
import { KeeperClient } from "./keeper-client.ts";
import type { SearchedGeneration } from "./search-plan.ts";

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

interface RefreshWait {
  readonly address: WalAddress;
  readonly resolve: (isDone: boolean) => void;
}

/** Durable addresses are announced to the Worker at most this often. */
const ANNOUNCE_MS = 25;
/** For the Workers to close what is open. */
const STOP_MS_MAX = 2_000;
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
  readonly #chain = new GenerationChain();
  readonly #refreshWaits = new Set<RefreshWait>();
  #indexedRecordsTotal = 0;
  #skippedTotal = 0;

  constructor(options: WalIndexerOptions) {
    const { clock, logger, createWorker } = options;
    const url = workerUrl("search/wal-indexer-worker");
    const workerOptions = { url, clock, logger, ...(createWorker ? { createWorker } : {}) };
    this.#options = options;
    this.#directory = `${options.dataDir}/search`;
    this.#topics = new Map(
      [...options.topics].map(({ topicId, name }) => [topicId, { topicId, name }]),
    );
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

  topicCreated({ topicId, name }: NamedTopic): void {
    const topic = { topicId, name };
    this.#topics.set(topicId, topic);
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
    return this.#chain.generations();
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
    return {
      lagBytes: this.#lag.bytes(),
      lagSeconds: this.#lag.seconds(this.#options.clock.monotonicMs()),
      indexedRecordsTotal: this.#indexedRecordsTotal,
      liveIndexBytes: this.#chain.memoryBytes,
      frozenGenerationCount: this.#chain.frozen.length,
      workerRestartsTotal: this.#worker.restartCount,
    };
  }

  /** Ends the Workers. What is in memory is made anew at the next start. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#worker.stop();
    for (const wait of [...this.#refreshWaits]) wait.resolve(false);
    const indexNumbers = this.#chain.indexNumbers();
    const closing = this.#keeper.run(this.#dropCommand({ ranges: [], indexNumbers }));
    const timeout = new Promise((resolve) =>
      this.#options.clock.after(STOP_MS_MAX, () => resolve(0)),
    );
    await Promise.race([closing, timeout]);
    this.#keeper.stop();
  }

  /** Exclusive end of what is searchable through the chain: what lies before the WAL begins needs no index. */
  #endAddress(): WalAddress {
    return Math.max(this.#chain.endAddress, this.#options.oldestAddress());
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
      this.#chain.load(report.generations);
      for (const dropped of report.dropped) logger.warn("search_index_dropped", { dropped });
    }
    this.#isLoaded = true;
    this.#onProgress();
    this.#announce();
    await this.#verify();
  }

  /** Compares the checksums of what was loaded; from the first damaged generation on, all is made anew. */
  async #verify(): Promise<void> {
    for (const generation of [...this.#chain.frozen]) {
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
    this.#drop(this.#chain.cutFrom(generation));
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
      walFileBytes: this.#options.walFileBytes,
      startAddress: Math.max(this.#chain.liveStartAddress, this.#options.oldestAddress()),
      durableAddress: this.#durableAddress,
      topics: [...this.#topics.values()],
      // One that is full and one that fills up.
      generationBytesMax: Math.floor(this.#options.liveIndexBytesMax / 2),
      isSealing: this.#chain.isSealing,
    });
    for (const { address } of this.#refreshWaits) this.#worker.post({ kind: "refresh", address });
  }

  #onWorkerDeath(): void {
    this.#close(this.#chain.orphan());
  }

  #onReport(report: IndexReport): void {
    switch (report.kind) {
      case "created":
        this.#chain.begin(report.indexNumber, report.startAddress);
        break;
      case "topics":
        this.#chain.addTopics(report.topicIds);
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
    const { recordCount, closed } = this.#chain.commit(report);
    this.#indexedRecordsTotal += recordCount;
    this.#close(closed);
    this.#onProgress();
  }

  /** More is searchable than before, or less. */
  #onProgress(): void {
    const endAddress = this.#endAddress();
    this.#lag.onIndexed(endAddress);
    for (const wait of [...this.#refreshWaits]) {
      if (endAddress >= wait.address) wait.resolve(true);
    }
  }

  #onFull(): void {
    const full = this.#chain.seal();
    // It is tried again until it is done or the broker stops.
    if (full !== undefined) void this.#freeze(full);
  }

  async #freeze(full: MemoryGeneration): Promise<void> {
    const facts = factsOf(full);
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
    const { indexNumber, documentCount, sizeBytes } = generation;
    if (!this.#chain.freeze(full, generation)) {
      const indexNumbers = indexNumber === undefined ? [] : [indexNumber];
      this.#drop({ ranges: [rangeOf(generation)], indexNumbers });
      return;
    }
    this.#worker.post({ kind: "sealed" });
    this.#close(full.indexNumber);
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

  #close(indexNumber: number | undefined): void {
    if (indexNumber !== undefined) this.#drop({ ranges: [], indexNumbers: [indexNumber] });
  }

  /** Closing waits for the index's threads, and removing for the disk: the keeper does both. */
  #drop(removed: RemovedGenerations): void {
    // Nothing waits for it; the keeper's queue keeps the order.
    void this.#keeper.run(this.#dropCommand(removed));
  }

  #dropCommand({ ranges, indexNumbers }: RemovedGenerations) {
    return { kind: "drop", directory: this.#directory, ranges, indexNumbers } as const;
  }
}
