/** DescribeTopicPartitions (key 75), version 0 (KIP-966): topics in order of name, in pages of partitions. */

import type { MetaStore, Topic } from "../../meta/meta-store.ts";
import { topicNameFaultOf } from "../../meta/topic-name.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DescribeTopicPartitionsRequest,
  readDescribeTopicPartitionsRequest,
} from "../../protocol/generated/describe-topic-partitions-request.ts";
import {
  type DescribeTopicPartitionsResponseCursorInput,
  type DescribeTopicPartitionsResponseInput,
  type DescribeTopicPartitionsResponsePartitionInput,
  type DescribeTopicPartitionsResponseTopicInput,
  writeDescribeTopicPartitionsResponse,
} from "../../protocol/generated/describe-topic-partitions-response.ts";
import { ZERO_UUID } from "../../protocol/uuid.ts";
import { type ClusterView, TOPIC_OPERATIONS } from "../cluster/cluster-view.ts";
import type { Handler } from "../handler.ts";

/** Partitions of one answer (Kafka's `max.request.partition.size.limit`). */
const PARTITION_LIMIT_MAX = 2000;

export function createDescribeTopicPartitionsHandler(owners: {
  readonly cluster: ClusterView;
  readonly meta: MetaStore;
}): Handler<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponseInput> {
  return {
    apiKey: ApiKey.describeTopicPartitions,
    minVersion: 0,
    maxVersion: 0,
    readRequest: readDescribeTopicPartitionsRequest,
    writeResponse: writeDescribeTopicPartitionsResponse,
    handle: (_context, request) => page(owners.meta, owners.cluster, request),
  };
}

function page(
  meta: MetaStore,
  cluster: ClusterView,
  request: DescribeTopicPartitionsRequest,
): DescribeTopicPartitionsResponseInput {
  const isAll = request.topics.length === 0;
  const asked = isAll
    ? [...meta.topics()].map(({ name }) => name)
    : request.topics.map(({ name }) => name);
  const start = request.cursor ?? { topicName: "", partitionIndex: 0 };
  const names = [...new Set(asked)].sort().filter((name) => name >= start.topicName);
  let left = Math.max(1, Math.min(request.responsePartitionLimit, PARTITION_LIMIT_MAX));
  const topics: DescribeTopicPartitionsResponseTopicInput[] = [];
  let nextCursor: DescribeTopicPartitionsResponseCursorInput | null = null;
  for (const name of names) {
    const topic = meta.topic(name);
    const first = name === start.topicName ? Math.max(0, start.partitionIndex) : 0;
    if (topic === undefined) {
      topics.push(unknown(name));
      continue;
    }
    if (left === 0) {
      nextCursor = { topicName: name, partitionIndex: first };
      break;
    }
    const end = Math.min(topic.partitionCount, first + left);
    topics.push(described(topic, cluster, { first, end }));
    left -= Math.max(0, end - first);
    if (end < topic.partitionCount) {
      nextCursor = { topicName: name, partitionIndex: end };
      break;
    }
  }
  return { topics, nextCursor };
}

function unknown(name: string): DescribeTopicPartitionsResponseTopicInput {
  const isNameValid = topicNameFaultOf(name) === undefined;
  const errorCode = isNameValid
    ? ErrorCode.unknownTopicOrPartition
    : ErrorCode.invalidTopicException;
  return { errorCode, name, topicId: ZERO_UUID, partitions: [] };
}

function described(
  topic: Topic,
  { brokerId, leaderEpoch }: ClusterView,
  range: { first: number; end: number },
): DescribeTopicPartitionsResponseTopicInput {
  const partitions: DescribeTopicPartitionsResponsePartitionInput[] = [];
  for (let partitionIndex = range.first; partitionIndex < range.end; partitionIndex += 1) {
    partitions.push({
      errorCode: ErrorCode.none,
      partitionIndex,
      leaderId: brokerId,
      leaderEpoch,
      replicaNodes: [brokerId],
      isrNodes: [brokerId],
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
      offlineReplicas: [],
    });
  }
  return {
    errorCode: ErrorCode.none,
    name: topic.name,
    topicId: topic.topicId,
    partitions,
    topicAuthorizedOperations: TOPIC_OPERATIONS,
  };
}
