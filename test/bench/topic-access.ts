/** Topics of either broker by its Kafka port: made, and asked how many records they hold. */
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeListOffsetsRequest } from "../../src/protocol/generated/list-offsets-request.ts";
import { readListOffsetsResponse } from "../../src/protocol/generated/list-offsets-response.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import type { Broker } from "../conformance/broker.ts";

const LIST_OFFSETS_VERSION = 11;
const LATEST = -1;
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;

export interface NewTopic {
  readonly name: string;
  readonly partitionCount: number;
  readonly configs?: Readonly<Record<string, string>>;
}

/** Resolves when every partition has a leader. @throws if the broker refuses the topic */
export async function createTopic(
  broker: Broker,
  { name, partitionCount, configs = {} }: NewTopic,
): Promise<void> {
  await withClient(broker, async (client) => {
    const errorCode = await client.createTopic(name, partitionCount, { ...configs });
    if (errorCode !== 0) throw new Error(`Creating ${name} failed with code ${errorCode}.`);
    const deadlineMs = performance.now() + READY_TIMEOUT_MS;
    while ((await endOffsetsOf(client, { name, partitionCount })) === undefined) {
      if (performance.now() > deadlineMs) throw new Error(`${name} has partitions without leader.`);
      await Bun.sleep(READY_POLL_MS);
    }
  });
}

/** Records of a topic that was never trimmed or compacted: the sum of its end offsets. */
export async function recordCountOf(broker: Broker, topic: NewTopic): Promise<number> {
  const endOffsets = await endOffsetsOfTopic(broker, topic);
  return endOffsets.reduce((sum, endOffset) => sum + endOffset, 0);
}

/** By partition, exclusive. @throws if one has no leader */
export async function endOffsetsOfTopic(broker: Broker, topic: NewTopic): Promise<number[]> {
  return await withClient(broker, async (client) => {
    const endOffsets = await endOffsetsOf(client, topic);
    if (endOffsets === undefined) throw new Error(`${topic.name} has partitions without leader.`);
    return [...endOffsets];
  });
}

/** Undefined while a partition has no leader. */
async function endOffsetsOf(
  client: PipelinedClient,
  { name, partitionCount }: NewTopic,
): Promise<readonly number[] | undefined> {
  const version = LIST_OFFSETS_VERSION;
  const partitions = Array.from({ length: partitionCount }, (_, partitionIndex) => ({
    partitionIndex,
    timestamp: LATEST,
  }));
  const reader = await client.exchange(ApiKey.listOffsets, version, (writer) =>
    writeListOffsetsRequest(writer, { replicaId: -1, topics: [{ name, partitions }] }, version),
  );
  const answers = readListOffsetsResponse(reader, version).topics.flatMap((it) => it.partitions);
  if (answers.length !== partitionCount) throw new Error(`${name}: ${answers.length} partitions`);
  if (answers.some(({ errorCode }) => errorCode !== 0)) return undefined;
  return answers.map(({ offset }) => offset);
}

async function withClient<Result>(
  broker: Broker,
  work: (client: PipelinedClient) => Promise<Result>,
): Promise<Result> {
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
