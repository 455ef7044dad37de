/** AlterConfigs and IncrementalAlterConfigs over a socket: what they change and refuse, and that a restart keeps it. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import {
  APPEND,
  alterResources,
  alterTopic,
  BROKER,
  DELETE,
  ownConfigsOf,
  replaceConfigs,
  SET,
  SUBTRACT,
  TOPIC,
} from "./configs-client.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const DONE = [ErrorCode.none, null];

let broker: RunningBroker;
let client: PipelinedClient;
let topicCount = 0;

beforeAll(async () => {
  broker = await RunningBroker.start();
  client = await PipelinedClient.connect(broker.kafkaPort);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

async function newTopic(configs: Record<string, string> = {}): Promise<string> {
  topicCount += 1;
  const topic = `topic-${topicCount}`;
  expect(await client.createTopic(topic, 1, configs)).toBe(ErrorCode.none);
  return topic;
}

test("IncrementalAlterConfigs: sets, deletes, appends and subtracts, and leaves the rest", async () => {
  const topic = await newTopic({ "retention.ms": "1000", "retention.bytes": "5" });
  const changes = [
    [SET, "max.message.bytes", "2000"],
    [DELETE, "retention.ms", null],
    [APPEND, "cleanup.policy", "compact"],
  ] as const;
  expect(await alterTopic(client, topic, changes)).toEqual(DONE);
  expect(await ownConfigsOf(client, topic)).toEqual({
    "cleanup.policy": "delete,compact",
    "max.message.bytes": "2000",
    "retention.bytes": "5",
  });
  expect(await alterTopic(client, topic, [[SUBTRACT, "cleanup.policy", "delete"]])).toEqual(DONE);
  expect(await ownConfigsOf(client, topic)).toMatchObject({ "cleanup.policy": "compact" });
});

test("AlterConfigs: what the request does not name is gone", async () => {
  const topic = await newTopic({ "retention.ms": "1000" });
  expect(await replaceConfigs(client, topic, { "segment.bytes": "2000000" })).toEqual(DONE);
  expect(await ownConfigsOf(client, topic)).toEqual({ "segment.bytes": "2000000" });
  expect(await replaceConfigs(client, topic, {})).toEqual(DONE);
  expect(await ownConfigsOf(client, topic)).toEqual({});
  expect(await replaceConfigs(client, topic, { "retention.ms": null })).toEqual([
    ErrorCode.invalidRequest,
    "Null value not supported for : retention.ms",
  ]);
});

test("IncrementalAlterConfigs: a change holds for the next batch", async () => {
  const topic = await newTopic();
  const value = Buffer.alloc(1000, 1);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  const batch = encodeBatch(batchOf([record]));
  expect((await client.produce(topic, batch))?.errorCode).toBe(ErrorCode.none);
  await alterTopic(client, topic, [[SET, "max.message.bytes", "500"]]);
  expect((await client.produce(topic, batch))?.errorCode).toBe(ErrorCode.messageTooLarge);
  await alterTopic(client, topic, [[DELETE, "max.message.bytes", null]]);
  expect((await client.produce(topic, batch))?.errorCode).toBe(ErrorCode.none);
});

test.each([
  [[SET, "no.such.config", "1"], ErrorCode.invalidConfig, "Unknown topic config name"],
  [[SET, "retention.ms", "soon"], ErrorCode.invalidConfig, "Not a number of type LONG"],
  [[SET, "cleanup.policy", "burn"], ErrorCode.invalidConfig, "String must be one of"],
  [[SET, "retention.ms", null], ErrorCode.invalidRequest, "Null value not supported for"],
  [[APPEND, "retention.ms", "1"], ErrorCode.invalidConfig, "because its type is not LIST"],
  [[SUBTRACT, "no.such.config", "1"], ErrorCode.invalidConfig, "because its type is not LIST"],
  [[9, "retention.ms", "1"], ErrorCode.invalidRequest, "no config operation with the number 9"],
] as const)("IncrementalAlterConfigs: %j is refused whole", async (change, code, reason) => {
  const topic = await newTopic({ "retention.ms": "7" });
  const [errorCode, message] = await alterTopic(client, topic, [
    [SET, "retention.bytes", "1"],
    change,
  ]);
  expect([errorCode, String(message)]).toEqual([code, expect.stringContaining(reason)]);
  expect(await ownConfigsOf(client, topic)).toEqual({ "retention.ms": "7" });
});

test("IncrementalAlterConfigs: each resource fails alone", async () => {
  const topic = await newTopic();
  const configs = [{ name: "retention.ms", configOperation: SET, value: "1" }];
  const twice = [...configs, ...configs];
  const answers = await alterResources(client, [
    { resourceType: TOPIC, resourceName: topic, configs },
    { resourceType: TOPIC, resourceName: "missing", configs },
    { resourceType: TOPIC, resourceName: "no name!", configs },
    { resourceType: TOPIC, resourceName: "", configs },
    { resourceType: TOPIC, resourceName: "other", configs: twice },
    { resourceType: TOPIC, resourceName: "twice", configs },
    { resourceType: TOPIC, resourceName: "twice", configs },
    { resourceType: BROKER, resourceName: "1", configs },
    { resourceType: 32, resourceName: "a-group", configs },
  ]);
  expect(answers.map(({ errorCode }) => errorCode)).toEqual([
    ErrorCode.none,
    ErrorCode.unknownTopicOrPartition,
    ErrorCode.invalidTopicException,
    ...Array<number>(6).fill(ErrorCode.invalidRequest),
  ]);
  expect(await ownConfigsOf(client, topic)).toEqual({ "retention.ms": "1" });
});

test("IncrementalAlterConfigs: validateOnly changes nothing", async () => {
  const topic = await newTopic();
  const set = (value: string) => [[SET, "retention.ms", value]] as const;
  expect(await alterTopic(client, topic, set("1"), true)).toEqual(DONE);
  expect((await alterTopic(client, topic, set("x"), true))[0]).toBe(ErrorCode.invalidConfig);
  expect(await ownConfigsOf(client, topic)).toEqual({});
});

test("IncrementalAlterConfigs: changes of several connections do not undo each other", async () => {
  const topic = await newTopic();
  const names = ["retention.ms", "retention.bytes", "segment.ms", "flush.ms", "flush.messages"];
  await Promise.all(
    names.map(async (name) => {
      using other = await PipelinedClient.connect(broker.kafkaPort);
      expect(await alterTopic(other, topic, [[SET, name, "77"]])).toEqual(DONE);
    }),
  );
  expect(Object.keys(await ownConfigsOf(client, topic)).sort()).toEqual([...names].sort());
});

test("IncrementalAlterConfigs: a restart keeps what was changed", async () => {
  const restarted = await RunningBroker.start();
  try {
    {
      using first = await PipelinedClient.connect(restarted.kafkaPort);
      await first.createTopic("kept", 1, { "retention.ms": "5" });
      await alterTopic(first, "kept", [[SET, "retention.bytes", "6"]]);
      await alterTopic(first, "kept", [[DELETE, "retention.ms", null]]);
    }
    await restarted.stop();
    await restarted.start();
    using second = await PipelinedClient.connect(restarted.kafkaPort);
    expect(await ownConfigsOf(second, "kept")).toEqual({ "retention.bytes": "6" });
  } finally {
    await restarted.remove();
  }
});
