/** Compares a storage that has just been opened, or that runs, with what it was to keep. */

import type { Storage } from "../../src/broker-storage.ts";
import { readBatches } from "../../src/log/log-reader.ts";
import type { Partition } from "../../src/log/partition.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import {
  demand,
  type PartitionModel,
  type RisingNumber,
  type TopicModel,
} from "./storage-model.ts";

/** What all clients together know. */
export interface StorageModel {
  readonly topics: TopicModel[];
  readonly committedOffset: RisingNumber;
  readonly groupId: string;
  readonly producerIds: readonly number[];
}

/** Takes what was found as the truth from now on. @returns how many batches are gone. @throws ViolationError */
export async function judgeFound(storage: Storage, model: StorageModel): Promise<number> {
  let lostCount = 0;
  for (const topic of model.topics) lostCount += await judgeTopic(storage, model, topic);
  const isKnown = (topicId: string) =>
    model.topics.some((topic) => topic.topicId === topicId && topic.state === "there");
  for (const { topicId } of storage.meta.topics()) {
    demand(isKnown(topicId), `topic ${topicId} came back from the dead`);
  }
  for (const topicId of storage.segments.index.topicIds()) {
    demand(isKnown(topicId), `the segments of topic ${topicId} came back from the dead`);
  }
  const committed = storage.meta.committedOffset(model.groupId, { topic: "any", partition: 0 });
  model.committedOffset.find(committed?.offset ?? 0, "the committed offset");
  return lostCount;
}

async function judgeTopic(
  storage: Storage,
  model: StorageModel,
  topic: TopicModel,
): Promise<number> {
  const { topicId, state, name } = topic;
  const found = storage.meta.topicById(topicId);
  if (found === undefined) {
    demand(state !== "there", `topic ${name} is lost`);
    demand(storage.logs.partition(topicId, 0) === undefined, `the log of ${name} is there`);
    topic.state = "gone";
    return 0;
  }
  demand(state !== "gone", `topic ${name} is back`);
  topic.state = "there";
  topic.partitionCount.find(found.partitionCount, `${name}'s partition count`);
  let lostCount = 0;
  for (let index = 0; index < found.partitionCount; index += 1) {
    const partition = storage.logs.partition(topicId, index);
    demand(partition !== undefined, `partition ${name}-${index} is lost`);
    const partitionModel = topic.partition(index);
    const { logStartOffset, highWatermark } = partition;
    partitionModel.logStart.find(logStartOffset, `${partitionModel.name}'s log start`);
    lostCount += partitionModel.cutTo(highWatermark);
    demand(partition.logEndOffset === highWatermark, "what was found is durable");
    const sealedEnd = storage.segments.endOffset(partition.place);
    // Where all records are deleted, the segments may go.
    const isSealed =
      sealedEnd >= partitionModel.sealedEnd || logStartOffset >= partitionModel.sealedEnd;
    demand(isSealed, `${partitionModel.name} is sealed to ${sealedEnd} only`);
    partitionModel.sealedEnd = sealedEnd;
    const metaStart = storage.meta.logStartOffset(topicId, index);
    demand(metaStart === logStartOffset, `${partitionModel.name} starts at two offsets`);
    judgeEpochs(partition, partitionModel);
    judgeProducers(partition, partitionModel, model.producerIds);
    await judgeBytes(storage, partition, partitionModel);
  }
  // Partitions that were never made have lost what they never had.
  for (const never of topic.partitions.splice(found.partitionCount)) {
    demand(never.shownOffset === 0, `partition ${never.name} is lost`);
  }
  return lostCount;
}

function judgeEpochs({ epochs }: Partition, model: PartitionModel): void {
  for (const { header } of model.batches) {
    const { baseOffset, partitionLeaderEpoch } = header;
    const found = epochs.epochAt(baseOffset);
    const isRight = found === partitionLeaderEpoch;
    demand(isRight, `${model.name}: epoch ${found} at ${baseOffset}, not ${partitionLeaderEpoch}`);
  }
}

function judgeProducers(
  { producers }: Partition,
  model: PartitionModel,
  producerIds: readonly number[],
): void {
  for (const producerId of producerIds) {
    const last = model.lastOf(producerId);
    for (const { header } of last) {
      const what = `${model.name}: producer ${producerId}, sequence ${header.baseSequence}`;
      let found: { readonly baseOffset: number } | undefined;
      try {
        found = producers.check(header);
      } catch (thrown) {
        demand(false, `${what}: ${String(thrown)}`);
      }
      demand(found?.baseOffset === header.baseOffset, `${what} is not known at its offset`);
    }
    const header = last.at(-1)?.header;
    if (header === undefined) continue;
    const baseSequence = header.baseSequence + header.lastOffsetDelta + 1;
    demand(producers.check({ ...header, baseSequence }) === undefined, "the next one is new");
  }
}

/** Follows the log from its start to its end: every batch once, byte for byte. */
export async function judgeBytes(
  storage: Storage,
  partition: Partition,
  model: PartitionModel,
): Promise<void> {
  const endOffset = partition.highWatermark;
  const startOffset = partition.logStartOffset;
  const expected = model.expectedBytes(endOffset);
  const read: Uint8Array[] = [];
  let offset = startOffset;
  while (offset < endOffset) {
    const limits = { offset, endOffset, maxBytes: 10_000, isOneBatchDue: true };
    const batches = await readBatches(storage.tiers, partition, limits);
    // Deleted meanwhile: what was expected is another range.
    if (partition.isDeleted || partition.logStartOffset !== startOffset) return;
    const last = batches.at(-1);
    demand(last !== undefined, `${model.name}: nothing is found at ${offset} of ${endOffset}`);
    read.push(...batches);
    const header = readBatchHeader(last, 0);
    offset = header.baseOffset + header.lastOffsetDelta + 1;
  }
  const isEqual = Buffer.concat(read).equals(expected);
  demand(isEqual, `${model.name}: what is read from ${startOffset} to ${endOffset} is not it`);
}
