/**
 * What the search tests share: a small broker of real parts. Batches go into a real WAL in a temporary directory,
 * are indexed by the real Workers, and searched through the real searcher.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClientTraffic } from "../../src/core/client-traffic.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { createLogger, type Logger } from "../../src/core/logger.ts";
import { loadNative } from "../../src/core/native.ts";
import {
  type BatchFields,
  batchOf,
  type CanonicalRecord,
  encodeBatch,
} from "../../src/protocol/canonical-record.ts";
import { randomUuid, uuidBytes } from "../../src/protocol/uuid.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { createSearcher, type Searcher } from "../../src/search/searcher.ts";
import { createWalIndexer, type WalIndexer } from "../../src/search/wal-indexer.ts";
import { SegmentStore } from "../../src/segment/segment-store.ts";
import { Wal } from "../../src/wal/wal.ts";
import { SegmentCounter } from "./segment-counter.ts";
import { type StoredBatch, TestSealer } from "./test-sealer.ts";

/** The parts of a record that a test names. */
export interface TestRecord {
  readonly key?: string | Uint8Array | null;
  readonly value?: string | Uint8Array | null;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly timestampMs?: number;
}

export interface TestHit {
  readonly _index: string;
  readonly _id: string;
  readonly _score: number | null;
  readonly _source?: Readonly<Record<string, unknown>>;
  readonly sort?: readonly unknown[];
}

export interface TestAnswer {
  readonly status: number;
  readonly took: number;
  readonly timed_out: boolean;
  readonly hits: {
    readonly total?: { readonly value: number; readonly relation: string };
    readonly max_score: number | null;
    readonly hits: readonly TestHit[];
  };
  readonly error?: { readonly type: string; readonly reason: string };
}

export interface FixtureOptions {
  readonly liveIndexBytesMax?: number;
  readonly segmentConcurrency?: number;
  readonly responseBytesMax?: number;
  readonly searchTimeoutMs?: number;
}

const WAL_FILE_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 20_000;
/** 2026-01-01, and a millisecond more for each record. */
export const FIRST_TIMESTAMP_MS = Date.UTC(2026, 0, 1);

/** A broker's data directory and what runs on it. `restart` keeps the directory. */
export class SearchFixture {
  readonly directory: string;
  readonly #options: FixtureOptions;
  readonly #topicIds = new Map<string, string>();
  readonly #unindexed = new Set<string>();
  readonly #batches = new Map<string, StoredBatch[]>();
  readonly #logStartOffsets = new Map<string, { partition: number; offset: number }[]>();
  /** Every Worker that was started, oldest first. */
  readonly workers: { readonly name: string; readonly worker: Worker }[] = [];
  readonly segmentCounter = new SegmentCounter();
  /** Everything that was logged. */
  readonly log: string[] = [];
  readonly #logWaits = new Set<() => void>();
  readonly #logger: Logger = createLogger("debug", (line) => {
    this.log.push(line);
    for (const wake of this.#logWaits) wake();
  });
  /** A broker's sockets keep its process going; Workers and timers alone do not. */
  readonly #keepAlive = setInterval(() => {}, 1_000);
  /** They outlive a restart, as a registration does. */
  readonly segments: SegmentStore;
  #removeListener = (): unknown => undefined;
  #sealedAddress = 0;
  readonly #sealer = new TestSealer();
  #wal: Wal | undefined;
  #indexer: WalIndexer | undefined;
  #searcher: Searcher | undefined;

  static async open(options: FixtureOptions = {}): Promise<SearchFixture> {
    await loadNative();
    const directory = await mkdtemp(join(tmpdir(), "chronik-search-"));
    const fixture = new SearchFixture(directory, options);
    await fixture.start();
    return fixture;
  }

  private constructor(directory: string, options: FixtureOptions) {
    this.directory = directory;
    this.#options = options;
    this.segments = new SegmentStore({
      disk: systemDisk,
      directory: join(directory, "segments"),
      logger: this.#logger,
    });
  }

  get wal(): Wal {
    if (this.#wal === undefined) throw new Error("the fixture is stopped");
    return this.#wal;
  }

  get indexer(): WalIndexer {
    if (this.#indexer === undefined) throw new Error("the fixture is stopped");
    return this.#indexer;
  }

  get searcher(): Searcher {
    if (this.#searcher === undefined) throw new Error("the fixture is stopped");
    return this.#searcher;
  }

  /** @param onOpen what happens to the WAL before anyone reads it */
  async start(onOpen: (wal: Wal) => Promise<void> = async () => {}): Promise<void> {
    const walDirectory = join(this.directory, "wal");
    const logger = this.#logger;
    const wal = await Wal.open({
      disk: systemDisk,
      directory: walDirectory,
      clock: systemClock,
      logger,
      slabBytes: WAL_FILE_BYTES,
      fileBytes: WAL_FILE_BYTES,
      walBytesMax: 1024 * 1024 * 1024,
      syncDelayMsMax: 10,
      diskFreeBytesMin: 0,
      onEntry: () => {},
      onFailure: (failure) => {
        throw failure;
      },
    });
    await onOpen(wal);
    const createWorker = (url: string, name: string): Worker => {
      const worker = new Worker(url);
      this.workers.push({ name, worker });
      this.segmentCounter.watch(worker);
      return worker;
    };
    const indexer = createWalIndexer({
      dataDir: this.directory,
      walDirectory,
      walFileBytes: WAL_FILE_BYTES,
      durableAddress: wal.durableAddress,
      oldestAddress: () => wal.startAddress,
      topics: [...this.#topicIds].map(([name, topicId]) => ({ name, topicId })),
      liveIndexBytesMax: this.#options.liveIndexBytesMax ?? 64 * 1024 * 1024,
      segmentConcurrency: this.#options.segmentConcurrency ?? 1,
      segments: {
        index: this.segments.index,
        pathOf: (segmentId) => this.segments.pathOf(segmentId),
        pin: (segmentId) => this.segments.pin(segmentId),
        registerIndexes: async (facts) =>
          this.segments.apply({
            added: facts,
            removedIds: facts.map(({ segmentId }) => segmentId),
          }),
      },
      onAdvance: () => {},
      ...{ traffic: new ClientTraffic(systemClock), clock: systemClock, logger },
      createWorker,
    });
    wal.onDurable((address) => indexer.onDurable(address));
    this.#removeListener = this.segments.onChanged((change) => indexer.segmentsChanged(change));
    this.#searcher = createSearcher({
      indexer,
      readBatchAt: (...place) => this.#readBatchAt(...place),
      logStartOffsetsOf: (topicId) => this.#logStartOffsets.get(topicId) ?? [],
      clock: systemClock,
      logger,
      searchTimeoutMs: this.#options.searchTimeoutMs ?? TIMEOUT_MS,
      searchConcurrencyMax: 16,
      searchResultWindowMax: 10_000,
      searchBucketsMax: 10_000,
      searchAggregationBytesMax: 64 * 2 ** 20,
      responseBytesMax: this.#options.responseBytesMax ?? 32 * 1024 * 1024,
      createWorker,
    });
    this.#wal = wal;
    this.#indexer = indexer;
    for (const name of this.#unindexed) this.setIndexed(name, false);
  }

  /**
   * Seals what is durable and not sealed yet. The segments are registered when the result is called.
   * @param isOwn whether a topic gets a segment of its own
   */
  async seal(isOwn: (topic: string) => boolean = () => false): Promise<() => void> {
    const endAddress = this.wal.durableAddress;
    this.indexer.beginSeal(endAddress);
    const topics = [...this.#topicIds].map(([name, topicId]) => ({ name, topicId }));
    const { directory } = this.segments;
    const startAddress = Math.max(this.#sealedAddress, this.wal.startAddress);
    const added = await this.#sealer.seal(topics, {
      ...{ directory, startAddress, endAddress, isOwn },
      batches: this.#batches,
    });
    this.#sealedAddress = endAddress;
    return () => this.segments.apply({ added, removedIds: [] });
  }

  /** A stop like a crash of the Workers: nothing is flushed but the WAL. */
  async stop(): Promise<void> {
    this.#removeListener();
    this.searcher.stop();
    await this.indexer.stop();
    await this.wal.close();
    this.#wal = undefined;
    this.#indexer = undefined;
    this.#searcher = undefined;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#wal !== undefined) await this.stop();
    clearInterval(this.#keepAlive);
    await this.segments.close();
    await rm(this.directory, { recursive: true });
  }

  createTopic(name: string): string {
    const topicId = randomUuid();
    this.#topicIds.set(name, topicId);
    this.indexer.topicSet({ topicId, name });
    return topicId;
  }

  setIndexed(name: string, isIndexed: boolean): void {
    const topicId = this.#topicIds.get(name) ?? this.createTopic(name);
    this.#unindexed[isIndexed ? "delete" : "add"](name);
    this.indexer.topicSet({ topicId, name, isIndexed });
  }

  topicId(name: string): string {
    return this.#topicIdOf(name);
  }

  /** As if there had never been a topic; while stopped. */
  forgetTopics(): void {
    this.#topicIds.clear();
    this.#batches.clear();
  }

  deleteTopic(name: string): void {
    const topicId = this.#topicIdOf(name);
    this.#topicIds.delete(name);
    this.indexer.topicDeleted(topicId);
  }

  /** Sets where partitions of a topic begin, by partition. */
  deleteRecords(name: string, offsets: Readonly<Record<number, number>>): void {
    const starts = Object.entries(offsets).map(([partition, offset]) => ({
      partition: Number(partition),
      offset,
    }));
    this.#logStartOffsets.set(this.#topicIdOf(name), starts);
  }

  /** Appends one batch and waits until it is durable. The topic is created if it is new. */
  async produce(
    topic: string,
    records: readonly TestRecord[],
    fields: BatchFields & { readonly partition?: number } = {},
  ): Promise<void> {
    const { partition = 0, ...batchFields } = fields;
    const topicId = this.#topicIds.get(topic) ?? this.createTopic(topic);
    const key = `${topicId}/${partition}`;
    const batches = this.#batches.get(key) ?? [];
    this.#batches.set(key, batches);
    const baseOffset = batches.at(-1)?.endOffset ?? 0;
    const canonical = records.map((record, index) => recordOf(record, baseOffset + index));
    const bytes = encodeBatch(batchOf(canonical, { ...batchFields, baseOffset }));
    await this.append(topicId, { bytes, baseOffset, partition });
    batches.push({ baseOffset, endOffset: baseOffset + records.length, bytes });
  }

  /** Puts bytes that are a batch into the WAL. */
  async append(
    topicId: string,
    batch: { readonly bytes: Uint8Array; readonly baseOffset: number; readonly partition: number },
  ): Promise<void> {
    const { bytes, baseOffset, partition } = batch;
    const topicIdBytes = uuidBytes(topicId);
    while (!this.wal.hasRoom(bytes.length)) await this.wal.whenRoom(bytes.length);
    const address = this.wal.appendBatch({
      topicIdBytes,
      partition,
      baseOffset,
      leaderEpoch: 0,
      bytes,
      start: 0,
      end: bytes.length,
    });
    await this.wal.whenDurable(address);
  }

  /** Resolves when `event` has been logged `count` times since the beginning. */
  async whenLogged(event: string, count = 1): Promise<void> {
    const isLogged = () => this.log.filter((line) => line.includes(` ${event} `)).length >= count;
    while (!isLogged()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#logWaits.add(resolve);
      await promise;
      this.#logWaits.delete(resolve);
    }
  }

  /** Ends the newest Worker of this name, as a crash would. */
  killWorker(name: "wal-indexer" | "generation-keeper" | "searcher"): void {
    this.workers.findLast((started) => started.name === name)?.worker.terminate();
  }

  /** Searches after a refresh. Errors become their answers, as at the HTTP edge. */
  async search(
    body: unknown,
    options: { readonly topics?: string; readonly parameters?: string } = {},
  ): Promise<TestAnswer> {
    const { topics, parameters = "refresh=true" } = options;
    const text = body === undefined ? "" : JSON.stringify(body);
    try {
      const output = await this.searcher.search({
        topics,
        parameters,
        body: new TextEncoder().encode(text),
      });
      return { status: output.status, ...JSON.parse(new TextDecoder().decode(output.body)) };
    } catch (thrown) {
      if (!(thrown instanceof SearchError)) throw thrown;
      const { status, type, message: reason } = thrown;
      const hits = { max_score: null, hits: [] };
      return { status, took: 0, timed_out: false, hits, error: { type, reason } };
    }
  }

  /** The ids of the hits, in order. */
  async idsOf(query: unknown, options: { readonly topics?: string } = {}): Promise<string[]> {
    const answer = await this.search({ query, size: 10_000, sort: ["_offset"] }, options);
    if (answer.error !== undefined) throw new Error(answer.error.reason);
    const ids = answer.hits.hits.map((hit) => hit._id);
    if (answer.hits.total?.value !== ids.length) throw new Error("the total is not the hits");
    return ids;
  }

  #topicIdOf(name: string): string {
    const topicId = this.#topicIds.get(name);
    if (topicId === undefined) throw new Error(`there is no topic ${name}`);
    return topicId;
  }

  async #readBatchAt(
    topicId: string,
    partition: number,
    offset: number,
  ): Promise<Uint8Array | undefined> {
    const batches = this.#batches.get(`${topicId}/${partition}`) ?? [];
    const batch = batches.find((each) => offset >= each.baseOffset && offset < each.endOffset);
    return batch?.bytes.slice();
  }
}

function recordOf(record: TestRecord, offset: number): CanonicalRecord {
  const headers = Object.entries(record.headers ?? {}).map(([key, value]) => ({
    key: new TextEncoder().encode(key),
    value: bytesOf(value),
  }));
  return {
    offset,
    timestampMs: record.timestampMs ?? FIRST_TIMESTAMP_MS + offset,
    key: bytesOf(record.key ?? null),
    value: bytesOf(record.value ?? null),
    headers,
    attributes: 0,
  };
}

function bytesOf(value: string | Uint8Array | null): Uint8Array | null {
  return typeof value === "string" ? new TextEncoder().encode(value) : value;
}
