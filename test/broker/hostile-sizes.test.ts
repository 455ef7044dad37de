/** Small requests that ask for much: answered once per thing asked, or refused, and others do not wait for them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeCreateTopicsRequest } from "../../src/protocol/generated/create-topics-request.ts";
import { readCreateTopicsResponse } from "../../src/protocol/generated/create-topics-response.ts";
import { writeDescribeConfigsRequest } from "../../src/protocol/generated/describe-configs-request.ts";
import { readDescribeConfigsResponse } from "../../src/protocol/generated/describe-configs-response.ts";
import { writeListOffsetsRequest } from "../../src/protocol/generated/list-offsets-request.ts";
import { readListOffsetsResponse } from "../../src/protocol/generated/list-offsets-response.ts";
import { writeMetadataRequest } from "../../src/protocol/generated/metadata-request.ts";
import { readMetadataResponse } from "../../src/protocol/generated/metadata-response.ts";
import { RECORD_COUNT_OFFSET, writeCrc } from "../../src/protocol/record-batch.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const REPEATS = 500;

let broker: RunningBroker;
let client: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.start("--enable-wal-indexing=false", "--partitions-max", "50");
  client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic("known", 3);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

test("metadata: a topic that is named often is answered once", async () => {
  const topics = Array.from({ length: REPEATS }, () => ({ name: "known" }));
  const reader = await client.exchange(ApiKey.metadata, 9, (writer) =>
    writeMetadataRequest(writer, { topics }, 9),
  );
  expect(readMetadataResponse(reader, 9).topics).toHaveLength(1);
});

test("describe configs: a resource that is named often is answered once", async () => {
  const resources = Array.from({ length: REPEATS }, () => ({
    resourceType: 2,
    resourceName: "known",
    configurationKeys: null,
  }));
  const reader = await client.exchange(ApiKey.describeConfigs, 4, (writer) =>
    writeDescribeConfigsRequest(writer, { resources }, 4),
  );
  expect(readDescribeConfigsResponse(reader, 4).results).toHaveLength(1);
});

test("list offsets: a partition that is named twice is INVALID_REQUEST, the others are answered", async () => {
  const partitions = [0, 1, 1].map((partitionIndex) => ({ partitionIndex, timestamp: -1 }));
  const reader = await client.exchange(ApiKey.listOffsets, 7, (writer) =>
    writeListOffsetsRequest(writer, { replicaId: -1, topics: [{ name: "known", partitions }] }, 7),
  );
  const answered = readListOffsetsResponse(reader, 7).topics[0]?.partitions;
  expect(answered?.map(({ errorCode }) => errorCode)).toEqual([
    ErrorCode.none,
    ErrorCode.invalidRequest,
    ErrorCode.invalidRequest,
  ]);
});

test("create topics: more partitions than the broker or a request may have are refused", async () => {
  const create = async (counts: readonly number[]) => {
    const topics = counts.map((numPartitions, index) => ({
      name: `many-${counts.length}-${index}`,
      numPartitions,
      replicationFactor: 1,
      assignments: [],
      configs: [],
    }));
    const reader = await client.exchange(ApiKey.createTopics, 7, (writer) =>
      writeCreateTopicsRequest(writer, { topics, timeoutMs: 1000 }, 7),
    );
    return readCreateTopicsResponse(reader, 7).topics.map(({ errorCode }) => errorCode);
  };
  expect(await create([48])).toEqual([ErrorCode.policyViolation]);
  expect(await create([6000, 6000])).toEqual([
    ErrorCode.policyViolation,
    ErrorCode.policyViolation,
  ]);
  expect(await create([1, 1])).toEqual([ErrorCode.none, ErrorCode.none]);
});

test("produce: a compressed batch that claims more records than there can be is refused", async () => {
  const value = new Uint8Array(100);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  const batch = encodeBatch({ ...batchOf([record]), compression: "gzip" });
  const view = new DataView(batch.buffer, batch.byteOffset);
  view.setInt32(23, 2 ** 31 - 2);
  view.setInt32(RECORD_COUNT_OFFSET, 2 ** 31 - 1);
  writeCrc(batch, 0, batch.length);
  expect((await client.produce("known", batch))?.errorCode).toBe(ErrorCode.invalidRecord);
  expect((await client.listOffset("known", -1))?.offset).toBe(0);
});
