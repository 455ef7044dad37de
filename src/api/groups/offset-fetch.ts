/**
 * OffsetFetch (key 9), versions 1 to 10. Version 2 and later can ask for all topics (null), 8 and later for several
 * groups, 10 names topics by id. With `requireStable` the answer waits for commits that are not durable yet.
 *
 * Deviations from Kafka: none known. (Transactions are not served yet, so no offset is ever unstable.)
 */

import type { OffsetCoordinator } from "../../coordinator/offset-coordinator.ts";
import type { CommittedOffset, MetaStore } from "../../meta/meta-store.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type OffsetFetchRequest,
  type OffsetFetchRequestTopics,
  readOffsetFetchRequest,
} from "../../protocol/generated/offset-fetch-request.ts";
import {
  type OffsetFetchResponseInput,
  type OffsetFetchResponsePartitionsInput,
  type OffsetFetchResponseTopicsInput,
  writeOffsetFetchResponse,
} from "../../protocol/generated/offset-fetch-response.ts";
import { ZERO_UUID } from "../../protocol/uuid.ts";
import type { Handler } from "../handler.ts";

/** From this version on a request names several groups. */
const BATCH_VERSION = 8;
/** From this version on topics are named by id. */
const TOPIC_ID_VERSION = 10;
/** The offset of a partition without one. */
const NO_OFFSET = -1;

/** The topics asked for; null: all. */
type AskedTopics = readonly OffsetFetchRequestTopics[] | null;

export function createOffsetFetchHandler(owners: {
  readonly offsets: OffsetCoordinator;
  readonly store: MetaStore;
}): Handler<OffsetFetchRequest, OffsetFetchResponseInput> {
  const { offsets, store } = owners;
  return {
    apiKey: ApiKey.offsetFetch,
    minVersion: 1,
    maxVersion: TOPIC_ID_VERSION,
    readRequest: readOffsetFetchRequest,
    writeResponse: writeOffsetFetchResponse,
    handle: async ({ apiVersion }, request) => {
      const asked = askedGroups(request, apiVersion);
      if (request.requireStable) {
        await Promise.all(asked.map(({ groupId }) => offsets.whenStable(groupId)));
      }
      const isById = apiVersion >= TOPIC_ID_VERSION;
      const groups = asked.map(({ groupId, topics }) => ({
        groupId,
        topics:
          topics === null
            ? allOffsets(store, groupId)
            : topics.map((topic) => offsetsOf(store, groupId, { topic, isById })),
        errorCode: ErrorCode.none,
      }));
      if (apiVersion >= BATCH_VERSION) return { groups };
      const topics = groups[0]?.topics ?? [];
      return { topics: topics.map(({ name = "", partitions }) => ({ name, partitions })) };
    },
    errorResponse: (request, errorCode, apiVersion) => {
      if (apiVersion < BATCH_VERSION) return { topics: [], errorCode };
      const failed = (groupId: string) => ({ groupId, topics: [], errorCode });
      return { groups: request.groups.map(({ groupId }) => failed(groupId)) };
    },
  };
}

function askedGroups(
  request: OffsetFetchRequest,
  apiVersion: number,
): readonly { readonly groupId: string; readonly topics: AskedTopics }[] {
  if (apiVersion >= BATCH_VERSION) return request.groups;
  const topics = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null;
  return [{ groupId: request.groupId, topics }];
}

function offsetsOf(
  store: MetaStore,
  groupId: string,
  asked: { readonly topic: OffsetFetchRequestTopics; readonly isById: boolean },
): OffsetFetchResponseTopicsInput {
  const { name, topicId, partitionIndexes } = asked.topic;
  const topic = asked.isById ? store.topicById(topicId)?.name : name;
  const partitions = partitionIndexes.map((partition) => {
    if (topic === undefined) return partitionAnswer(partition, ErrorCode.unknownTopicId);
    const committed = store.committedOffset(groupId, { topic, partition });
    return partitionAnswer(partition, ErrorCode.none, committed);
  });
  return { name, topicId, partitions };
}

function allOffsets(store: MetaStore, groupId: string): OffsetFetchResponseTopicsInput[] {
  const partitionsOf = new Map<string, OffsetFetchResponsePartitionsInput[]>();
  for (const committed of store.committedOffsets(groupId)) {
    const partitions = partitionsOf.get(committed.topic) ?? [];
    partitions.push(partitionAnswer(committed.partition, ErrorCode.none, committed));
    partitionsOf.set(committed.topic, partitions);
  }
  // Offsets of a deleted topic go with it, so every topic here has an id.
  return [...partitionsOf].flatMap(([name, partitions]) => {
    const topicId = store.topic(name)?.topicId;
    return topicId === undefined ? [] : [{ name, topicId, partitions }];
  });
}

function partitionAnswer(
  partitionIndex: number,
  errorCode: ErrorCode,
  committed?: CommittedOffset,
): OffsetFetchResponsePartitionsInput {
  return {
    partitionIndex,
    committedOffset: committed?.offset ?? NO_OFFSET,
    committedLeaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? "",
    errorCode,
  };
}
