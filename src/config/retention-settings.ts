/** Settings of how long records are kept: a part of the table in `settings.ts`, which checks their form. */

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const INT32_MAX = 2 ** 31 - 1;
const DAY_MS = 86_400_000;

/** A topic's own configs come first. */
export const RETENTION_SETTINGS = {
  logRetentionMs: {
    kind: "duration",
    unit: "ms",
    default: 7 * DAY_MS,
    min: -1,
    max: 36_500 * DAY_MS,
    kafkaKey: "log.retention.ms",
    help: "Records of a topic that does not set retention.ms are kept this long; -1 is no limit.",
  },
  logRetentionBytes: {
    kind: "bytes",
    default: -1,
    min: -1,
    max: 2 ** 20 * GIB,
    kafkaKey: "log.retention.bytes",
    help: "So much of a partition is kept if its topic does not set retention.bytes; -1 is no limit.",
  },
  logRetentionCheckIntervalMs: {
    kind: "duration",
    unit: "ms",
    default: 300_000,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "log.retention.check.interval.ms",
    help: "How often records that have passed their retention are looked for.",
  },
  logCleanerBackoffMs: {
    kind: "duration",
    unit: "ms",
    default: 15_000,
    min: 1,
    max: INT32_MAX,
    kafkaKey: "log.cleaner.backoff.ms",
    help: "How often partitions to be compacted are looked for.",
  },
  logCleanerDedupeBufferBytes: {
    kind: "bytes",
    default: 32 * MIB,
    min: MIB,
    max: 2 * GIB,
    kafkaKey: "log.cleaner.dedupe.buffer.size",
    help: "Memory for the keys of a partition that is compacted, 28 bytes each; more keys take several passes.",
  },
} as const;
