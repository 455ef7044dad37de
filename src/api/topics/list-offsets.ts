/**
 * ListOffsets (key 2), versions 0 to 11: earliest, latest, by time, and of the largest timestamp.
 *
 * Deviations from Kafka: in version 0 an offset by time is the exact one, where Kafka knows only the
 * starts of segments. The record of the largest timestamp is never a deleted one, as Kafka's may be while the
 * file that held it is there. Nothing is tiered yet: the local log is the whole log.
 */

import type { LogManager } from "../../log/log-manager.ts";
import type { LogTiers } from "../../log/log-reader.ts";
import type { Partition } from "../../log/partition.ts";
import { firstRecordSince, recordOfMaxTimestamp } from "../../log/partition-times.ts";
import type { MetaStore } from "../../meta/meta-store.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type ListOffsetsRequest,
  type ListOffsetsRequestListOffsetsPartition,
  readListOffsetsRequest,
} from "../../protocol/generated/list-offsets-request.ts";
import {
  type ListOffsetsResponseInput,
  type ListOffsetsResponseListOffsetsPartitionResponseInput,
  writeListOffsetsResponse,
} from "../../protocol/generated/list-offsets-response.ts";
import type { Handler } from "../handler.ts";
import { duplicatesOf } from "./duplicates.ts";
import { checkLeaderEpoch } from "./leader-epoch.ts";

/** Timestamps with a meaning of their own. */
const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;
const LATEST_TIERED = -5;
const EARLIEST_PENDING_UPLOAD = -6;
/** First version that knows each of them. */
const SINCE_VERSION: Readonly<Record<number, number>> = {
  [MAX_TIMESTAMP]: 7,
  [EARLIEST_LOCAL]: 8,
  [LATEST_TIERED]: 9,
  [EARLIEST_PENDING_UPLOAD]: 11,
};
/** First version that carries leader epochs. */
const LEADER_EPOCH_VERSION = 4;
const UNKNOWN = -1;

interface Owners {
  readonly tiers: LogTiers;
  readonly logs: LogManager;
  readonly meta: MetaStore;
}

/** A place in the log as it is answered; -1 for what is not known. */
interface Found {
  readonly offset: number;
  readonly timestamp: number;
  readonly leaderEpoch: number;
}

const NOT_FOUND: Found = { offset: UNKNOWN, timestamp: UNKNOWN, leaderEpoch: UNKNOWN };

export function createListOffsetsHandler(
  owners: Owners,
): Handler<ListOffsetsRequest, ListOffsetsResponseInput> {
  return {
    apiKey: ApiKey.listOffsets,
    minVersion: 0,
    maxVersion: 11,
    readRequest: readListOffsetsRequest,
    writeResponse: writeListOffsetsResponse,
    handle: async (context, request) => {
      const duplicates = duplicatesOf(
        request.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ partitionIndex }) => placeOf(name, partitionIndex)),
        ),
      );
      const topics = [];
      for (const { name, partitions } of request.topics) {
        const answers: ListOffsetsResponseListOffsetsPartitionResponseInput[] = [];
        for (const asked of partitions) {
          const { partitionIndex } = asked;
          const isRepeated = duplicates.has(placeOf(name, partitionIndex));
          const question = { name, asked, apiVersion: context.apiVersion };
          answers.push(
            isRepeated
              ? { partitionIndex, errorCode: ErrorCode.invalidRequest }
              : await answerOne(owners, question),
          );
        }
        topics.push({ name, partitions: answers });
      }
      return { topics };
    },
  };
}

function placeOf(name: string, partitionIndex: number): string {
  return `${name}/${partitionIndex}`;
}

interface Question {
  readonly name: string;
  readonly asked: ListOffsetsRequestListOffsetsPartition;
  readonly apiVersion: number;
}

async function answerOne(
  owners: Owners,
  question: Question,
): Promise<ListOffsetsResponseListOffsetsPartitionResponseInput> {
  const { partitionIndex } = question.asked;
  try {
    const { offset, timestamp, leaderEpoch } = await find(owners, question);
    if (question.apiVersion === 0) {
      const isTold = offset !== UNKNOWN && question.asked.maxNumOffsets > 0;
      return { partitionIndex, errorCode: ErrorCode.none, oldStyleOffsets: isTold ? [offset] : [] };
    }
    const isEpochTold = question.apiVersion >= LEADER_EPOCH_VERSION;
    const found = { partitionIndex, errorCode: ErrorCode.none, timestamp, offset };
    return isEpochTold ? { ...found, leaderEpoch } : found;
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    return { partitionIndex, errorCode: thrown.code };
  }
}

async function find(owners: Owners, { name, asked, apiVersion }: Question): Promise<Found> {
  const topic = owners.meta.topic(name);
  const partition = topic && owners.logs.partition(topic.topicId, asked.partitionIndex);
  if (partition === undefined) {
    throw new KafkaError(ErrorCode.unknownTopicOrPartition, "The topic or partition is unknown.");
  }
  checkLeaderEpoch(owners.logs.leaderEpoch, asked.currentLeaderEpoch);
  if (apiVersion < (SINCE_VERSION[asked.timestamp] ?? 0)) {
    throw new KafkaError(ErrorCode.unsupportedVersion, "The version does not know this timestamp.");
  }
  return findInLog(owners.tiers, partition, asked.timestamp);
}

async function findInLog(tiers: LogTiers, partition: Partition, timestamp: number): Promise<Found> {
  const at = (offset: number, recordMs = UNKNOWN): Found => ({
    offset,
    timestamp: recordMs,
    leaderEpoch: partition.epochs.epochAt(offset),
  });
  switch (timestamp) {
    case LATEST:
      return at(partition.highWatermark);
    case EARLIEST:
    case EARLIEST_LOCAL:
      return at(partition.logStartOffset);
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return NOT_FOUND;
    default: {
      const record =
        timestamp === MAX_TIMESTAMP
          ? await recordOfMaxTimestamp(tiers, partition)
          : await firstRecordSince(tiers, partition, timestamp);
      return record === undefined ? NOT_FOUND : at(record.offset, record.timestampMs);
    }
  }
}
