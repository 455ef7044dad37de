/**
 * The one table of settings: name, kind, default, bounds, help. Flags, environment variables, TOML keys,
 * `--help`, the README's table and the `Config` type all come from it.
 *
 * A setting `walFileBytes` is `--wal-file-bytes`, `CHRONIK_WAL_FILE_BYTES` and `wal_file_bytes`; `spelling`
 * replaces the kebab-case name where people expect a shorter one. `kafkaKey` names the broker setting of
 * Apache Kafka that means the same: its variable (`KAFKA_NUM_PARTITIONS`) is understood too.
 */

import { RETENTION_SETTINGS } from "./retention-settings.ts";
import type { TimeUnit } from "./units.ts";

interface Described {
  readonly help: string;
  readonly spelling?: string;
  readonly kafkaKey?: string;
}

interface Bounded {
  readonly default: number;
  /** Both bounds are inclusive. */
  readonly min: number;
  readonly max: number;
}

/** One row of the table. `derived`: the default 0 stands for a share of `memoryMaxBytes`. */
export type Setting = Described &
  (
    | { readonly kind: "text"; readonly default: string }
    | { readonly kind: "boolean"; readonly default: boolean }
    | { readonly kind: "choice"; readonly default: string; readonly values: readonly string[] }
    | { readonly kind: "address"; readonly default: undefined }
    | ({ readonly kind: "count" } & Bounded)
    | ({ readonly kind: "bytes"; readonly derived?: true } & Bounded)
    | ({ readonly kind: "duration"; readonly unit: TimeUnit } & Bounded)
  );

/** What clients are told to connect to; without a port, the one they reached. */
export interface AdvertisedAddress {
  readonly host: string;
  readonly port: number | undefined;
}

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const INT32_MAX = 2 ** 31 - 1;

export const SETTINGS = {
  dataDir: {
    kind: "text",
    default: "chronik-data",
    help: "Directory of everything that is kept; created when missing.",
    kafkaKey: "log.dirs",
  },
  bindAddr: {
    kind: "text",
    default: "127.0.0.1",
    help: "Address to listen on. 0.0.0.0 lets other machines in, and there is no authentication.",
  },
  kafkaPort: {
    kind: "count",
    default: 9092,
    min: 0,
    max: 65_535,
    help: "Port for Kafka clients; 0 picks a free one and prints it.",
  },
  httpPort: {
    kind: "count",
    default: 6092,
    min: 0,
    max: 65_535,
    help: "Port for search, metrics and health; 0 picks a free one and prints it.",
  },
  advertisedAddr: {
    kind: "address",
    default: undefined,
    help: "host or host:port that clients are told to connect to. Unset: the address they came through.",
  },
  objectStore: {
    kind: "text",
    default: "",
    help: "Where segments are copied to as well: s3://bucket/prefix or file:///directory.",
  },
  memoryMaxBytes: {
    kind: "bytes",
    default: 360 * MIB,
    min: 224 * MIB,
    max: 1024 * GIB,
    spelling: "memory-max",
    help: "Memory of the whole process. Buffers, caches and indexes share it; at the limit clients wait.",
  },
  enableWalIndexing: {
    kind: "boolean",
    default: true,
    help: "Index records for search as they are written.",
  },
  searchIndexEnable: {
    kind: "boolean",
    default: true,
    help: "Whether topics that do not set search.index.enable are indexed for search.",
  },
  segmentIndexingConcurrency: {
    kind: "count",
    default: 0,
    min: 0,
    max: 64,
    help: "Segments that get their search index at a time; 0 is half of the cores, from 1 to 4.",
  },
  walIndexingIntervalSecs: {
    kind: "duration",
    unit: "secs",
    default: 30,
    min: 1,
    max: 86_400,
    help: "Longest time until metadata is checkpointed and files of the log that nobody needs are reused.",
  },
  walBytesMax: {
    kind: "bytes",
    default: 10 * GIB,
    min: 2 * MIB,
    max: 1024 * GIB,
    help: "Disk space for the write-ahead log; when it is used up, produce requests are refused.",
  },
  walFileBytes: {
    kind: "bytes",
    default: 64 * MIB,
    min: MIB,
    max: GIB,
    help: "Size of one file of the write-ahead log; a power of two.",
  },
  walSlabBytes: {
    kind: "bytes",
    derived: true,
    default: 0,
    min: MIB,
    max: GIB,
    help: "Memory between sockets and disk, which also serves the newest records; a power of two.",
  },
  syncDelayMsMax: {
    kind: "duration",
    unit: "ms",
    default: 10,
    min: 0,
    max: 60_000,
    help: "Longest time until a record acknowledged with acks=1 is synced to disk.",
  },
  frameBytesLimit: {
    kind: "bytes",
    default: 100 * MIB,
    min: 64 * KIB,
    max: INT32_MAX,
    kafkaKey: "socket.request.max.bytes",
    help: "Largest request; never more than in-flight-bytes-max. A larger one closes its connection.",
  },
  connectionsMax: {
    kind: "count",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    kafkaKey: "max.connections",
    help: "Open Kafka connections; more are closed at once.",
  },
  connectionInFlightRequestsMax: {
    kind: "count",
    default: 256,
    min: 1,
    max: 65_536,
    help: "Unanswered requests of one connection; at the limit it is not read from.",
  },
  inFlightBytesMax: {
    kind: "bytes",
    derived: true,
    default: 0,
    min: MIB,
    max: 64 * GIB,
    help: "Bytes of requests and responses held for all connections; at the limit none is read from.",
  },
  connectionsMaxIdleMs: {
    kind: "duration",
    unit: "ms",
    default: 600_000,
    min: 1000,
    max: INT32_MAX,
    kafkaKey: "connections.max.idle.ms",
    help: "A connection that is silent for longer is closed.",
  },
  messageMaxBytes: {
    kind: "bytes",
    default: 1_048_588,
    min: 1024,
    max: 64 * MIB,
    kafkaKey: "message.max.bytes",
    help: "Largest record batch of a topic that does not set max.message.bytes.",
  },
  numPartitions: {
    kind: "count",
    default: 1,
    min: 1,
    max: 10_000,
    kafkaKey: "num.partitions",
    help: "Partitions of a topic that is created without a number.",
  },
  partitionsMax: {
    kind: "count",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: "Partitions of all topics together; beyond it topics are refused.",
  },
  autoCreateTopicsEnable: {
    kind: "boolean",
    default: true,
    kafkaKey: "auto.create.topics.enable",
    help: "Create a topic when a client first asks for it.",
  },
  groupInitialRebalanceDelayMs: {
    kind: "duration",
    unit: "ms",
    default: 0,
    min: 0,
    max: 600_000,
    kafkaKey: "group.initial.rebalance.delay.ms",
    help: "Time an empty consumer group waits for more members before its first rebalance.",
  },
  groupMinSessionTimeoutMs: {
    kind: "duration",
    unit: "ms",
    default: 6000,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "group.min.session.timeout.ms",
    help: "Shortest session timeout that a group member may ask for.",
  },
  groupMaxSessionTimeoutMs: {
    kind: "duration",
    unit: "ms",
    default: 1_800_000,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "group.max.session.timeout.ms",
    help: "Longest session timeout that a group member may ask for.",
  },
  offsetsRetentionMinutes: {
    kind: "duration",
    unit: "minutes",
    default: 10_080,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "offsets.retention.minutes",
    help: "Committed offsets of an empty group are kept this long.",
  },
  offsetMetadataMaxBytes: {
    kind: "bytes",
    default: 4096,
    min: 0,
    max: 64 * 1024,
    kafkaKey: "offset.metadata.max.bytes",
    help: "Characters of text that a client may store with a committed offset.",
  },
  groupMaxSize: {
    kind: "count",
    default: 10_000,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "group.max.size",
    help: "Members of one consumer group; more are refused.",
  },
  groupsMax: {
    kind: "count",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: "Consumer groups; new ones beyond it are refused.",
  },
  groupMembersBytesMax: {
    kind: "bytes",
    default: 32 * MIB,
    min: MIB,
    max: GIB,
    help: "Memory for what all group members say of themselves; new ones beyond it are refused.",
  },
  committedOffsetsBytesMax: {
    kind: "bytes",
    default: 64 * MIB,
    min: MIB,
    max: GIB,
    help: "Memory for the committed offsets of all groups; new ones beyond it are refused.",
  },
  fetchMaxBytes: {
    kind: "bytes",
    default: 57_671_680,
    min: 1024,
    max: INT32_MAX,
    kafkaKey: "fetch.max.bytes",
    help: "Most bytes of records in one fetch response; its first batch is always whole.",
  },
  fetchSessionsMax: {
    kind: "count",
    default: 1000,
    min: 0,
    max: 1_000_000,
    kafkaKey: "max.incremental.fetch.session.cache.slots",
    help: "Incremental fetch sessions that are remembered; beyond it clients send full fetches.",
  },
  producerIdExpirationMs: {
    kind: "duration",
    unit: "ms",
    default: 86_400_000,
    min: 1000,
    max: INT32_MAX,
    kafkaKey: "producer.id.expiration.ms",
    help: "The sequence numbers of a producer that is silent for longer are forgotten.",
  },
  fileDeleteDelayMs: {
    kind: "duration",
    unit: "ms",
    default: 60_000,
    min: 0,
    max: INT32_MAX,
    kafkaKey: "log.segment.delete.delay.ms",
    help: "The bytes of deleted topics and records are gone from the disk after this time at the latest.",
  },
  ...RETENTION_SETTINGS,
  httpBodyBytesLimit: {
    kind: "bytes",
    default: MIB,
    min: 1024,
    max: GIB,
    help: "Largest body of an HTTP request.",
  },
  searchConcurrencyMax: {
    kind: "count",
    default: 16,
    min: 1,
    max: 1024,
    help: "Searches that run or wait at a time; more are answered with status 429.",
  },
  searchResultWindowMax: {
    kind: "count",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Largest from + size of a search.",
  },
  searchTimeoutMs: {
    kind: "duration",
    unit: "ms",
    default: 10_000,
    min: 1,
    max: 600_000,
    help: "A search that takes longer is given up.",
  },
  searchBucketsMax: {
    kind: "count",
    default: 65_536,
    min: 1,
    max: 1_000_000,
    help: "Buckets of all aggregations of one search; more are refused.",
  },
  liveIndexBytesMax: {
    kind: "bytes",
    derived: true,
    default: 0,
    min: 4 * MIB,
    max: 64 * GIB,
    help: "Memory of the index of the newest records; beyond it, it moves to disk.",
  },
  logLevel: {
    kind: "choice",
    default: "info",
    values: ["debug", "info", "warn", "error"],
    help: "Least important log lines to write.",
  },
} as const satisfies Record<string, Setting>;

/** The name of a setting in code. */
export type SettingName = keyof typeof SETTINGS;

type ValueOf<S> = S extends { kind: "boolean" }
  ? boolean
  : S extends { kind: "text" }
    ? string
    : S extends { kind: "address" }
      ? AdvertisedAddress | undefined
      : S extends { kind: "choice"; values: readonly (infer V)[] }
        ? V
        : number;

/** Every setting's value; a number is in the unit that its name ends with. */
export type Config = { readonly [Name in SettingName]: ValueOf<(typeof SETTINGS)[Name]> };

/** All names, in the table's order. */
export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** The row of `name`, with the optional columns visible. */
export function settingOf(name: SettingName): Setting {
  return SETTINGS[name];
}
