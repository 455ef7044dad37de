/**
 * Metadata (key 3), versions 0 to 13. Topics that do not exist are created on the way if both sides
 * allow it, and are usable when the answer leaves (Kafka answers LEADER_NOT_AVAILABLE first).
 */

import type { MetaStore, Topic } from "../../meta/meta-store.ts";
import type { TopicAdmin } from "../../meta/topic-admin.ts";
import { topicNameFaultOf } from "../../meta/topic-name.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type MetadataRequest,
  type MetadataRequestTopic,
  readMetadataRequest,
} from "../../protocol/generated/metadata-request.ts";
import {
  type MetadataResponseInput,
  type MetadataResponsePartitionInput,
  type MetadataResponseTopicInput,
  writeMetadataResponse,
} from "../../protocol/generated/metadata-response.ts";
import { ZERO_UUID } from "../../protocol/uuid.ts";
import {
  CLUSTER_OPERATIONS,
  type ClusterView,
  OPERATIONS_NOT_ASKED,
  TOPIC_OPERATIONS,
} from "../cluster/cluster-view.ts";
import type { Handler } from "../handler.ts";

/** First version in which a topic that is known by id alone can go without a name. */
const NULL_NAME_VERSION = 12;

export interface MetadataOwners {
  readonly cluster: ClusterView;
  readonly meta: MetaStore;
  readonly topicAdmin: TopicAdmin;
  readonly isAutoCreateEnabled: boolean;
}

export function createMetadataHandler(
  owners: MetadataOwners,
): Handler<MetadataRequest, MetadataResponseInput> {
  return {
    apiKey: ApiKey.metadata,
    minVersion: 0,
    maxVersion: 13,
    readRequest: readMetadataRequest,
    writeResponse: writeMetadataResponse,
    handle: async (context, request) => {
      const { clusterId, brokerId } = owners.cluster;
      const topics = await topicsOf(owners, context.apiVersion, request);
      return {
        brokers: [{ nodeId: brokerId, ...owners.cluster.endpointOf(context) }],
        clusterId,
        controllerId: brokerId,
        topics,
        ...(request.includeClusterAuthorizedOperations && {
          clusterAuthorizedOperations: CLUSTER_OPERATIONS,
        }),
      };
    },
  };
}

async function topicsOf(
  owners: MetadataOwners,
  apiVersion: number,
  request: MetadataRequest,
): Promise<MetadataResponseTopicInput[]> {
  const operations = request.includeTopicAuthorizedOperations
    ? TOPIC_OPERATIONS
    : OPERATIONS_NOT_ASKED;
  // In version 0 an empty list asks for all topics; later a null one does.
  const isAll = request.topics === null || (apiVersion === 0 && request.topics.length === 0);
  if (isAll) {
    return [...owners.meta.topics()].map((topic) => describe(owners, topic, operations));
  }
  // A topic that is named twice is answered once, as in Apache Kafka.
  const asked = new Map<string, MetadataRequestTopic>();
  for (const topic of request.topics ?? []) asked.set(`${topic.topicId}${topic.name}`, topic);
  const answers: MetadataResponseTopicInput[] = [];
  for (const topic of asked.values()) {
    answers.push(await topicOf(owners, topic, { request, operations, apiVersion }));
  }
  return answers;
}

interface MetadataQuestion {
  readonly request: MetadataRequest;
  readonly operations: number;
  readonly apiVersion: number;
}

async function topicOf(
  owners: MetadataOwners,
  asked: MetadataRequestTopic,
  { request, operations, apiVersion }: MetadataQuestion,
): Promise<MetadataResponseTopicInput> {
  if (asked.name === null || asked.topicId !== ZERO_UUID) {
    const known = owners.meta.topicById(asked.topicId);
    if (known !== undefined) return describe(owners, known, operations);
    const name = apiVersion < NULL_NAME_VERSION ? "" : null;
    return failed({ ...asked, name }, ErrorCode.unknownTopicId);
  }
  const known = owners.meta.topic(asked.name);
  if (known !== undefined) return describe(owners, known, operations);
  if (topicNameFaultOf(asked.name) !== undefined) {
    return failed(asked, ErrorCode.invalidTopicException);
  }
  if (!request.allowAutoTopicCreation || !owners.isAutoCreateEnabled) {
    return failed(asked, ErrorCode.unknownTopicOrPartition);
  }
  try {
    return describe(owners, await owners.topicAdmin.ensure(asked.name), operations);
  } catch (thrown) {
    if (thrown instanceof KafkaError) return failed(asked, thrown.code);
    throw thrown;
  }
}

function failed(asked: MetadataRequestTopic, errorCode: number): MetadataResponseTopicInput {
  return { errorCode, name: asked.name, topicId: asked.topicId, partitions: [] };
}

function describe(
  { cluster }: MetadataOwners,
  topic: Topic,
  topicAuthorizedOperations: number,
): MetadataResponseTopicInput {
  let partitions = describedPartitions.get(topic);
  if (partitions === undefined) {
    partitions = describePartitions(cluster, topic);
    describedPartitions.set(topic, partitions);
  }
  const { name, topicId } = topic;
  return { errorCode: ErrorCode.none, name, topicId, partitions, topicAuthorizedOperations };
}

/** Clients ask again and again; a topic is replaced as a whole when it changes. */
const describedPartitions = new WeakMap<Topic, readonly MetadataResponsePartitionInput[]>();

function describePartitions(
  { brokerId, leaderEpoch }: ClusterView,
  topic: Topic,
): MetadataResponsePartitionInput[] {
  const partitions: MetadataResponsePartitionInput[] = [];
  const replicaNodes = [brokerId];
  for (let partitionIndex = 0; partitionIndex < topic.partitionCount; partitionIndex += 1) {
    partitions.push({
      errorCode: ErrorCode.none,
      partitionIndex,
      leaderId: brokerId,
      leaderEpoch,
      replicaNodes,
      isrNodes: replicaNodes,
    });
  }
  return partitions;
}
