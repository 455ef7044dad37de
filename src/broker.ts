/**
 * The composition root: makes every owner in the order of its rank, wires them, and stops them in
 * the other direction. Start: storage, APIs, sockets, search. Stop: no new connections, running
 * requests answered, waits ended, everything synced.
 */

import { join } from "node:path";
import type { ClusterView } from "./api/cluster/cluster-view.ts";
import { Dispatcher } from "./api/dispatcher.ts";
import { FetchSessionCache } from "./api/fetch-session.ts";
import type { AnyHandler } from "./api/handler.ts";
import { ProduceRulesCache } from "./api/produce-rules.ts";
import { createHandlers } from "./broker-apis.ts";
import { brokerConfigsOf, topicDefaultsOf } from "./broker-configs.ts";
import { startCoordinators } from "./broker-coordinators.ts";
import { type Maintenance, startMaintenance } from "./broker-maintenance.ts";
import { startManifests } from "./broker-manifests.ts";
import { collectStorage } from "./broker-metrics.ts";
import { createRecordSource } from "./broker-records.ts";
import { type RunningSearch, startSearch } from "./broker-search.ts";
import { startSegmentWork } from "./broker-segments.ts";
import { openStorage, type Storage } from "./broker-storage.ts";
import { startUploads } from "./broker-uploads.ts";
import type { Config } from "./config.ts";
import { BufferPool } from "./core/buffer-pool.ts";
import { ClientTraffic } from "./core/client-traffic.ts";
import type { Clock } from "./core/clock.ts";
import { systemRandom } from "./core/clock.ts";
import type { Disk } from "./core/disk.ts";
import type { Logger } from "./core/logger.ts";
import { createMetrics, type Metrics } from "./core/metrics.ts";
import { Purgatory } from "./log/purgatory.ts";
import { SearchedTopics } from "./meta/searched-topics.ts";
import { TopicAdmin } from "./meta/topic-admin.ts";
import { TopicConfigs } from "./meta/topic-configs.ts";
import { IntakeBudget } from "./network/intake-budget.ts";
import { Listener } from "./network/listener.ts";
import { ResponseMemory } from "./network/response-memory.ts";
import { API_MESSAGES, ApiKey } from "./protocol/generated/api-keys.ts";
import { registerIndexes, registerRound } from "./segment/registration.ts";
import { Retention } from "./segment/retention.ts";
import { Sealing } from "./segment/sealing.ts";

/** How long a stopping broker waits for running requests. */
const DRAIN_MS_MAX = 5000;
const DRAIN_POLL_MS = 10;
/** A partition that a fetch session remembers takes about this much. */
const SESSION_PARTITION_BYTES = 512;
/** All of them together take at most this part of the memory. */
const SESSION_MEMORY_SHARE = 1 / 16;
const SESSION_PARTITIONS_MAX = 100_000;

export interface BrokerOptions {
  readonly config: Config;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
  /** The disk failed: nothing can be acknowledged any more, and the process must end. */
  onFailure(reason: unknown): void;
}

/** A broker that runs. */
export interface Broker {
  readonly kafkaPort: number;
  readonly httpPort: number;
  /** Answers what is running, syncs and closes. `isClean: false` after a failure of the disk. */
  stop(isClean?: boolean): Promise<void>;
}

/** @throws what `openStorage` throws, and the system's error if a port is taken */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { config, disk, clock, logger } = options;
  const metrics = createMetrics(options.version);
  const { onFailure } = options;
  let isClean = true;
  let isStopping = false;
  // What was started is stopped in the other direction, also when a later step fails.
  await using started = new AsyncDisposableStack();
  const storage = await openStorage({ config, disk, clock, logger, metrics, onFailure });
  started.defer(() => storage.close(isClean));
  collectStorage(metrics, storage);
  const manifests = startManifests({ storage, config, clock, logger, metrics });
  started.defer(() => manifests.stop());
  const configs = new TopicConfigs(topicDefaultsOf(config));
  const searched = new SearchedTopics(storage.meta, configs);
  const traffic = new ClientTraffic(clock);
  const intervalMs = config.logRetentionCheckIntervalMs;
  const retention = new Retention({ storage, configs, intervalMs, clock, logger });
  const isExpiring = retention.isExpiring.bind(retention);
  const owners = { ...options, storage, searched, configs, manifests, traffic, metrics };
  started.defer(startSegmentWork({ ...owners, isExpiring }));
  started.defer(startUploads(owners));
  const isReady = (): boolean => !isStopping;
  const source = createRecordSource(storage);
  let maintenance: Maintenance | undefined;
  const search = await startSearch({
    ...owners,
    ...storage,
    source,
    isReady,
    registerIndexes: (facts) => registerIndexes(storage.meta, facts),
    onIndexAdvance: () => maintenance?.releaseWal(),
  });
  started.defer(() => search.stop());
  maintenance = maintain(options, storage, search.indexer);
  started.defer(maintenance.stop);
  retention.start();
  started.defer(() => retention.stop());
  const cluster = clusterViewOf(config, storage.identity);
  const { meta: store } = storage;
  const coordinators = startCoordinators({ config, store, cluster, clock, logger });
  const purgatory = new Purgatory(clock);
  started.defer(() => {
    purgatory.close();
    coordinators.close();
  });
  const responses = new ResponseMemory(config.inFlightBytesMax / 2, clock);
  const coordinatorHandlers = coordinators.handlers;
  const served = { ...owners, purgatory, responses, cluster, coordinatorHandlers };
  const dispatcher = createDispatcher(options, served);
  const listener = createListener(options, { dispatcher, metrics, responses });
  started.defer(async () => {
    await drained(listener, clock);
    listener.closeAll();
  });
  const running = started.move();
  return {
    kafkaPort: listener.port,
    httpPort: search.httpPort,
    stop: async (isCleanStop = true) => {
      isClean = isCleanStop;
      isStopping = true;
      traffic.close();
      listener.drain();
      purgatory.close();
      coordinators.close();
      await running.disposeAsync();
    },
  };
}

function maintain(
  { config, clock, logger }: BrokerOptions,
  storage: Storage,
  indexer: RunningSearch["indexer"],
): Maintenance {
  const sealing = new Sealing({
    ...storage,
    clock,
    logger,
    walDirectory: join(config.dataDir, "wal"),
    onBegin: (endAddress) => indexer?.beginSeal(endAddress),
    register: (segments) => registerRound(storage.meta, segments),
  });
  return startMaintenance({
    storage,
    sealing,
    neededAddress: () => indexer?.neededAddress ?? Number.POSITIVE_INFINITY,
    unindexedFilesMax: Math.floor(config.walBytesMax / 2 / config.walFileBytes),
    clock,
    logger,
    producerIdExpirationMs: config.producerIdExpirationMs,
    roundMs: config.walIndexingIntervalSecs * 1000,
  });
}

interface DispatcherOwners {
  readonly storage: Storage;
  readonly configs: TopicConfigs;
  readonly metrics: Metrics;
  readonly traffic: ClientTraffic;
  readonly purgatory: Purgatory;
  readonly responses: ResponseMemory;
  readonly cluster: ClusterView;
  readonly coordinatorHandlers: readonly AnyHandler[];
}

function createDispatcher(options: BrokerOptions, owners: DispatcherOwners): Dispatcher {
  const { config, clock, logger } = options;
  const { configs, metrics, traffic, purgatory, responses, cluster, coordinatorHandlers } = owners;
  const { wal, logs, tiers, meta } = owners.storage;
  const { brokerId } = cluster;
  const sessions = new FetchSessionCache({
    sessionsMax: config.fetchSessionsMax,
    partitionsMax: sessionPartitionsMaxOf(config),
    clock,
    random: systemRandom,
    // By name or by id: the other is empty.
    isKnown: ({ topic, topicId, index }) => {
      const found = topic === "" ? meta.topicById(topicId) : meta.topic(topic);
      return found !== undefined && index >= 0 && index < found.partitionCount;
    },
  });
  const { numPartitions, partitionsMax } = config;
  const handlers = createHandlers({
    cluster,
    produce: {
      wal,
      logs,
      meta,
      clock,
      rules: new ProduceRulesCache(configs),
      onAppended: (sizeBytes, recordCount) => {
        traffic.note(sizeBytes);
        metrics.producedBytesTotal.increment(sizeBytes);
        metrics.producedRecordsTotal.increment(recordCount);
      },
    },
    fetch: {
      tiers,
      logs,
      meta,
      sessions,
      purgatory,
      memory: responses,
      fetchMaxBytes: config.fetchMaxBytes,
      onFetched: (sizeBytes) => {
        traffic.note(sizeBytes);
        metrics.fetchedBytesTotal.increment(sizeBytes);
      },
    },
    topicAdmin: new TopicAdmin({ meta, configs, clock, brokerId, numPartitions, partitionsMax }),
    configs,
    brokerConfigs: brokerConfigsOf(config, brokerId),
    isAutoCreateEnabled: config.autoCreateTopicsEnable,
    coordinatorHandlers,
  });
  return new Dispatcher({ handlers, clock, logger, observe: requestObserver(metrics) });
}

function createListener(
  { config, clock, logger }: BrokerOptions,
  owners: { dispatcher: Dispatcher; metrics: Metrics; responses: ResponseMemory },
): Listener {
  const { dispatcher, metrics, responses } = owners;
  const listener = new Listener({
    hostname: config.bindAddr,
    port: config.kafkaPort,
    connectionsMax: config.connectionsMax,
    connectionsMaxIdleMs: config.connectionsMaxIdleMs,
    clock,
    logger,
    shared: {
      dispatcher,
      clock,
      logger,
      bufferPool: new BufferPool(),
      intake: new IntakeBudget(config.inFlightBytesMax / 2, clock),
      frameBytesLimit: Math.min(config.frameBytesLimit, config.inFlightBytesMax),
      inFlightRequestsMax: config.connectionInFlightRequestsMax,
      onUnsentChange: (deltaBytes) => responses.change(deltaBytes),
    },
    isMemoryShort: () => responses.isShort,
    onAccepted: () => metrics.connectionsTotal.increment(),
    onCountChange: (count) => metrics.connections.set(count),
    onRejected: () => metrics.connectionsRejectedTotal.increment(),
  });
  return listener;
}

/** Clients are told the advertised address; without one, that through which they came. */
function clusterViewOf(
  { advertisedAddr }: Config,
  { clusterId, brokerId, leaderEpoch }: Storage["identity"],
): ClusterView {
  return {
    clusterId,
    brokerId,
    leaderEpoch,
    endpointOf: ({ connection }) => ({
      host: advertisedAddr?.host ?? connection.localAddress,
      port: advertisedAddr?.port ?? connection.localPort,
    }),
  };
}

/** How many partitions all fetch sessions may remember together. */
function sessionPartitionsMaxOf({ memoryMaxBytes }: Config): number {
  const affordable = Math.floor((memoryMaxBytes * SESSION_MEMORY_SHARE) / SESSION_PARTITION_BYTES);
  return Math.min(SESSION_PARTITIONS_MAX, affordable);
}

function requestObserver(metrics: Metrics) {
  const counters = new Map<number, { increment(): void }>();
  return (apiKey: number, elapsedSeconds: number): void => {
    if (apiKey === ApiKey.produce) metrics.produceLatencySeconds.observe(elapsedSeconds);
    else if (apiKey === ApiKey.fetch) metrics.fetchLatencySeconds.observe(elapsedSeconds);
    let counter = counters.get(apiKey);
    if (counter === undefined) {
      const name = API_MESSAGES.find((api) => api.apiKey === apiKey)?.name;
      counter = metrics.requestsTotal.with(name ?? String(apiKey));
      counters.set(apiKey, counter);
    }
    counter.increment();
  };
}

/** Resolves when every request is answered, or after `DRAIN_MS_MAX`. */
function drained(listener: Listener, clock: Clock): Promise<void> {
  const deadlineMs = clock.monotonicMs() + DRAIN_MS_MAX;
  return new Promise((resolve) => {
    const poll = (): void => {
      if (!listener.hasRequests || clock.monotonicMs() > deadlineMs) resolve();
      else clock.after(DRAIN_POLL_MS, poll);
    };
    poll();
  });
}
