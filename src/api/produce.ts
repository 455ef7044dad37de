/**
 * Produce (key 0), versions 0 to 13.
 *
 * Each partition takes or refuses its batch alone. With acks=all the answer waits until the WAL is
 * durable, with acks=1 until it is written to the operating system, with acks=0 there is none (a
 * failure then closes the connection, as in Apache Kafka).
 *
 * Deviations from Kafka: versions 0 to 2 (magic 0 and 1) are advertised as Kafka does, and answered
 * with UNSUPPORTED_VERSION; a request without records is answered (Kafka never does); records of
 * compressed batches are not opened, only the batch is checked; transactional batches are refused.
 */

import type { Clock } from "../core/clock.ts";
import type { LogManager } from "../log/log-manager.ts";
import type { MetaStore, Topic } from "../meta/meta-store.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../protocol/errors.ts";
import { ApiKey } from "../protocol/generated/api-keys.ts";
import {
  type ProduceRequest,
  type ProduceRequestPartitionProduceData,
  readProduceRequest,
} from "../protocol/generated/produce-request.ts";
import {
  type ProduceResponseInput,
  type ProduceResponsePartitionProduceResponseInput,
  writeProduceResponse,
} from "../protocol/generated/produce-response.ts";
import { RecordValidationError } from "../protocol/record-validation.ts";
import type { Wal } from "../wal/wal.ts";
import type { BegunRequest, HandlerResult, PipelinedHandler, RequestContext } from "./handler.ts";
import { NO_RESPONSE } from "./handler.ts";
import { acceptBatch, type ProduceRulesCache } from "./produce-rules.ts";

/** First version that carries magic 2. */
const MAGIC_2_VERSION = 3;
/** First version that may carry zstd (KIP-110). */
const ZSTD_VERSION = 7;
/** First version that names topics by id. */
const TOPIC_ID_VERSION = 13;
const ACKS_ALL = -1;
/** What an entry and its share of a group's header and padding may add to a batch, at most. */
const WAL_OVERHEAD_BYTES_MAX = 256;

export interface ProduceOwners {
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  readonly rules: ProduceRulesCache;
  readonly clock: Clock;
  /** Told of each appended batch. */
  onAppended(sizeBytes: number, recordCount: number): void;
}

/** What happened so far to the partitions of one request. */
interface Outcome {
  /** Durable when all appended batches are; 0 if there are none. */
  endAddress: number;
  /** Some topic wants acks=all answered after the sync. */
  isSyncDue: boolean;
  failure: unknown;
}

/** One partition of a request on its way into the log. */
interface PartitionWork {
  readonly apiVersion: number;
  readonly acks: number;
  readonly topic: Topic | undefined;
  readonly partitionData: ProduceRequestPartitionProduceData;
  /** Where the partition's answer goes. */
  readonly partitionResponses: ProduceResponsePartitionProduceResponseInput[];
}

export function createProduceHandler(
  owners: ProduceOwners,
): PipelinedHandler<ProduceRequest, ProduceResponseInput> {
  return {
    apiKey: ApiKey.produce,
    minVersion: 0,
    maxVersion: 13,
    readRequest: readProduceRequest,
    writeResponse: writeProduceResponse,
    begin: (context, request) => begin(owners, context, request),
  };
}

/** Appends every partition's batch, at once where the WAL has room for it. */
function begin(
  owners: ProduceOwners,
  context: RequestContext,
  request: ProduceRequest,
): BegunRequest<ProduceResponseInput> {
  const outcome: Outcome = { endAddress: 0, isSyncDue: false, failure: undefined };
  const { works, response } = worksOf(owners, context, request);
  let next = 0;
  for (; next < works.length; next += 1) {
    const work = works[next];
    if (work === undefined || !hasRoom(owners, work)) break;
    appendOne(owners, work, outcome);
  }
  if (next === works.length) {
    return { effectsDone: undefined, response: answer(owners, request.acks, response, outcome) };
  }
  // Everything in memory waits for the disk: so does this connection.
  const appendRest = async (): Promise<void> => {
    for (const work of works.slice(next)) await appendWhenRoom(owners, work, outcome);
  };
  const effectsDone = appendRest();
  return {
    effectsDone,
    response: effectsDone.then(() => answer(owners, request.acks, response, outcome)),
  };
}

/** The request's partitions in order; each knows its place in the answer. */
function worksOf(
  owners: ProduceOwners,
  { apiVersion }: RequestContext,
  request: ProduceRequest,
): { works: PartitionWork[]; response: ProduceResponseInput } {
  const works: PartitionWork[] = [];
  const responses = request.topicData.map(({ name, topicId, partitionData: partitions }) => {
    const partitionResponses: ProduceResponsePartitionProduceResponseInput[] = [];
    const isById = apiVersion >= TOPIC_ID_VERSION;
    const topic = isById ? owners.meta.topicById(topicId) : owners.meta.topic(name);
    for (const partitionData of partitions) {
      works.push({ apiVersion, acks: request.acks, topic, partitionData, partitionResponses });
    }
    return { name, topicId, partitionResponses };
  });
  return { works, response: { responses, throttleTimeMs: 0 } };
}

/** Whether `work` need not wait: there is room, or its batch is refused in any case. */
function hasRoom({ wal }: ProduceOwners, work: PartitionWork): boolean {
  const sizeBytes = work.partitionData.records?.length ?? 0;
  return sizeBytes > wal.batchBytesLimit || wal.hasRoom(roomBytesOf(work));
}

function roomBytesOf({ partitionData }: PartitionWork): number {
  return (partitionData.records?.length ?? 0) + WAL_OVERHEAD_BYTES_MAX;
}

/** One partition's answer. Never throws for a `KafkaError`: each partition fails alone. */
function appendOne(owners: ProduceOwners, work: PartitionWork, outcome: Outcome): void {
  try {
    work.partitionResponses.push(append(owners, work, outcome));
  } catch (thrown) {
    outcome.failure = thrown;
    work.partitionResponses.push(refusal(work.partitionData.index, thrown));
  }
}

/** Waits for room first. A WAL that is full or has failed refuses this partition's batch only. */
async function appendWhenRoom(
  owners: ProduceOwners,
  work: PartitionWork,
  outcome: Outcome,
): Promise<void> {
  try {
    while (!hasRoom(owners, work)) await owners.wal.whenRoom(roomBytesOf(work));
  } catch (thrown) {
    outcome.failure = thrown;
    work.partitionResponses.push(refusal(work.partitionData.index, thrown));
    return;
  }
  appendOne(owners, work, outcome);
}

function append(
  owners: ProduceOwners,
  work: PartitionWork,
  outcome: Outcome,
): ProduceResponsePartitionProduceResponseInput {
  const { topic, records, partition } = locate(owners, work);
  const rules = owners.rules.rulesOf(topic);
  if (work.acks === ACKS_ALL && rules.minInsyncReplicas > 1) {
    throw new KafkaError(ErrorCode.notEnoughReplicas, "There is one replica only.");
  }
  const batch = acceptBatch(records, rules, owners.clock);
  if (batch.header.compression === "zstd" && work.apiVersion < ZSTD_VERSION) {
    throw new KafkaError(
      ErrorCode.unsupportedCompressionType,
      `zstd needs Produce version ${ZSTD_VERSION} or later.`,
    );
  }
  checkFits(owners.wal, batch.end - batch.start);
  const appended = owners.logs.append(partition, batch);
  outcome.endAddress = Math.max(outcome.endAddress, appended.endAddress);
  outcome.isSyncDue ||= !rules.isFlushRelaxed;
  if (!appended.isDuplicate) owners.onAppended(records.length, batch.header.recordCount);
  return {
    index: work.partitionData.index,
    errorCode: ErrorCode.none,
    baseOffset: appended.baseOffset,
    logAppendTimeMs: rules.isLogAppendTime ? batch.header.maxTimestampMs : -1,
    logStartOffset: partition.logStartOffset,
  };
}

function refusal(index: number, thrown: unknown): ProduceResponsePartitionProduceResponseInput {
  const errorCode = errorCodeOf(thrown);
  if (!(thrown instanceof KafkaError)) throw thrown;
  const faults = thrown instanceof RecordValidationError ? thrown.recordFaults : [];
  return {
    index,
    errorCode,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: faults.map(({ batchIndex, message }) => ({
      batchIndex,
      batchIndexErrorMessage: message,
    })),
    errorMessage: thrown.message,
  };
}

/** The partition to append to, and the bytes. @throws KafkaError if either is missing */
function locate(owners: ProduceOwners, { apiVersion, acks, topic, partitionData }: PartitionWork) {
  const { records, index } = partitionData;
  if (apiVersion < MAGIC_2_VERSION) {
    throw new KafkaError(
      ErrorCode.unsupportedVersion,
      "Record batches of magic 0 and 1 are not supported: use Produce version 3 or later.",
    );
  }
  if (acks < ACKS_ALL || acks > 1) {
    throw new KafkaError(ErrorCode.invalidRequiredAcks, `acks is ${acks}.`);
  }
  if (topic === undefined && apiVersion >= TOPIC_ID_VERSION) {
    throw new KafkaError(ErrorCode.unknownTopicId, "The topic id is unknown.");
  }
  const partition = topic && owners.logs.partition(topic.topicId, index);
  if (topic === undefined || partition === undefined) {
    throw new KafkaError(ErrorCode.unknownTopicOrPartition, "The topic or partition is unknown.");
  }
  if (records === null || records.length === 0) {
    throw new KafkaError(ErrorCode.invalidRecord, "The request holds no record batch.");
  }
  return { topic, partition, records };
}

/** The batch may have grown since room was made for it, if the topic has a codec of its own. */
function checkFits(wal: Wal, sizeBytes: number): void {
  if (sizeBytes > wal.batchBytesLimit) {
    throw new KafkaError(
      ErrorCode.messageTooLarge,
      `A batch of ${sizeBytes} bytes is over the broker's limit of ${wal.batchBytesLimit}.`,
    );
  }
  if (wal.hasRoom(sizeBytes)) return;
  throw new KafkaError(ErrorCode.requestTimedOut, "There is no memory for the batch right now.");
}

/** Resolves when the appended batches are as safe as `acks` asks. */
async function answer(
  owners: ProduceOwners,
  acks: number,
  response: ProduceResponseInput,
  outcome: Outcome,
): Promise<HandlerResult<ProduceResponseInput>> {
  if (acks === 0) {
    if (outcome.failure !== undefined) throw outcome.failure;
    return NO_RESPONSE;
  }
  if (outcome.endAddress === 0) return response;
  try {
    const isSyncAwaited = acks === ACKS_ALL && outcome.isSyncDue;
    if (isSyncAwaited) await owners.wal.whenDurable(outcome.endAddress);
    else await owners.wal.whenWritten(outcome.endAddress);
    return response;
  } catch (thrown) {
    return allFailed(response, errorCodeOf(thrown));
  }
}

/** The WAL failed: no batch of the request is safe. */
function allFailed(response: ProduceResponseInput, errorCode: number): ProduceResponseInput {
  return {
    ...response,
    responses: response.responses.map((topic) => ({
      ...topic,
      partitionResponses: topic.partitionResponses.map((partition) =>
        partition.errorCode === ErrorCode.none
          ? { ...partition, errorCode, baseOffset: -1 }
          : partition,
      ),
    })),
  };
}
