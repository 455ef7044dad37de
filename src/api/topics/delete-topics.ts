/** DeleteTopics (key 20), versions 0 to 6: by name, from version 6 on by id too. Reads see it at once. */

import type { MetaStore, Topic } from "../../meta/meta-store.ts";
import type { TopicAdmin } from "../../meta/topic-admin.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DeleteTopicsRequest,
  readDeleteTopicsRequest,
} from "../../protocol/generated/delete-topics-request.ts";
import {
  type DeleteTopicsResponseDeletableTopicResultInput,
  type DeleteTopicsResponseInput,
  writeDeleteTopicsResponse,
} from "../../protocol/generated/delete-topics-response.ts";
import { ZERO_UUID } from "../../protocol/uuid.ts";
import type { Handler } from "../handler.ts";
import { duplicatesOf } from "./duplicates.ts";

/** First version that names topics by name or id. */
const TOPIC_ID_VERSION = 6;

interface Asked {
  readonly name: string | null;
  readonly topicId: string;
}

interface Owners {
  readonly meta: MetaStore;
  readonly topicAdmin: TopicAdmin;
}

export function createDeleteTopicsHandler(
  owners: Owners,
): Handler<DeleteTopicsRequest, DeleteTopicsResponseInput> {
  return {
    apiKey: ApiKey.deleteTopics,
    minVersion: 0,
    maxVersion: 6,
    readRequest: readDeleteTopicsRequest,
    writeResponse: writeDeleteTopicsResponse,
    handle: async (context, request) => {
      const asked: readonly Asked[] =
        context.apiVersion >= TOPIC_ID_VERSION
          ? request.topics
          : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }));
      const duplicates = duplicatesOf(asked.map((one) => one.name ?? one.topicId));
      return {
        responses: await Promise.all(
          asked.map((one) => deleteOne(owners, one, duplicates.has(one.name ?? one.topicId))),
        ),
      };
    },
  };
}

async function deleteOne(
  owners: Owners,
  asked: Asked,
  isDuplicate: boolean,
): Promise<DeleteTopicsResponseDeletableTopicResultInput> {
  try {
    const topic = find(owners.meta, asked, isDuplicate);
    await owners.topicAdmin.delete(topic);
    return { name: topic.name, topicId: topic.topicId, errorCode: ErrorCode.none };
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    return { ...asked, errorCode: thrown.code, errorMessage: thrown.message };
  }
}

function find(meta: MetaStore, { name, topicId }: Asked, isDuplicate: boolean): Topic {
  if (name !== null && topicId !== ZERO_UUID) {
    throw new KafkaError(
      ErrorCode.invalidRequest,
      "You may not specify both topic name and topic id.",
    );
  }
  if (isDuplicate) throw new KafkaError(ErrorCode.invalidRequest, "Duplicate topic.");
  const topic = name === null ? meta.topicById(topicId) : meta.topic(name);
  if (topic !== undefined) return topic;
  throw name === null
    ? new KafkaError(ErrorCode.unknownTopicId, "This server does not host this topic ID.")
    : new KafkaError(
        ErrorCode.unknownTopicOrPartition,
        "This server does not host this topic-partition.",
      );
}
