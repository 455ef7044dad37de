/** What a topic's configs demand of the batches produced to it. */

import type { Clock } from "../core/clock.ts";
import type { IncomingBatch } from "../log/partition.ts";
import type { Topic } from "../meta/meta-store.ts";
import type { TopicConfigs } from "../meta/topic-configs.ts";
import { recordsSectionOf } from "../protocol/batch-records.ts";
import { decodeBatch, encodeBatch } from "../protocol/canonical-record.ts";
import { DECOMPRESSED_BYTES_LIMIT } from "../protocol/compression.ts";
import type { CompressionType } from "../protocol/compression-type.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  setMaxTimestampAndCrc,
  validateBatch,
} from "../protocol/record-batch.ts";
import { type RecordRules, validateRecords } from "../protocol/record-validation.ts";

/** No batch that consumers would decompress holds more: the shortest record takes 7 bytes. */
const COMPRESSED_RECORD_COUNT_MAX = Math.floor(DECOMPRESSED_BYTES_LIMIT / 7);

/** A compressed batch for a compacted topic is refused if it holds more: it is opened while others wait. */
const OPENED_BYTES_MAX = 32 * 1024 * 1024;

/** A topic's demands, worked out once for each state of its configs. */
export interface ProduceRules {
  /** Largest batch (`max.message.bytes`). */
  readonly maxMessageBytes: number;
  readonly isLogAppendTime: boolean;
  /** Undefined: as the producer sent it. */
  readonly compression: CompressionType | undefined;
  readonly timestampBeforeMaxMs: number;
  readonly timestampAfterMaxMs: number;
  readonly minInsyncReplicas: number;
  /** The topic is compacted: a record needs a key. */
  readonly isKeyRequired: boolean;
  /** `flush.messages` or `flush.ms` was set: acks=all is answered when written, as Kafka does. */
  readonly isFlushRelaxed: boolean;
}

/** Reads a topic's rules, remembering them for as long as the topic does not change. */
export class ProduceRulesCache {
  readonly #configs: TopicConfigs;
  readonly #rules = new WeakMap<Topic, ProduceRules>();

  constructor(configs: TopicConfigs) {
    this.#configs = configs;
  }

  rulesOf(topic: Topic): ProduceRules {
    const known = this.#rules.get(topic);
    if (known !== undefined) return known;
    const rules = this.#read(topic);
    this.#rules.set(topic, rules);
    return rules;
  }

  #read({ configs }: Topic): ProduceRules {
    const number = (name: string): number => this.#configs.numberOf(configs, name);
    const compression = this.#configs.valueOf(configs, "compression.type").trim();
    const flushMessages = configs["flush.messages"];
    return {
      maxMessageBytes: number("max.message.bytes"),
      isLogAppendTime:
        this.#configs.valueOf(configs, "message.timestamp.type").trim() === "LogAppendTime",
      compression: codecOf(compression),
      timestampBeforeMaxMs: number("message.timestamp.before.max.ms"),
      timestampAfterMaxMs: number("message.timestamp.after.max.ms"),
      minInsyncReplicas: number("min.insync.replicas"),
      isKeyRequired: this.#configs.listOf(configs, "cleanup.policy").includes("compact"),
      isFlushRelaxed:
        (flushMessages !== undefined && Number(flushMessages) > 1) ||
        (flushMessages === undefined && configs["flush.ms"] !== undefined),
    };
  }
}

/**
 * The batch to append for the bytes a client sent. It may change them in place (append time).
 * @throws KafkaError MESSAGE_TOO_LARGE, and what `validateBatch` and `validateRecords` throw
 */
export function acceptBatch(records: Uint8Array, rules: ProduceRules, clock: Clock): IncomingBatch {
  if (records.length > rules.maxMessageBytes) {
    throw new KafkaError(
      ErrorCode.messageTooLarge,
      `A batch of ${records.length} bytes is over the topic's max.message.bytes of ${rules.maxMessageBytes}.`,
    );
  }
  const header = validateBatch(records, 0, records.length);
  if (header.isTransactional) {
    throw new KafkaError(ErrorCode.invalidTxnState, "No transaction is open for this producer.");
  }
  const nowMs = clock.nowMs();
  const checked = checkTimes(records, header, rules, nowMs);
  const recoded = recode(records, checked, rules);
  if (!rules.isLogAppendTime) return recoded;
  setMaxTimestampAndCrc(recoded.bytes, recoded.start, {
    timestampType: "LogAppendTime",
    maxTimestampMs: nowMs,
  });
  const stamped = { ...recoded.header, maxTimestampMs: nowMs } as const;
  return { ...recoded, header: stamped };
}

/**
 * Records of compressed batches are not opened here: their header's times are what is checked. Only those for
 * compacted topics are, as a record without a key would be lost there.
 */
function checkTimes(
  records: Uint8Array,
  header: BatchHeader,
  rules: ProduceRules,
  nowMs: number,
): BatchHeader {
  const recordRules: RecordRules = {
    timestampMsMin: rules.isLogAppendTime
      ? Number.MIN_SAFE_INTEGER
      : nowMs - rules.timestampBeforeMaxMs,
    timestampMsMax: rules.isLogAppendTime
      ? Number.MAX_SAFE_INTEGER
      : nowMs + rules.timestampAfterMaxMs,
    isKeyRequired: rules.isKeyRequired,
  };
  if (header.compression !== "none") {
    if (header.recordCount > COMPRESSED_RECORD_COUNT_MAX) {
      throw new KafkaError(
        ErrorCode.invalidRecord,
        `A compressed batch claims ${header.recordCount} records.`,
      );
    }
    const isTooLate = header.maxTimestampMs > recordRules.timestampMsMax;
    const isTooEarly =
      header.maxTimestampMs >= 0 && header.maxTimestampMs < recordRules.timestampMsMin;
    if (isTooLate || isTooEarly) {
      throw new KafkaError(
        ErrorCode.invalidTimestamp,
        `The timestamp ${header.maxTimestampMs} is outside the topic's range.`,
      );
    }
    if (rules.isKeyRequired) checkKeys(records, header, recordRules);
    return header;
  }
  const maxTimestampMs = validateRecords(
    records,
    BATCH_HEADER_BYTES,
    records.length,
    header,
    recordRules,
  );
  if (maxTimestampMs === header.maxTimestampMs) return header;
  setMaxTimestampAndCrc(records, 0, { timestampType: header.timestampType, maxTimestampMs });
  return { ...header, maxTimestampMs };
}

/** @throws RecordValidationError INVALID_RECORD if a record of a compressed batch has no key; as `decompress` */
function checkKeys(records: Uint8Array, header: BatchHeader, rules: RecordRules): void {
  const { bytes, start, end } = recordsSectionOf(records, 0, header, OPENED_BYTES_MAX);
  validateRecords(bytes, start, end, header, rules);
}

/** The batch in the topic's codec, if that is not the producer's. */
function recode(records: Uint8Array, header: BatchHeader, rules: ProduceRules): IncomingBatch {
  const { compression } = rules;
  if (compression === undefined || compression === header.compression) {
    return { bytes: records, start: 0, end: records.length, header };
  }
  const bytes = encodeBatch({ ...decodeBatch(records), compression });
  return {
    bytes,
    start: 0,
    end: bytes.length,
    header: { ...header, compression, sizeBytes: bytes.length },
  };
}

function codecOf(configured: string): CompressionType | undefined {
  switch (configured) {
    case "producer":
      return undefined;
    case "uncompressed":
      return "none";
    case "gzip":
    case "snappy":
    case "lz4":
    case "zstd":
      return configured;
    default:
      throw new KafkaError(ErrorCode.invalidConfig, `Unknown compression.type ${configured}.`);
  }
}
