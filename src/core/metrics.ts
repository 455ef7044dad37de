/**
 * The broker's metrics by name. Owners count through the fields; what an owner already knows (WAL
 * sizes, lags) is read at scrape time through `collect…` callbacks that the composition root sets.
 */

import {
  type Counter,
  type Family,
  type Gauge,
  type Histogram,
  MetricRegistry,
  type ReportSeries,
} from "./metric-registry.ts";

/** Sizes of the WAL as its owner knows them. */
export interface WalSizes {
  /** Bytes appended since the start of the process. */
  readonly appendedBytes: number;
  /** Of those, bytes known to be on disk. */
  readonly durableBytes: number;
  readonly fileCount: number;
  /** Bytes that the files take on disk. */
  readonly sizeBytes: number;
}

/** How far the search index is behind the durable end of the WAL. */
export interface IndexerLag {
  readonly lagBytes: number;
  /** Age of the oldest durable record that is no hit yet; 0 when there is none. */
  readonly lagSeconds: number;
  readonly indexedRecordsTotal: number;
  /** Bytes of the live search index in memory. */
  readonly liveIndexBytes: number;
  /** Search index generations on disk. */
  readonly frozenGenerationCount: number;
  /** How often the indexer Worker was started again after it died. */
  readonly workerRestartsTotal: number;
}

/** Reads consumer lag: calls `report(lagRecords, groupId, topic, partition)` for each committed partition. */
export type CollectConsumerLag = (report: ReportSeries) => void;

/** Fields are bound series, or families where the label is known to the caller only. */
export interface Metrics {
  /** From the arrival of a request's last byte until its answer is handed to the socket. */
  readonly produceLatencySeconds: Histogram;
  readonly fetchLatencySeconds: Histogram;
  readonly walSyncLatencySeconds: Histogram;
  readonly searchLatencySeconds: Histogram;
  /** By API name as Kafka writes it ("Produce"). */
  readonly requestsTotal: Family<Counter>;
  /** By API name and error code name; code 0 is not counted. */
  readonly requestErrorsTotal: Family<Counter>;
  /** By path pattern and status ("/_search", "200"). */
  readonly httpRequestsTotal: Family<Counter>;
  readonly producedBytesTotal: Counter;
  readonly producedRecordsTotal: Counter;
  readonly fetchedBytesTotal: Counter;
  readonly connections: Gauge;
  readonly connectionsTotal: Counter;
  readonly connectionsRejectedTotal: Counter;
  readonly searchesRejectedTotal: Counter;
  /** Read at each scrape; call each at most once. */
  collectWal(read: () => WalSizes): void;
  collectIndexerLag(read: () => IndexerLag): void;
  collectConsumerLag(collect: CollectConsumerLag): void;
  /** Topics and partitions that exist. */
  collectTopics(read: () => { topicCount: number; partitionCount: number }): void;
  /** For what is not foreseen here. */
  readonly registry: MetricRegistry;
  /** The text of `/metrics`. */
  expose(): string;
}

/** A fresh set of metrics, all zero. @param version of the broker, for `chronik_build_info`. */
export function createMetrics(version = "unknown"): Metrics {
  const registry = new MetricRegistry();
  registerProcess(registry, version);
  const histogram = (name: string, help: string) => registry.histogram({ name, help }).with();
  const counter = (name: string, help: string) => registry.counter({ name, help }).with();
  return {
    registry,
    produceLatencySeconds: histogram(
      "chronik_produce_latency_seconds",
      "Time from a whole Produce request to its answer.",
    ),
    fetchLatencySeconds: histogram(
      "chronik_fetch_latency_seconds",
      "Time from a whole Fetch request to its answer, waiting for records included.",
    ),
    walSyncLatencySeconds: histogram(
      "chronik_wal_sync_latency_seconds",
      "Time of one group commit: write and sync.",
    ),
    searchLatencySeconds: histogram(
      "chronik_search_latency_seconds",
      "Time from a whole search request to its answer.",
    ),
    requestsTotal: registry.counter({
      name: "chronik_requests_total",
      help: "Kafka requests by API.",
      labels: ["api"],
    }),
    requestErrorsTotal: registry.counter({
      name: "chronik_request_errors_total",
      help: "Error codes in answers to Kafka requests.",
      labels: ["api", "error"],
    }),
    httpRequestsTotal: registry.counter({
      name: "chronik_http_requests_total",
      help: "HTTP requests by route and status.",
      labels: ["route", "status"],
    }),
    producedBytesTotal: counter("chronik_produced_bytes_total", "Bytes of appended batches."),
    producedRecordsTotal: counter("chronik_produced_records_total", "Records appended."),
    fetchedBytesTotal: counter(
      "chronik_fetched_bytes_total",
      "Bytes of batches sent to consumers.",
    ),
    connections: registry
      .gauge({ name: "chronik_connections", help: "Open Kafka connections." })
      .with(),
    connectionsTotal: counter("chronik_connections_accepted_total", "Kafka connections accepted."),
    connectionsRejectedTotal: counter(
      "chronik_connections_rejected_total",
      "Kafka connections closed at once because there were too many.",
    ),
    searchesRejectedTotal: counter(
      "chronik_searches_rejected_total",
      "Searches refused because too many were running.",
    ),
    collectWal: (read) => registerWal(registry, read),
    collectIndexerLag: (read) => registerIndexerLag(registry, read),
    collectConsumerLag: (collect) =>
      registry.collected(
        "gauge",
        {
          name: "chronik_consumer_lag_records",
          help: "Records between a group's committed offset and the high watermark, without deleted ones.",
          labels: ["group", "topic", "partition"],
        },
        collect,
      ),
    collectTopics: (read) => {
      collectGauge(registry, "chronik_topics", "Topics.", () => read().topicCount);
      collectGauge(registry, "chronik_partitions", "Partitions.", () => read().partitionCount);
    },
    expose: () => registry.expose(),
  };
}

function collectGauge(
  registry: MetricRegistry,
  name: string,
  help: string,
  read: () => number,
): void {
  registry.collected("gauge", { name, help }, (report) => report(read()));
}

function collectCounter(
  registry: MetricRegistry,
  name: string,
  help: string,
  read: () => number,
): void {
  registry.collected("counter", { name, help }, (report) => report(read()));
}

function registerProcess(registry: MetricRegistry, version: string): void {
  registry.collected(
    "gauge",
    {
      name: "chronik_build_info",
      help: "Always 1; the label says what runs.",
      labels: ["version"],
    },
    (report) => report(1, version),
  );
  collectGauge(registry, "process_resident_memory_bytes", "Resident memory.", () =>
    process.memoryUsage.rss(),
  );
  collectCounter(registry, "process_cpu_seconds_total", "User and system CPU time.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
}

function registerWal(registry: MetricRegistry, read: () => WalSizes): void {
  const appended = "Bytes appended to the WAL since the start.";
  const durable = "Bytes of the WAL known to be on disk since the start.";
  collectCounter(
    registry,
    "chronik_wal_appended_bytes_total",
    appended,
    () => read().appendedBytes,
  );
  collectCounter(registry, "chronik_wal_durable_bytes_total", durable, () => read().durableBytes);
  collectGauge(registry, "chronik_wal_files", "Files of the WAL.", () => read().fileCount);
  collectGauge(
    registry,
    "chronik_wal_size_bytes",
    "Disk taken by the WAL.",
    () => read().sizeBytes,
  );
}

function registerIndexerLag(registry: MetricRegistry, read: () => IndexerLag): void {
  const gauge = (name: string, help: string, value: (lag: IndexerLag) => number) =>
    collectGauge(registry, name, help, () => value(read()));
  gauge(
    "chronik_indexer_lag_bytes",
    "Durable bytes of the WAL that are not searchable yet.",
    (lag) => lag.lagBytes,
  );
  gauge(
    "chronik_indexer_lag_seconds",
    "Age of the oldest durable record that is not searchable yet.",
    (lag) => lag.lagSeconds,
  );
  gauge(
    "chronik_live_index_bytes",
    "Memory of the live search index.",
    (lag) => lag.liveIndexBytes,
  );
  gauge(
    "chronik_frozen_search_indexes",
    "Search index generations on disk.",
    (lag) => lag.frozenGenerationCount,
  );
  collectCounter(
    registry,
    "chronik_indexed_records_total",
    "Records added to the search index.",
    () => read().indexedRecordsTotal,
  );
  collectCounter(
    registry,
    "chronik_indexer_restarts_total",
    "Times the indexer was started again after it died.",
    () => read().workerRestartsTotal,
  );
}
