/**
 * OffsetCommit (key 8), versions 1 to 10. The answer comes when the offsets are durable. Version 10 names topics by id.
 *
 * Deviations from Kafka: version 1, which Kafka 4 dropped, is served; beyond
 * `committedOffsetsBytesMax` new offsets are answered INVALID_COMMIT_OFFSET_SIZE.
 */

import type { NewOffset, OffsetCoordinator } from "../../coordinator/offset-coordinator.ts";
import type { MetaStore, Topic } from "../../meta/meta-store.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type OffsetCommitRequest,
  type OffsetCommitRequestPartition,
  type OffsetCommitRequestTopic,
  readOffsetCommitRequest,
} from "../../protocol/generated/offset-commit-request.ts";
import {
  type OffsetCommitResponseInput,
  writeOffsetCommitResponse,
} from "../../protocol/generated/offset-commit-response.ts";
import type { Handler } from "../handler.ts";

/** From this version on topics are named by id. */
const TOPIC_ID_VERSION = 10;
/** From this version on clients know GROUP_ID_NOT_FOUND. */
const GROUP_ID_NOT_FOUND_VERSION = 9;
/** What a client sends that does not choose. */
const NOT_CHOSEN = -1;

export function createOffsetCommitHandler(owners: {
  readonly offsets: OffsetCoordinator;
  readonly store: MetaStore;
}): Handler<OffsetCommitRequest, OffsetCommitResponseInput> {
  const { offsets, store } = owners;
  return {
    apiKey: ApiKey.offsetCommit,
    minVersion: 1,
    maxVersion: TOPIC_ID_VERSION,
    readRequest: readOffsetCommitRequest,
    writeResponse: writeOffsetCommitResponse,
    handle: async ({ apiVersion }, request) => {
      const codes = new Map<OffsetCommitRequestPartition, ErrorCode>();
      const known: { partition: OffsetCommitRequestPartition; offset: NewOffset }[] = [];
      for (const asked of request.topics) {
        const isById = apiVersion >= TOPIC_ID_VERSION;
        const topic = isById ? store.topicById(asked.topicId) : store.topic(asked.name);
        const unknown = isById ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition;
        for (const partition of asked.partitions) {
          if (!topic) codes.set(partition, unknown);
          else if (!hasPartition(topic, partition)) {
            codes.set(partition, ErrorCode.unknownTopicOrPartition);
          } else known.push({ partition, offset: newOffset(topic, partition) });
        }
      }
      if (known.length > 0) {
        const { errorCode, errorCodes } = await offsets.commit({
          groupId: request.groupId,
          memberId: request.memberId,
          groupInstanceId: request.groupInstanceId,
          generationId: request.generationIdOrMemberEpoch,
          retentionTimeMs: chosen(request.retentionTimeMs),
          offsets: known.map(({ offset }) => offset),
        });
        const groupCode = knownTo(apiVersion, errorCode);
        known.forEach(({ partition }, index) => {
          codes.set(partition, errorCodes[index] ?? groupCode);
        });
      }
      return responseOf(request.topics, (partition) => codes.get(partition) ?? ErrorCode.none);
    },
    errorResponse: ({ topics }, errorCode) => responseOf(topics, () => errorCode),
  };
}

function hasPartition(topic: Topic, { partitionIndex }: OffsetCommitRequestPartition): boolean {
  return partitionIndex >= 0 && partitionIndex < topic.partitionCount;
}

function newOffset(topic: Topic, partition: OffsetCommitRequestPartition): NewOffset {
  return {
    topic: topic.name,
    partition: partition.partitionIndex,
    offset: partition.committedOffset,
    leaderEpoch: partition.committedLeaderEpoch,
    metadata: partition.committedMetadata ?? "",
    commitTimestampMs: chosen(partition.commitTimestamp),
  };
}

function chosen(value: number): number | undefined {
  return value === NOT_CHOSEN ? undefined : value;
}

function knownTo(apiVersion: number, errorCode: ErrorCode): ErrorCode {
  const isNotFound = errorCode === ErrorCode.groupIdNotFound;
  return isNotFound && apiVersion < GROUP_ID_NOT_FOUND_VERSION
    ? ErrorCode.illegalGeneration
    : errorCode;
}

function responseOf(
  topics: readonly OffsetCommitRequestTopic[],
  codeOf: (partition: OffsetCommitRequestPartition) => number,
): OffsetCommitResponseInput {
  return {
    topics: topics.map(({ name, topicId, partitions }) => ({
      name,
      topicId,
      partitions: partitions.map((partition) => ({
        partitionIndex: partition.partitionIndex,
        errorCode: codeOf(partition),
      })),
    })),
  };
}
