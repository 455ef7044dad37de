/** OffsetForLeaderEpoch (key 23), versions 2 to 4: where an epoch of a partition ended. */

import type { LogManager } from "../../log/log-manager.ts";
import type { MetaStore } from "../../meta/meta-store.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderEpochRequestOffsetForLeaderPartition,
  readOffsetForLeaderEpochRequest,
} from "../../protocol/generated/offset-for-leader-epoch-request.ts";
import {
  type OffsetForLeaderEpochResponseEpochEndOffsetInput,
  type OffsetForLeaderEpochResponseInput,
  writeOffsetForLeaderEpochResponse,
} from "../../protocol/generated/offset-for-leader-epoch-response.ts";
import type { Handler } from "../handler.ts";
import { checkLeaderEpoch } from "./leader-epoch.ts";

interface Owners {
  readonly logs: LogManager;
  readonly meta: MetaStore;
}

export function createOffsetForLeaderEpochHandler(
  owners: Owners,
): Handler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponseInput> {
  return {
    apiKey: ApiKey.offsetForLeaderEpoch,
    minVersion: 2,
    maxVersion: 4,
    readRequest: readOffsetForLeaderEpochRequest,
    writeResponse: writeOffsetForLeaderEpochResponse,
    handle: (_context, request) => ({
      topics: request.topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((asked) => answerOne(owners, topic, asked)),
      })),
    }),
  };
}

function answerOne(
  { logs, meta }: Owners,
  name: string,
  asked: OffsetForLeaderEpochRequestOffsetForLeaderPartition,
): OffsetForLeaderEpochResponseEpochEndOffsetInput {
  try {
    const topic = meta.topic(name);
    const partition = topic && logs.partition(topic.topicId, asked.partition);
    if (partition === undefined) {
      throw new KafkaError(ErrorCode.unknownTopicOrPartition, "The topic or partition is unknown.");
    }
    checkLeaderEpoch(logs.leaderEpoch, asked.currentLeaderEpoch);
    const end = partition.epochs.endOf(asked.leaderEpoch, partition.logEndOffset);
    return { partition: asked.partition, errorCode: ErrorCode.none, ...end };
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    return { partition: asked.partition, errorCode: thrown.code };
  }
}
