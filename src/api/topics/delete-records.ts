/**
 * DeleteRecords (key 21), versions 0 to 2: moves the log start offsets of partitions up. Fetch, ListOffsets and search
 * see it when it is answered, and so does a restart.
 *
 * Deviations from Kafka: the timeout is not looked at, because there are no followers to wait for; no topic is
 * internal.
 */

import type { LogManager } from "../../log/log-manager.ts";
import type { Partition } from "../../log/partition.ts";
import { PARTITIONS_PER_COMMAND } from "../../meta/log-start-offsets.ts";
import type { MetaStore, PartitionStart, Topic } from "../../meta/meta-store.ts";
import type { TopicConfigs } from "../../meta/topic-configs.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DeleteRecordsRequest,
  readDeleteRecordsRequest,
} from "../../protocol/generated/delete-records-request.ts";
import {
  type DeleteRecordsResponseDeleteRecordsPartitionResultInput,
  type DeleteRecordsResponseInput,
  writeDeleteRecordsResponse,
} from "../../protocol/generated/delete-records-response.ts";
import type { Wal } from "../../wal/wal.ts";
import type { Handler } from "../handler.ts";

/** The client means: everything that is shown. */
const HIGH_WATERMARK = -1;
/** The low watermark of an answer that is an error. */
const UNKNOWN = -1;

interface Owners {
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  readonly configs: TopicConfigs;
}

type PartitionAnswer = DeleteRecordsResponseDeleteRecordsPartitionResultInput;

export function createDeleteRecordsHandler(
  owners: Owners,
): Handler<DeleteRecordsRequest, DeleteRecordsResponseInput> {
  return {
    apiKey: ApiKey.deleteRecords,
    minVersion: 0,
    maxVersion: 2,
    readRequest: readDeleteRecordsRequest,
    writeResponse: writeDeleteRecordsResponse,
    handle: async (_context, request) => {
      const topics = [...askedByTopic(request)].map(async ([name, asked]) => ({
        name,
        partitions: await deleteInTopic(owners, name, asked),
      }));
      return { throttleTimeMs: 0, topics: await Promise.all(topics) };
    },
  };
}

/** Offsets by topic and partition; of what is named twice, the last holds, as in Kafka. */
function askedByTopic({ topics }: DeleteRecordsRequest): Map<string, Map<number, number>> {
  const byTopic = new Map<string, Map<number, number>>();
  for (const { name, partitions } of topics) {
    // Kafka leaves out a topic without partitions.
    if (partitions.length === 0) continue;
    const asked = byTopic.get(name) ?? new Map<number, number>();
    byTopic.set(name, asked);
    for (const { partitionIndex, offset } of partitions) asked.set(partitionIndex, offset);
  }
  return byTopic;
}

async function deleteInTopic(
  owners: Owners,
  name: string,
  asked: ReadonlyMap<number, number>,
): Promise<PartitionAnswer[]> {
  const { wal, meta } = owners;
  const topic = meta.topic(name);
  const answers: PartitionAnswer[] = [];
  const accepted: { partition: Partition; offset: number }[] = [];
  for (const [partitionIndex, wanted] of asked) {
    const partition = topic && owners.logs.partition(topic.topicId, partitionIndex);
    if (topic === undefined || partition === undefined) {
      answers.push(refused(partitionIndex, ErrorCode.unknownTopicOrPartition));
      continue;
    }
    const offset = wanted === HIGH_WATERMARK ? partition.highWatermark : wanted;
    try {
      check(owners.configs, topic, { partition, offset });
      // A record that was acknowledged before its sync may be deleted too.
      if (offset > partition.highWatermark) await wal.whenDurable(wal.appendedAddress);
      accepted.push({ partition, offset });
    } catch (thrown) {
      answers.push(refused(partitionIndex, errorCodeOf(thrown)));
    }
  }
  if (topic === undefined) return answers;
  for (let start = 0; start < accepted.length; start += PARTITIONS_PER_COMMAND) {
    const part = accepted.slice(start, start + PARTITIONS_PER_COMMAND);
    const errorCode = await commit(meta, topic, part);
    for (const { partition } of part) {
      const { index: partitionIndex, logStartOffset: lowWatermark } = partition;
      if (errorCode !== ErrorCode.none) answers.push(refused(partitionIndex, errorCode));
      else answers.push({ partitionIndex, lowWatermark, errorCode });
    }
  }
  return answers;
}

/** @throws KafkaError if records of the partition cannot be deleted up to `offset` */
function check(
  configs: TopicConfigs,
  topic: Topic,
  { partition, offset }: { partition: Partition; offset: number },
): void {
  const policies = configs.listOf(topic.configs, "cleanup.policy");
  if (policies.includes("compact") && !policies.includes("delete")) {
    throw new KafkaError(ErrorCode.policyViolation, "The topic is only compacted.");
  }
  if (offset >= 0 && offset <= partition.logEndOffset) return;
  throw new KafkaError(ErrorCode.offsetOutOfRange, `The log does not have the offset ${offset}.`);
}

/** Resolves when the offsets hold. An offset that is not above the log start offset changes nothing. */
async function commit(
  meta: MetaStore,
  { topicId }: Topic,
  accepted: readonly { partition: Partition; offset: number }[],
): Promise<ErrorCode> {
  const offsets = accepted
    .filter(({ partition, offset }) => offset > partition.logStartOffset)
    .map(({ partition, offset }): PartitionStart => ({ partition: partition.index, offset }));
  if (offsets.length === 0) return ErrorCode.none;
  try {
    await meta.commit({ kind: "logStartOffsetsSet", topicId, offsets });
    return ErrorCode.none;
  } catch (thrown) {
    const errorCode = errorCodeOf(thrown);
    // The topic is named by its name here.
    return errorCode === ErrorCode.unknownTopicId ? ErrorCode.unknownTopicOrPartition : errorCode;
  }
}

function refused(partitionIndex: number, errorCode: ErrorCode): PartitionAnswer {
  return { partitionIndex, lowWatermark: UNKNOWN, errorCode };
}
