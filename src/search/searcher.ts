/**
 * The main thread's side of searching. It resolves the topics, says which indexes to look into, and reads batches
 * back; all else happens in a Worker that starts with the first search.
 *
 *   const searcher = createSearcher({ indexer, readBatchAt, logStartOffsetsOf, clock, logger, searchTimeoutMs,
 *     searchConcurrencyMax, searchResultWindowMax, responseBytesMax, searchBucketsMax,
 *     searchAggregationBytesMax });
 *   await startHttpServer({ search: searcher, … });
 *   searcher.stop();
 *
 * `readBatchAt` answers with the stored batch that holds the offset, in a buffer of its own that is given away, or
 * undefined if there is none (any more). A search whose Worker died is given to the next one, once.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import { eachAtATime } from "../core/lanes.ts";
import type { Logger } from "../core/logger.ts";
import { closeIndex } from "../core/native.ts";
import { type CreateWorker, SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import type { IndexDamage } from "./damaged-indexes.ts";
import { SearchError } from "./elasticsearch-error.ts";
import { FIELD_CAPS_PARAMETERS } from "./field-caps.ts";
import { MAPPING_PARAMETERS } from "./field-mapping.ts";
import type { NamedTopic } from "./indexer-messages.ts";
import type { QueryBounds } from "./query-bounds.ts";
import type { SearchApi, SearchInput, SearchOutput } from "./search-input.ts";
import { type LogStartOffsetsOf, planSearch, type SearchedGeneration } from "./search-plan.ts";
import { flagOf, parametersOf } from "./search-request.ts";
import type {
  ReadBatch,
  RecordPlace,
  SearcherCommand,
  SearcherReport,
} from "./searcher-messages.ts";
import { selectTopics } from "./topic-selection.ts";

/** The stored batch that holds `offset`; undefined if there is none. The bytes are not changed afterwards. */
export type ReadBatchAt = (
  topicId: string,
  partition: number,
  offset: number,
) => Promise<Uint8Array | undefined>;

/** What a search needs of the indexer. */
export interface SearchedIndexes {
  readonly topics: Iterable<NamedTopic>;
  /** Those that exist and are not indexed. */
  readonly otherTopics: Iterable<NamedTopic>;
  hasTopic(topicId: string): boolean;
  generations(): readonly SearchedGeneration[];
  refresh(timeoutMs: number): Promise<boolean>;
  indexDamaged(damage: IndexDamage): void;
}

export interface SearcherOptions {
  readonly indexer: SearchedIndexes;
  readonly readBatchAt: ReadBatchAt;
  readonly logStartOffsetsOf: LogStartOffsetsOf;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From its arrival to its answer, refresh included. */
  readonly searchTimeoutMs: number;
  /** Searches in the Worker, also those that nobody waits for any more. */
  readonly searchConcurrencyMax: number;
  /** Largest from + size. */
  readonly searchResultWindowMax: number;
  /** Of one answer. */
  readonly responseBytesMax: number;
  /** Buckets of the aggregations of one search. */
  readonly searchBucketsMax: number;
  /** Memory for the aggregations of one search. */
  readonly searchAggregationBytesMax: number;
  /** For tests that want to kill the Worker. */
  readonly createWorker?: CreateWorker;
}

interface RunningSearch {
  readonly id: number;
  readonly input: SearchInput;
  readonly startMs: number;
  readonly deadlineMs: number;
  /** Topics that were meant when the search came in. */
  readonly topicIds: ReadonlySet<string>;
  readonly finish: (output: SearchOutput | SearchError) => void;
  attemptCount: number;
}

const ATTEMPTS_MAX = 2;
/** Undefined: those of a search. */
const PARAMETERS_OF: Readonly<Record<SearchApi, readonly string[] | undefined>> = {
  search: undefined,
  count: undefined,
  fieldCaps: FIELD_CAPS_PARAMETERS,
  mapping: MAPPING_PARAMETERS,
};
/** Batches that are handed to the Worker at a time. */
const READ_BYTES_MAX = 4 * 1024 * 1024;
/** Batches that one search reads at a time: while one is unpacked, the next is on its way. */
const READS_AT_A_TIME = 4;

export function createSearcher(options: SearcherOptions): Searcher {
  return new Searcher(options);
}

/** The answer to every search where indexing is switched off. */
export const searchIsOff = {
  search: (): Promise<SearchOutput> =>
    Promise.reject(
      new SearchError(
        503,
        "service_unavailable_exception",
        "search is off: the broker runs with enable_wal_indexing = false",
      ),
    ),
};

/** Owns the search Worker and the searches in it. */
export class Searcher {
  readonly #options: SearcherOptions;
  readonly #worker: SupervisedWorker<SearcherCommand, SearcherReport>;
  readonly #running = new Map<number, RunningSearch>();
  /** Those of segments, in the Worker. */
  #openIndexes: readonly number[] = [];
  #nextId = 1;
  #segmentsSearchedTotal = 0;
  #segmentsPrunedTotal = 0;

  constructor(options: SearcherOptions) {
    const { clock, logger, createWorker } = options;
    this.#options = options;
    this.#worker = new SupervisedWorker<SearcherCommand, SearcherReport>({
      name: "searcher",
      url: workerUrl("search/searcher-worker"),
      clock,
      logger,
      ...(createWorker ? { createWorker } : {}),
      onStart: () => {
        for (const search of this.#running.values()) this.#post(search);
      },
      onReport: (report) => this.#onReport(report),
      onDeath: () => this.#onDeath(),
    });
  }

  /** @throws SearchError 4xx for what is the client's fault and known here, 503, 504 */
  async search(input: SearchInput): Promise<SearchOutput> {
    const { indexer, clock, searchTimeoutMs, searchConcurrencyMax } = this.#options;
    const startMs = clock.monotonicMs();
    const parameters = parametersOf(input.parameters, PARAMETERS_OF[input.api ?? "search"]);
    const topicIds = selectTopics(input.topics, indexer.topics, {
      ignoresMissing: flagOf(parameters, "ignore_unavailable", false),
      allowsNone: flagOf(parameters, "allow_no_indices", true),
      notIndexed: indexer.otherTopics,
    });
    if (flagOf(parameters, "refresh", false) && !(await indexer.refresh(searchTimeoutMs))) {
      throw timeoutError(searchTimeoutMs, "the index did not catch up with the log");
    }
    if (this.#running.size >= searchConcurrencyMax) {
      const reason = `rejected: ${this.#running.size} searches are running`;
      throw new SearchError(429, "es_rejected_execution_exception", reason);
    }
    const leftMs = searchTimeoutMs - (clock.monotonicMs() - startMs);
    return await this.#run(input, topicIds, leftMs);
  }

  /** How many segments searches have looked into, and how many they could leave unopened. */
  get segmentCounts(): { readonly searchedTotal: number; readonly prunedTotal: number } {
    return { searchedTotal: this.#segmentsSearchedTotal, prunedTotal: this.#segmentsPrunedTotal };
  }

  stop(): void {
    this.#worker.stop();
    this.#closeIndexes();
    for (const search of [...this.#running.values()]) search.finish(stoppedError());
  }

  #run(
    input: SearchInput,
    topicIds: ReadonlySet<string>,
    timeoutMs: number,
  ): Promise<SearchOutput> {
    const { clock } = this.#options;
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      let cancelTimer: CancelTimer = () => {};
      const finish = (output: SearchOutput | SearchError): void => {
        cancelTimer();
        this.#running.delete(id);
        if (output instanceof SearchError) reject(output);
        else resolve(output);
      };
      cancelTimer = clock.after(timeoutMs, () => {
        this.#worker.post({ kind: "cancel", id });
        finish(timeoutError(this.#options.searchTimeoutMs, "the search took too long"));
      });
      const startMs = clock.nowMs();
      const deadlineMs = startMs + timeoutMs;
      const search = { id, input, startMs, deadlineMs, topicIds, finish, attemptCount: 0 };
      this.#running.set(id, search);
      if (this.#worker.isRunning) this.#post(search);
      else this.#worker.start();
    });
  }

  #post(search: RunningSearch): void {
    const { id, input, startMs, deadlineMs } = search;
    const options = this.#options;
    search.attemptCount += 1;
    this.#worker.post({
      kind: "search",
      id,
      api: input.api ?? "search",
      topics: this.#namedTopics(search),
      parameters: input.parameters,
      // Copied: the search may have to be given to another Worker.
      body: input.body.slice(),
      startMs,
      deadlineMs,
      limits: {
        resultWindowMax: options.searchResultWindowMax,
        responseBytesMax: options.responseBytesMax,
        bucketsMax: options.searchBucketsMax,
        aggregationBytesMax: options.searchAggregationBytesMax,
      },
    });
  }

  /** Segments that are gone: their files are not to be kept any more. */
  forgetSegments(segmentIds: readonly string[]): void {
    if (segmentIds.length > 0) this.#worker.post({ kind: "forget", segmentIds });
  }

  #onReport(report: SearcherReport): void {
    if (report.kind === "open") {
      this.#openIndexes = report.indexNumbers;
      return;
    }
    if (report.kind === "damaged") {
      this.#options.indexer.indexDamaged(report.damage);
      return;
    }
    const search = this.#running.get(report.id);
    if (search !== undefined) this.#onSearchReport(search, report);
  }

  #onSearchReport(
    search: RunningSearch,
    report: Extract<SearcherReport, { readonly id: number }>,
  ): void {
    switch (report.kind) {
      case "plan":
        this.#plan(search, report.bounds);
        break;
      case "read":
        // It never rejects.
        void this.#read(search, report.places);
        break;
      case "answer":
        search.finish({ status: report.status, body: report.body });
        break;
    }
  }

  #namedTopics({ input, topicIds }: RunningSearch): readonly NamedTopic[] {
    if (input.api !== "fieldCaps" && input.api !== "mapping") return [];
    const topics = [...this.#options.indexer.topics].filter(({ topicId }) => topicIds.has(topicId));
    return topics
      .map(({ topicId, name }) => ({ topicId, name }))
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  #plan({ id, topicIds }: RunningSearch, bounds: QueryBounds): void {
    const { indexer, logStartOffsetsOf } = this.#options;
    const wanted = new Map<string, string>();
    for (const { topicId, name } of indexer.topics) {
      if (topicIds.has(topicId)) wanted.set(topicId, name);
    }
    const plan = planSearch(indexer.generations(), { wanted, logStartOffsetsOf, bounds });
    this.#segmentsSearchedTotal += plan.segments.length;
    this.#segmentsPrunedTotal += plan.prunedCount;
    this.#worker.post({ kind: "plan", id, plan });
  }

  async #read(search: RunningSearch, places: readonly RecordPlace[]): Promise<void> {
    const attempt = search.attemptCount;
    try {
      const { batches, pending } = await this.#readBatches(places);
      if (this.#running.get(search.id) !== search || search.attemptCount !== attempt) return;
      this.#worker.post(
        { kind: "batches", id: search.id, batches, pending },
        batches.map(({ bytes }) => bytes.buffer as ArrayBuffer),
      );
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#options.logger.error("search_read_failed", { reason });
      search.finish(
        new SearchError(500, "search_phase_execution_exception", "a record could not be read"),
      );
      this.#worker.post({ kind: "cancel", id: search.id });
    }
  }

  /** Batches for the places, which are sorted, and those for which there was no room in one message. */
  async #readBatches(places: readonly RecordPlace[]): Promise<{
    readonly batches: readonly ReadBatch[];
    readonly pending: readonly RecordPlace[];
  }> {
    const batches: ReadBatch[] = [];
    const pending: RecordPlace[] = [];
    let sizeBytes = 0;
    const readPartition = async (own: readonly RecordPlace[]): Promise<void> => {
      let heldEnd = 0;
      for (const [index, { topicId, partition, offset }] of own.entries()) {
        if (offset < heldEnd || !this.#options.indexer.hasTopic(topicId)) continue;
        if (sizeBytes >= READ_BYTES_MAX) {
          pending.push(...own.slice(index));
          return;
        }
        const bytes = await this.#options.readBatchAt(topicId, partition, offset);
        if (bytes === undefined) continue;
        batches.push({ topicId, partition, bytes });
        sizeBytes += bytes.length;
        const { baseOffset, lastOffsetDelta } = readBatchHeader(bytes, 0);
        heldEnd = baseOffset + lastOffsetDelta + 1;
      }
    };
    const lanes = { laneCount: READS_AT_A_TIME, isStopped: () => false };
    await eachAtATime(partitionsOf(places), lanes, readPartition);
    return { batches, pending };
  }

  /** The Worker's indexes outlive it. Closing them takes no time: nobody writes them. */
  #closeIndexes(): void {
    for (const indexNumber of this.#openIndexes) closeIndex(indexNumber);
    this.#openIndexes = [];
  }

  #onDeath(): void {
    this.#closeIndexes();
    for (const search of [...this.#running.values()]) {
      if (search.attemptCount < ATTEMPTS_MAX) continue;
      const reason = "the search Worker died twice of it";
      search.finish(new SearchError(500, "search_phase_execution_exception", reason));
    }
  }
}

function timeoutError(timeoutMs: number, reason: string): SearchError {
  return new SearchError(504, "search_timeout_exception", `${reason} (${timeoutMs} ms)`);
}

function stoppedError(): SearchError {
  return new SearchError(503, "service_unavailable_exception", "the broker is stopping");
}

/** Places, sorted, by partition. */
function partitionsOf(places: readonly RecordPlace[]): RecordPlace[][] {
  const partitions: RecordPlace[][] = [];
  for (const place of places) {
    const own = partitions.at(-1);
    const isSame = own?.[0]?.topicId === place.topicId && own[0].partition === place.partition;
    if (isSame) own.push(place);
    else partitions.push([place]);
  }
  return partitions;
}
