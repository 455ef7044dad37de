/** CreatePartitions (key 37), versions 0 to 3. */

import type { TopicAdmin } from "../../meta/topic-admin.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type CreatePartitionsRequest,
  type CreatePartitionsRequestCreatePartitionsTopic,
  readCreatePartitionsRequest,
} from "../../protocol/generated/create-partitions-request.ts";
import {
  type CreatePartitionsResponseCreatePartitionsTopicResultInput,
  type CreatePartitionsResponseInput,
  writeCreatePartitionsResponse,
} from "../../protocol/generated/create-partitions-response.ts";
import type { Handler } from "../handler.ts";
import { duplicatesOf } from "./duplicates.ts";

export function createCreatePartitionsHandler(
  topicAdmin: TopicAdmin,
): Handler<CreatePartitionsRequest, CreatePartitionsResponseInput> {
  return {
    apiKey: ApiKey.createPartitions,
    minVersion: 0,
    maxVersion: 3,
    readRequest: readCreatePartitionsRequest,
    writeResponse: writeCreatePartitionsResponse,
    handle: async (_context, request) => {
      const duplicates = duplicatesOf(request.topics.map(({ name }) => name));
      const unique = request.topics.filter(({ name }) => !duplicates.has(name));
      const results = await Promise.all(
        unique.map((wanted) => growOne(topicAdmin, wanted, request.validateOnly)),
      );
      for (const name of duplicates) {
        results.push({
          name,
          errorCode: ErrorCode.invalidRequest,
          errorMessage: "Duplicate topic name.",
        });
      }
      return { results };
    },
  };
}

async function growOne(
  topicAdmin: TopicAdmin,
  wanted: CreatePartitionsRequestCreatePartitionsTopic,
  isTrial: boolean,
): Promise<CreatePartitionsResponseCreatePartitionsTopicResultInput> {
  const { name, count } = wanted;
  try {
    const assignments = wanted.assignments?.map(({ brokerIds }) => brokerIds) ?? null;
    await topicAdmin.grow(name, count, { assignments, isTrial });
    return { name, errorCode: ErrorCode.none };
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    return { name, errorCode: thrown.code, errorMessage: thrown.message };
  }
}
