/**
 * The main thread's side of indexing: which parts of the search index there are, and the Workers that make them.
 *
 *   const indexer = await createWalIndexer(options);
 *   wal.onDurable((address) => indexer.onDurable(address));
 *   indexer.topicSet({ topicId, name, isIndexed }); // before the topic's first batch is durable, and when it changes
 *   indexer.topicDeleted(topicId);                  // at once when it is gone for clients
 *   indexer.beginSeal(endAddress);                  // when a seal is about to take what lies before the address
 *   indexer.segmentsChanged(change);                // when segments were registered or went
 *   await indexer.refresh(timeoutMs);               // what is durable now is a hit; at last `stop`, before the WAL
 *
 * The index is a chain of generations (`GenerationChain`). A Worker that dies takes the live one's future with it:
 * the next Worker makes it anew from its start.
 */

import type { IndexerLag } from "../core/metrics.ts";
import { SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import type { SegmentsChange } from "../segment/segments-change.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import type { IndexDamage } from "./damaged-indexes.ts";
import {
  factsOf,
  GenerationChain,
  type MemoryGeneration,
  type RemovedGenerations,
  rangeOf,
} from "./generation-chain.ts";
import { loadChain } from "./generation-loading.ts";
import { type ConfiguredTopic, IndexedTopics } from "./indexed-topics.ts";
import type {
  IndexCommand,
  IndexReport,
  LoadedGeneration,
  NamedTopic,
} from "./indexer-messages.ts";
import { IndexingLag } from "./indexing-lag.ts";
import { KeeperClient } from "./keeper-client.ts";
import { KeeperPool } from "./keeper-pool.ts";
import { RefreshWaits } from "./refresh-waits.ts";
import type { SearchedGeneration } from "./search-plan.ts";
import { SegmentIndexing } from "./segment-indexing.ts";
import { SkippedBatches } from "./skipped-batches.ts";
import type { WalIndexerOptions } from "./wal-indexer-options.ts";

/** Durable addresses are announced to the Worker at most this often. */
const ANNOUNCE_MS = 25;
/** For the Workers to close what is open. */
const STOP_MS_MAX = 2_000;

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
  readonly #keepers: KeeperPool;
  readonly #lag: IndexingLag;
  readonly #topics: IndexedTopics;
  #durableAddress: WalAddress;
  #isAnnounceDue = false;
  #isLoaded = false;
  #isStopped = false;
  readonly #chain = new GenerationChain();
  readonly #segmentIndexing: SegmentIndexing;
  /** Ends of seals that are under way. */
  #sealEnds: WalAddress[] = [];
  /** Of segments, until the generations are loaded. */
  readonly #changes: SegmentsChange[] = [];
  readonly #refreshWaits: RefreshWaits;
  #indexedRecordsTotal = 0;
  readonly #skipped: SkippedBatches;

  constructor(options: WalIndexerOptions) {
    const { clock, logger, createWorker } = options;
    const url = workerUrl("search/wal-indexer-worker");
    const workerOptions = { url, clock, logger, ...(createWorker ? { createWorker } : {}) };
    this.#options = options;
    this.#refreshWaits = new RefreshWaits(clock);
    this.#skipped = new SkippedBatches(logger);
    this.#directory = `${options.dataDir}/search`;
    this.#topics = new IndexedTopics(options.topics);
    this.#durableAddress = options.durableAddress;
    const { walFileBytes } = options;
    this.#lag = new IndexingLag({ walFileBytes, address: options.oldestAddress() });
    this.#lag.onDurable(options.durableAddress, clock.monotonicMs());
    this.#keeper = new KeeperClient(workerOptions);
    this.#keepers = new KeeperPool(this.#keeper, workerOptions, options.segmentConcurrency ?? 1);
    this.#segmentIndexing = new SegmentIndexing({
      ...options,
      chain: this.#chain,
      keepers: this.#keepers,
      directory: this.#directory,
      topics: this.#topics.indexed,
      memoryBytesMax: Math.floor(options.liveIndexBytesMax / 2),
      liveStartAddress: () => this.#liveStartAddress(),
      drop: (removed) => this.#drop(removed),
    });
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

  /** There is this topic, or it is indexed from now on, or no longer. */
  topicSet(topic: ConfiguredTopic): void {
    if (!this.#topics.set(topic)) return;
    const { topicId, name, isIndexed = true } = topic;
    if (isIndexed) this.#worker.post({ kind: "topicAdded", topic: { topicId, name } });
    else this.#worker.post({ kind: "topicRemoved", topicId });
    this.#segmentIndexing.topicSwitched(topicId);
    if (this.#isLoaded) this.#segmentIndexing.advance();
  }

  topicDeleted(topicId: string): void {
    this.#topics.delete(topicId);
    this.#worker.post({ kind: "topicRemoved", topicId });
  }

  /**
   * A seal takes what lies before `endAddress`, of what is durable at this moment; so the generation ends there, or
   * a later one at a later seal's end.
   */
  beginSeal(endAddress: WalAddress): void {
    this.#sealEnds = [
      ...this.#sealEnds.filter((end) => end > this.#chain.floorAddress),
      endAddress,
    ];
    this.#worker.post({ kind: "boundary", address: endAddress });
  }

  /** Segments were registered, or went. */
  segmentsChanged(change: SegmentsChange): void {
    if (this.#isLoaded) this.#segmentIndexing.changed(change);
    else this.#changes.push(change);
  }

  /** A search could not read the index of a segment. */
  indexDamaged(damage: IndexDamage): void {
    this.#segmentIndexing.indexDamaged(damage);
  }

  /** The WAL from here on is still read. */
  get neededAddress(): WalAddress {
    return this.#isLoaded ? this.#chain.neededAddress : this.#options.oldestAddress();
  }

  /** The topics whose records can be hits. */
  get topics(): Iterable<NamedTopic> {
    return this.#topics.indexed.values();
  }

  /** Those that exist and are not indexed. */
  get otherTopics(): Iterable<NamedTopic> {
    return this.#topics.others.values();
  }

  hasTopic(topicId: string): boolean {
    return this.#topics.indexed.has(topicId);
  }

  /** What a search has to look into: each record is in exactly one of them. */
  generations(): readonly SearchedGeneration[] {
    if (!this.#isLoaded) return [];
    return [...this.#segmentIndexing.searched(), ...this.#chain.generations()];
  }

  /** Resolves with true when what is durable now is searchable, with false if that takes longer than `timeoutMs`. */
  refresh(timeoutMs: number): Promise<boolean> {
    const address = this.#durableAddress;
    if (this.#endAddress() >= address && this.#isLoaded) return Promise.resolve(true);
    const isDone = this.#refreshWaits.wait(address, timeoutMs);
    this.#announce();
    this.#worker.post({ kind: "refresh", address });
    return isDone;
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
    this.#segmentIndexing.stop();
    this.#worker.stop();
    this.#refreshWaits.giveUp();
    const indexNumbers = this.#chain.indexNumbers();
    this.#drop({ ranges: [], indexNumbers });
    const timeout = new Promise<void>((resolve) => {
      this.#options.clock.after(STOP_MS_MAX, resolve);
    });
    await Promise.race([this.#keepers.whenIdle(), timeout]);
    this.#keepers.stop();
  }

  /** Exclusive end of what is searchable through the chain: what lies before the WAL begins needs no index. */
  #endAddress(): WalAddress {
    return Math.max(this.#chain.endAddress, this.#options.oldestAddress());
  }

  /** Where the live generation begins, or would: what the WAL lost in the middle of a seal is left to segments. */
  #liveStartAddress(): WalAddress {
    const start = this.#chain.liveStartAddress;
    const oldest = this.#options.oldestAddress();
    return oldest <= start ? start : this.#segmentIndexing.sealEndFrom(oldest);
  }

  async #load(): Promise<void> {
    const isLoaded = await loadChain({
      ...this.#options,
      oldestAddress: this.#options.oldestAddress(),
      directory: this.#directory,
      keeper: this.#keeper,
      chain: this.#chain,
      segmentIndexing: this.#segmentIndexing,
    });
    if (!isLoaded || this.#isStopped) return;
    this.#isLoaded = true;
    for (const change of this.#changes.splice(0)) this.#segmentIndexing.changed(change);
    this.#segmentIndexing.advance();
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
    const startAddress = this.#liveStartAddress();
    const sealEnds = [...this.#segmentIndexing.sealEndsAfter(startAddress), ...this.#sealEnds];
    const { walDirectory, walFileBytes, traffic } = this.#options;
    this.#worker.post({
      kind: "index",
      ...{ walDirectory, walFileBytes, busy: traffic.shared },
      startAddress,
      durableAddress: this.#durableAddress,
      topics: [...this.#topics.indexed.values()],
      // One that is full and one that fills up.
      generationBytesMax: Math.floor(this.#options.liveIndexBytesMax / 2),
      isSealing: this.#chain.isSealing,
      boundaries: [...new Set(sealEnds)].sort((one, other) => one - other),
    });
    for (const address of this.#refreshWaits.addresses()) {
      this.#worker.post({ kind: "refresh", address });
    }
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
        this.#skipped.add(report, this.#topics.indexed.get(report.topicId)?.name);
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
    this.#refreshWaits.reach(endAddress);
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
      excludedTopicIds: facts.topicIds.filter((topicId) => !this.hasTopic(topicId)),
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
    this.#segmentIndexing.advance();
    this.#options.onAdvance();
    this.#options.logger.info("search_index_frozen", {
      documentCount,
      sizeBytes,
      elapsedMs: Math.round(elapsedMs),
    });
  }

  #close(indexNumber: number | undefined): void {
    if (indexNumber !== undefined) this.#drop({ ranges: [], indexNumbers: [indexNumber] });
  }

  /** Closing waits for the index's threads, and removing for the disk: the keeper does both. */
  #drop(removed: RemovedGenerations): void {
    // Nothing waits for it; the keeper's queue keeps the order.
    void this.#keeper.run({ kind: "drop", directory: this.#directory, ...removed });
  }
}
