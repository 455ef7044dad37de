/**
 * CreateTopics (key 19), versions 0 to 7. A topic is usable when the answer leaves.
 *
 * Deviations from Kafka: none known; `timeoutMs` is not needed, as the answer comes with the next sync.
 */

import type { Topic } from "../../meta/meta-store.ts";
import {
  type NewTopic,
  REQUEST_PARTITION_COUNT_MAX,
  type TopicAdmin,
} from "../../meta/topic-admin.ts";
import type { TopicConfigs } from "../../meta/topic-configs.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type CreateTopicsRequest,
  type CreateTopicsRequestCreatableTopic,
  readCreateTopicsRequest,
} from "../../protocol/generated/create-topics-request.ts";
import {
  type CreateTopicsResponseCreatableTopicResultInput,
  type CreateTopicsResponseInput,
  writeCreateTopicsResponse,
} from "../../protocol/generated/create-topics-response.ts";
import type { Handler } from "../handler.ts";
import { duplicatesOf } from "./duplicates.ts";

export function createCreateTopicsHandler(owners: {
  readonly topicAdmin: TopicAdmin;
  readonly configs: TopicConfigs;
}): Handler<CreateTopicsRequest, CreateTopicsResponseInput> {
  return {
    apiKey: ApiKey.createTopics,
    minVersion: 0,
    maxVersion: 7,
    readRequest: readCreateTopicsRequest,
    writeResponse: writeCreateTopicsResponse,
    errorResponse: ({ topics }, errorCode) => ({
      topics: topics.map(({ name }) => ({ name, errorCode, configs: null })),
    }),
    handle: async (_context, request) => {
      const duplicates = duplicatesOf(request.topics.map(({ name }) => name));
      const unique = request.topics.filter(({ name }) => !duplicates.has(name));
      checkRequestSize(unique);
      const results = await Promise.all(
        unique.map((wanted) => createOne(owners, wanted, request.validateOnly)),
      );
      for (const name of duplicates) {
        results.push({
          name,
          errorCode: ErrorCode.invalidRequest,
          errorMessage: "Duplicate topic name.",
          configs: null,
        });
      }
      return { topics: results };
    },
  };
}

/** @throws KafkaError POLICY_VIOLATION, for the request as a whole, as in Apache Kafka */
function checkRequestSize(topics: readonly CreateTopicsRequestCreatableTopic[]): void {
  let partitionCount = 0;
  for (const { numPartitions, assignments } of topics) {
    partitionCount += Math.max(1, numPartitions, assignments.length);
  }
  if (partitionCount <= REQUEST_PARTITION_COUNT_MAX) return;
  throw new KafkaError(
    ErrorCode.policyViolation,
    "Excessively large number of partitions per request.",
  );
}

async function createOne(
  { topicAdmin, configs }: { topicAdmin: TopicAdmin; configs: TopicConfigs },
  wanted: CreateTopicsRequestCreatableTopic,
  isTrial: boolean,
): Promise<CreateTopicsResponseCreatableTopicResultInput> {
  const { name } = wanted;
  try {
    const topic = isTrial
      ? topicAdmin.plan(newTopicOf(wanted))
      : await topicAdmin.create(newTopicOf(wanted));
    return {
      name,
      ...(isTrial ? {} : { topicId: topic.topicId }),
      errorCode: ErrorCode.none,
      numPartitions: topic.partitionCount,
      replicationFactor: 1,
      configs: configsOf(configs, topic),
    };
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    return { name, errorCode: thrown.code, errorMessage: thrown.message, configs: null };
  }
}

function newTopicOf(wanted: CreateTopicsRequestCreatableTopic): NewTopic {
  return {
    name: wanted.name,
    partitionCount: wanted.numPartitions,
    replicationFactor: wanted.replicationFactor,
    assignments: wanted.assignments,
    configs: Object.fromEntries(wanted.configs.map(({ name, value }) => [name, value])),
  };
}

function configsOf(configs: TopicConfigs, topic: Topic) {
  return configs.describe(topic.configs).map(({ name, value, source }) => ({
    name,
    value,
    readOnly: false,
    configSource: source,
    isSensitive: false,
  }));
}
