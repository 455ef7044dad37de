/** This broker's settings by the names that Apache Kafka gives them, for DescribeConfigs and topic defaults. */

import type { Config } from "./config.ts";
import {
  ConfigSource,
  type ConfigValues,
  type ConfigValueType,
  type DescribedConfig,
  SEARCH_INDEX_ENABLE,
} from "./meta/topic-configs.ts";

/** Defaults of topic configs that the broker's settings change, by topic config name. */
export function topicDefaultsOf(config: Config): ConfigValues {
  return {
    "file.delete.delay.ms": String(config.fileDeleteDelayMs),
    "max.message.bytes": String(config.messageMaxBytes),
    [SEARCH_INDEX_ENABLE]: String(config.searchIndexEnable),
    "retention.bytes": String(config.logRetentionBytes),
    "retention.ms": String(config.logRetentionMs),
  };
}

/** What DescribeConfigs tells of this broker, in order of name. */
export function brokerConfigsOf(config: Config, brokerId: number): readonly DescribedConfig[] {
  return [...rowsOf(config), ...retentionRowsOf(config), ...identityRowsOf(brokerId)]
    .map(([name, type, given, documentation]): DescribedConfig => {
      const value = String(given);
      const source = ConfigSource.staticBroker;
      return { name, value, source, type, synonyms: [{ name, value, source }], documentation };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

type Row = readonly [
  name: string,
  type: ConfigValueType,
  value: string | number | boolean,
  documentation: string,
];

function rowsOf(config: Config): readonly Row[] {
  return [
    [
      "auto.create.topics.enable",
      "boolean",
      config.autoCreateTopicsEnable,
      "Create a topic when a client first asks for it.",
    ],
    [
      "connections.max.idle.ms",
      "long",
      config.connectionsMaxIdleMs,
      "A connection that is silent for longer is closed.",
    ],
    ["fetch.max.bytes", "int", config.fetchMaxBytes, "Most bytes of one fetch response."],
    [
      "group.initial.rebalance.delay.ms",
      "int",
      config.groupInitialRebalanceDelayMs,
      "Time an empty consumer group waits for more members.",
    ],
    [
      "group.max.session.timeout.ms",
      "int",
      config.groupMaxSessionTimeoutMs,
      "Longest session timeout of a group member.",
    ],
    [
      "group.min.session.timeout.ms",
      "int",
      config.groupMinSessionTimeoutMs,
      "Shortest session timeout of a group member.",
    ],
    [
      "log.segment.delete.delay.ms",
      "long",
      config.fileDeleteDelayMs,
      "What was deleted is gone from the disk after this time at the latest.",
    ],
    ["log.dirs", "string", config.dataDir, "Where everything is kept."],
    ["max.connections", "int", config.connectionsMax, "Open connections at most."],
    [
      "max.incremental.fetch.session.cache.slots",
      "int",
      config.fetchSessionsMax,
      "Fetch sessions that are remembered.",
    ],
    ["message.max.bytes", "int", config.messageMaxBytes, "Largest record batch."],
    ["num.partitions", "int", config.numPartitions, "Partitions of a new topic."],
    [
      "offsets.retention.minutes",
      "int",
      config.offsetsRetentionMinutes,
      "Committed offsets of an empty group are kept this long.",
    ],
    [
      "producer.id.expiration.ms",
      "int",
      config.producerIdExpirationMs,
      "The sequence numbers of a silent producer are kept this long.",
    ],
    [
      SEARCH_INDEX_ENABLE,
      "boolean",
      config.searchIndexEnable,
      "Whether topics that do not say are indexed for search.",
    ],
    ["socket.request.max.bytes", "int", config.frameBytesLimit, "Largest request."],
  ];
}

function retentionRowsOf(config: Config): readonly Row[] {
  return [
    [
      "log.cleaner.backoff.ms",
      "long",
      config.logCleanerBackoffMs,
      "How often partitions to be compacted are looked for.",
    ],
    [
      "log.cleaner.dedupe.buffer.size",
      "long",
      config.logCleanerDedupeBufferBytes,
      "Memory for the keys of a partition that is compacted.",
    ],
    [
      "log.retention.bytes",
      "long",
      config.logRetentionBytes,
      "So much of a partition is kept if its topic does not set retention.bytes; -1 is no limit.",
    ],
    [
      "log.retention.check.interval.ms",
      "long",
      config.logRetentionCheckIntervalMs,
      "How often records that have passed their retention are looked for.",
    ],
    [
      "log.retention.ms",
      "long",
      config.logRetentionMs,
      "Records of a topic that does not set retention.ms are kept this long; -1 is no limit.",
    ],
  ];
}

/** What a broker that is alone cannot have otherwise. */
function identityRowsOf(brokerId: number): readonly Row[] {
  return [
    ["broker.id", "int", brokerId, "The broker's number."],
    ["node.id", "int", brokerId, "The broker's number."],
    ["default.replication.factor", "int", 1, "Copies of a partition."],
    ["delete.topic.enable", "boolean", true, "Topics may be deleted."],
    ["min.insync.replicas", "int", 1, "Copies that an acks=all needs."],
  ];
}
