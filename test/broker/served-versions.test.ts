/** ApiVersions tells the truth: every version of every API it lists is answered in bytes that can be read. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { ALL_MESSAGES } from "../../src/protocol/generated/all-messages.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { readApiVersionsResponse } from "../../src/protocol/generated/api-versions-response.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { ZERO_UUID } from "../../src/protocol/uuid.ts";
import type { Writer } from "../../src/protocol/writer.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

let broker: RunningBroker;
let client: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.start();
  client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic("known", 2);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

/** Versions that Apache Kafka 4.3.1 serves; what 3.9.1 serves below comes on top of it. */
const KAFKA_VERSIONS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  produce: [0, 13],
  fetch: [4, 18],
  listOffsets: [1, 11],
  metadata: [0, 13],
  offsetCommit: [2, 10],
  offsetFetch: [1, 10],
  findCoordinator: [0, 6],
  joinGroup: [0, 9],
  heartbeat: [0, 4],
  leaveGroup: [0, 5],
  syncGroup: [0, 5],
  describeGroups: [0, 6],
  listGroups: [0, 5],
  apiVersions: [0, 4],
  createTopics: [2, 7],
  deleteTopics: [1, 6],
  deleteRecords: [0, 2],
  initProducerId: [0, 5],
  offsetForLeaderEpoch: [2, 4],
  describeConfigs: [1, 4],
  alterConfigs: [0, 2],
  incrementalAlterConfigs: [0, 1],
  createPartitions: [0, 3],
  deleteGroups: [0, 2],
  describeCluster: [0, 2],
  describeTopicPartitions: [0, 0],
};

/** Requests that reach into the answer: by name, and by id or nothing where a version cannot carry names. */
const BODIES: Readonly<Record<string, (version: number) => object>> = {
  produce: (version) => ({
    acks: -1,
    timeoutMs: 1000,
    topicData: [
      {
        ...(version >= 13 ? { topicId: ZERO_UUID } : { name: "known" }),
        partitionData: [{ index: 0, records: null }],
      },
    ],
  }),
  fetch: (version) => ({
    maxWaitMs: 0,
    minBytes: 0,
    topics:
      version >= 13
        ? []
        : [
            {
              topic: "known",
              partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 100 }],
            },
          ],
  }),
  listOffsets: () => ({
    replicaId: -1,
    topics: [{ name: "known", partitions: [{ partitionIndex: 1, timestamp: -1 }] }],
  }),
  metadata: () => ({ topics: [{ name: "known" }, { name: "no such name!" }] }),
  createTopics: (version) => ({
    topics: [
      {
        name: `made-${version}`,
        numPartitions: 1,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      },
      { name: "known", numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] },
    ],
    timeoutMs: 1000,
  }),
  deleteTopics: (version) => ({
    timeoutMs: 1000,
    ...(version >= 6
      ? { topics: [{ name: "gone", topicId: ZERO_UUID }] }
      : { topicNames: ["gone"] }),
  }),
  deleteRecords: () => ({
    topics: [
      { name: "known", partitions: [{ partitionIndex: 0, offset: -1 }] },
      { name: "gone", partitions: [{ partitionIndex: 0, offset: 0 }] },
    ],
    timeoutMs: 1000,
  }),
  describeConfigs: () => ({
    resources: [
      { resourceType: 2, resourceName: "known", configurationKeys: null },
      { resourceType: 4, resourceName: "1", configurationKeys: null },
    ],
  }),
  alterConfigs: () => ({
    resources: [
      { resourceType: 2, resourceName: "known", configs: [{ name: "retention.ms", value: "1" }] },
      { resourceType: 2, resourceName: "gone", configs: [] },
    ],
    validateOnly: true,
  }),
  incrementalAlterConfigs: () => ({
    resources: [
      {
        resourceType: 2,
        resourceName: "known",
        configs: [{ name: "retention.ms", configOperation: 1, value: null }],
      },
      { resourceType: 4, resourceName: "1", configs: [] },
    ],
    validateOnly: true,
  }),
  createPartitions: () => ({
    topics: [{ name: "known", count: 2, assignments: null }],
    timeoutMs: 1000,
    validateOnly: true,
  }),
  offsetForLeaderEpoch: () => ({
    topics: [{ topic: "known", partitions: [{ partition: 0, leaderEpoch: 0 }] }],
  }),
  describeCluster: () => ({ includeClusterAuthorizedOperations: true }),
  describeTopicPartitions: () => ({ topics: [{ name: "known" }, { name: "gone" }], cursor: null }),
  apiVersions: () => ({ clientSoftwareName: "chronik-test", clientSoftwareVersion: "1" }),
};

async function advertised(): Promise<Map<number, readonly [number, number]>> {
  const reader = await client.exchange(ApiKey.apiVersions, 0, () => {});
  const { apiKeys } = readApiVersionsResponse(reader, 0);
  return new Map(apiKeys.map((api) => [api.apiKey, [api.minVersion, api.maxVersion]]));
}

test("ApiVersions: lists at least what Apache Kafka 4.3.1 serves of these APIs, and nothing else", async () => {
  const listed = await advertised();
  const names = Object.entries(ApiKey);
  const expectedKeys = names.filter(([name]) => name in KAFKA_VERSIONS).map(([, key]) => key);
  expect([...listed.keys()].sort((a, b) => a - b)).toEqual(expectedKeys.sort((a, b) => a - b));
  for (const [name, [min, max]] of Object.entries(KAFKA_VERSIONS)) {
    const key = names.find(([candidate]) => candidate === name)?.[1] ?? -1;
    const [listedMin = 99, listedMax = -1] = listed.get(key) ?? [];
    expect([name, listedMin <= min, listedMax]).toEqual([name, true, max]);
  }
});

test("ApiVersions: a version of the future is answered in version 0 with the list", async () => {
  const response = await client.exchangeRaw(ApiKey.apiVersions, 99, new Uint8Array(0));
  const { errorCode, apiKeys } = readApiVersionsResponse(new Reader(response, 4), 0);
  expect(errorCode).toBe(35);
  expect(apiKeys.length).toBe(Object.keys(KAFKA_VERSIONS).length);
});

test.each(Object.keys(BODIES))("%s: every served version is answered", async (name) => {
  const key = Object.entries(ApiKey).find(([candidate]) => candidate === name)?.[1] ?? -1;
  const [min = 0, max = -1] = (await advertised()).get(key) ?? [];
  using own = await PipelinedClient.connect(broker.kafkaPort);
  for (let version = min; version <= max; version += 1) {
    const codec = (kind: string) =>
      ALL_MESSAGES.find((message) => message.name.toLowerCase() === `${name}${kind}`.toLowerCase());
    const body = BODIES[name]?.(version);
    const reader = await own.exchange(key, version, (writer: Writer) =>
      codec("Request")?.write(writer, body, version),
    );
    const response = codec("Response")?.read(reader, version);
    expect([name, version, typeof response, reader.remaining]).toEqual([
      name,
      version,
      "object",
      0,
    ]);
  }
});
