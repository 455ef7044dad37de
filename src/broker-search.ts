/** Search over what is in the WAL: the indexer follows it, the searcher answers, HTTP shows it. */

import { join } from "node:path";
import { fixedSharesOf } from "./config/memory-budget.ts";
import type { Config } from "./config.ts";
import type { ClientTraffic } from "./core/client-traffic.ts";
import type { Clock } from "./core/clock.ts";
import { listenFailureOf } from "./core/listen-failure.ts";
import type { Logger } from "./core/logger.ts";
import type { Metrics } from "./core/metrics.ts";
import { setArchiveCacheBytes } from "./core/native-segments.ts";
import { processorCount } from "./core/processors.ts";
import type { TopicSummary } from "./http/cat-indices.ts";
import type { RecordSource } from "./http/record-source.ts";
import { type HttpServer, startHttpServer } from "./http/server.ts";
import { TopicReads } from "./http/topic-reads.ts";
import { TopicJobRunner } from "./http/topic-records-runner.ts";
import type { LogManager } from "./log/log-manager.ts";
import { type LogTiers, readBatchAt } from "./log/log-reader.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import type { SearchedTopics } from "./meta/searched-topics.ts";
import { createSearcher, searchIsOff } from "./search/searcher.ts";
import { createWalIndexer, type WalIndexer } from "./search/wal-indexer.ts";
import type { SegmentFacts } from "./segment/segment-facts.ts";
import type { SegmentStore } from "./segment/segment-store.ts";
import { goneIdsOf } from "./segment/segments-change.ts";
import type { Wal } from "./wal/wal.ts";

export interface SearchOptions {
  readonly config: Config;
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly tiers: LogTiers;
  readonly meta: MetaStore;
  readonly searched: SearchedTopics;
  readonly segments: SegmentStore;
  /** Makes it known that segments have a search index. */
  readonly registerIndexes: (facts: readonly SegmentFacts[]) => Promise<void>;
  /** Less of the WAL is needed by the search index than before. */
  readonly onIndexAdvance: () => void;
  /** What `/api` shows. */
  readonly source: RecordSource;
  /** The index waits for clients where it can. */
  readonly traffic: ClientTraffic;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
  readonly isReady: () => boolean;
}

export interface RunningSearch {
  readonly httpPort: number;
  /** Undefined if nothing is indexed. */
  readonly indexer: Pick<WalIndexer, "beginSeal" | "neededAddress"> | undefined;
  stop(): Promise<void>;
}

/** Connections of the HTTP port at most. */
const HTTP_CONNECTIONS_MAX = 1024;
/** Memory for the aggregations of one search, where `memory-max` leaves so much. */
const AGGREGATION_BYTES_MAX = 64 * 2 ** 20;
const SEGMENT_CONCURRENCY_DEFAULT_MAX = 4;
/** Of one search's answer. */
const RESPONSE_BYTES_MAX = 64 * 2 ** 20;

export async function startSearch(options: SearchOptions): Promise<RunningSearch> {
  const { config, source, segments, metrics, clock, logger, version, isReady } = options;
  const indexing = config.enableWalIndexing ? startIndexing(options) : undefined;
  const { archiveCacheBytesMax, topicReadBytesMax } = fixedSharesOf(config.memoryMaxBytes);
  setArchiveCacheBytes(archiveCacheBytesMax);
  const runner = new TopicJobRunner({ source, memoryBytesMax: topicReadBytesMax, clock, logger });
  const reads = new TopicReads({ source, clock, run: (job) => runner.run(job) });
  const startHttp = (): Promise<HttpServer> =>
    startHttpServer({
      hostname: config.bindAddr,
      port: config.httpPort,
      connectionsMax: HTTP_CONNECTIONS_MAX,
      bodyBytesLimit: config.httpBodyBytesLimit,
      searchConcurrencyMax: config.searchConcurrencyMax,
      search: indexing?.searcher ?? searchIsOff,
      api: { source, reads, segmentStats: () => segments.index.stats() },
      metrics,
      isReady,
      logger,
      clock,
      version,
      topics: () => topicSummaries(options),
    });
  try {
    const http = await startHttp();
    return {
      httpPort: http.port,
      indexer: indexing?.indexer,
      stop: async () => {
        await http.stop();
        runner.stop();
        await indexing?.stop();
      },
    };
  } catch (thrown) {
    await indexing?.stop();
    throw listenFailureOf(thrown, config.bindAddr, config.httpPort);
  }
}

/** Half of the cores are left to clients; each segment takes memory. */
function defaultConcurrency(): number {
  return Math.min(Math.max(1, Math.floor(processorCount() / 2)), SEGMENT_CONCURRENCY_DEFAULT_MAX);
}

function* topicSummaries({ meta, logs }: SearchOptions): Iterable<TopicSummary> {
  for (const { topicId, name, partitionCount } of meta.topics()) {
    let recordCount = 0;
    for (let index = 0; index < partitionCount; index += 1) {
      const log = logs.partition(topicId, index);
      if (log !== undefined) recordCount += log.highWatermark - log.logStartOffset;
    }
    yield { topicId, name, partitionCount, recordCount };
  }
}

function startIndexing(options: SearchOptions) {
  const { config, wal, logs, tiers, meta, searched, segments, metrics, clock, logger } = options;
  const indexer = createWalIndexer({
    dataDir: config.dataDir,
    walDirectory: join(config.dataDir, "wal"),
    walFileBytes: config.walFileBytes,
    oldestAddress: () => wal.startAddress,
    durableAddress: wal.durableAddress,
    topics: searched.describeAll(),
    liveIndexBytesMax: config.liveIndexBytesMax,
    segmentConcurrency: config.segmentIndexingConcurrency || defaultConcurrency(),
    segments: {
      index: segments.index,
      pathOf: (segmentId) => segments.pathOf(segmentId),
      pin: (segmentId) => segments.pin(segmentId),
      registerIndexes: options.registerIndexes,
    },
    onAdvance: options.onIndexAdvance,
    traffic: options.traffic,
    clock,
    logger,
  });
  wal.onDurable((address) => indexer.onDurable(address));
  const tell = (topicId: string): void => {
    const topic = searched.describe(topicId);
    if (topic !== undefined) indexer.topicSet(topic);
  };
  const removeListener = meta.onApplied((command) => {
    const { kind } = command;
    if (kind === "topicDeleted") indexer.topicDeleted(command.topicId);
    else if (kind === "topicCreated") tell(command.topic.topicId);
    else if (kind === "topicConfigsSet") tell(command.topicId);
  });
  const removeSegmentListener = segments.onChanged((change) => {
    indexer.segmentsChanged(change);
    searcher.forgetSegments(goneIdsOf(change));
  });
  metrics.collectIndexerLag(() => indexer.lag());
  const searcher = createSearcher({
    indexer,
    readBatchAt: async (topicId, index, offset) => {
      const partition = logs.partition(topicId, index);
      return partition && (await readBatchAt(tiers, partition, offset));
    },
    logStartOffsetsOf: (topicId) => meta.logStartOffsets(topicId),
    clock,
    logger,
    searchTimeoutMs: config.searchTimeoutMs,
    searchConcurrencyMax: config.searchConcurrencyMax,
    searchResultWindowMax: config.searchResultWindowMax,
    searchBucketsMax: config.searchBucketsMax,
    searchAggregationBytesMax: Math.min(AGGREGATION_BYTES_MAX, config.memoryMaxBytes / 8),
    responseBytesMax: Math.min(RESPONSE_BYTES_MAX, config.inFlightBytesMax / 2),
  });
  metrics.registry.collected(
    "counter",
    {
      name: "chronik_search_segments_total",
      help: "Segments that searches have looked into, or left unopened as no hit could be in them.",
      labels: ["outcome"],
    },
    (report) => {
      const { searchedTotal, prunedTotal } = searcher.segmentCounts;
      report(searchedTotal, "searched");
      report(prunedTotal, "pruned");
    },
  );
  return {
    searcher,
    indexer,
    stop: async (): Promise<void> => {
      removeListener();
      removeSegmentListener();
      searcher.stop();
      await indexer.stop();
    },
  };
}
