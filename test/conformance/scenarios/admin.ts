/** Topics: created with configs, grown, described, asked for offsets by time, deleted, created again. */
import { UnsupportedError } from "../agent.ts";
import { generateRecords } from "../records.ts";
import type { Bench, Scenario } from "../scenario.ts";
import { expectEqual, expectTrue } from "../verify.ts";

const RETENTION_MS = "7200000";
const RECORD_COUNT = 100;

export const admin: Scenario = {
  name: "admin",
  title:
    "create, create partitions, describe, describe and alter configs, list offsets by time, delete records, delete",
  run: async (bench) => {
    const { agent } = bench;
    const topic = bench.topicOf("admin");
    await bench.createTopic(topic, 2, { "retention.ms": RETENTION_MS });
    await expectFailure("creating it twice", bench.createTopic(topic, 2));
    await expectFailure("an invalid name", bench.createTopic("no spaces allowed", 1));
    expectEqual(await agent.run("describeTopic", { topic }), { partitions: 2 }, "the new topic");

    await agent.run("createPartitions", { topic, total: 5 });
    expectEqual(await agent.run("describeTopic", { topic }), { partitions: 5 }, "the grown topic");
    await expectFailure("shrinking", agent.run("createPartitions", { topic, total: 3 }));
    await checkConfigs(bench, topic);
    await checkAlteredConfigs(bench, topic);
    const remark = await checkOffsets(bench, topic);
    await checkDeletedRecords(bench, topic);

    await agent.run("deleteTopic", { topic });
    await topicIsGone(bench, topic);
    await expectFailure("deleting it twice", agent.run("deleteTopic", { topic }));
    await bench.createTopic(topic, 1);
    expectEqual(await bench.endOffsets(topic, 1), [0], "offsets of the topic created again");
    return remark;
  },
};

async function checkConfigs(bench: Bench, topic: string): Promise<void> {
  const described = await bench.agent.run("describeConfigs", { topic });
  const configs = described["configs"] as Record<string, string>;
  const expected = {
    "retention.ms": RETENTION_MS,
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "compression.type": "producer",
    "message.timestamp.type": "CreateTime",
  };
  const found = Object.fromEntries(Object.keys(expected).map((key) => [key, configs[key]]));
  expectEqual(found, expected, "configs");
}

/** Agents that can't are passed over. The topic's configs are those of its creation again at the end. */
async function checkAlteredConfigs(bench: Bench, topic: string): Promise<void> {
  const alter = (incremental: boolean, ...changes: readonly (string | null)[][]) =>
    bench.agent.run("alterConfigs", { topic, incremental, changes });
  const found = async () => {
    const described = await bench.agent.run("describeConfigs", { topic });
    const configs = described["configs"] as Record<string, string>;
    return ["cleanup.policy", "retention.bytes", "retention.ms"].map((name) => configs[name]);
  };
  try {
    await alter(
      true,
      ["retention.bytes", "SET", "5000000"],
      ["cleanup.policy", "APPEND", "compact"],
    );
  } catch (error) {
    if (error instanceof UnsupportedError) return;
    throw error;
  }
  const altered = ["delete,compact", "5000000", RETENTION_MS];
  expectEqual(await found(), altered, "configs that were altered");
  const soon = alter(true, ["retention.ms", "SET", "soon"], ["retention.bytes", "SET", "1"]);
  await expectFailure("a value that is no number", soon);
  const unlisted = alter(true, ["retention.ms", "APPEND", "1"]);
  await expectFailure("appending to what is no list", unlisted);
  expectEqual(await found(), altered, "configs after changes were refused");
  await alter(true, ["retention.bytes", "DELETE", null], ["cleanup.policy", "SUBTRACT", "compact"]);
  expectEqual(await found(), ["delete", "-1", RETENTION_MS], "configs that were altered back");
  // The older request fills in what it does not change, and sends all.
  await alter(false, ["retention.bytes", "SET", "6000000"]);
  expectEqual(await found(), ["delete", "6000000", RETENTION_MS], "configs that were replaced");
  await alter(false, ["retention.bytes", "SET", "-1"]);
}

/** Timestamps here rise by one second a record. @returns what the library cannot ask for */
async function checkOffsets(bench: Bench, topic: string): Promise<string | undefined> {
  const baseTimestampMs = Date.now() - RECORD_COUNT * 1_000;
  const { limits } = bench.client;
  const generated = generateRecords({
    count: RECORD_COUNT,
    partitions: 1,
    baseTimestampMs,
    limits,
  });
  const records = generated.map((record, index) => ({
    ...record,
    t: baseTimestampMs + index * 1_000,
  }));
  await bench.produce({ topic, records });
  const offsetAt = async (at: string | number) => {
    const found = await bench.agent.run("listOffsets", { topic, partition: 0, at });
    return Number(found["offset"]);
  };
  expectEqual(await offsetAt("earliest"), 0, "the earliest offset");
  expectEqual(await offsetAt("latest"), RECORD_COUNT, "the latest offset");
  expectEqual(await offsetAt(baseTimestampMs + 40_000), 40, "the offset at a record's time");
  expectEqual(
    await offsetAt(baseTimestampMs + 40_001),
    41,
    "the offset just after a record's time",
  );
  const afterAll = await offsetAt(baseTimestampMs + RECORD_COUNT * 1_000);
  // The answer is -1; some libraries make the end offset of it.
  expectTrue([-1, RECORD_COUNT].includes(afterAll), `${afterAll} as offset after the last record`);
  try {
    expectEqual(await offsetAt("max"), RECORD_COUNT - 1, "the offset of the greatest timestamp");
    return undefined;
  } catch (error) {
    if (error instanceof UnsupportedError)
      return "the library cannot ask for the greatest timestamp";
    throw error;
  }
}

/** Of the records that `checkOffsets` wrote to partition 0. */
async function checkDeletedRecords(bench: Bench, topic: string): Promise<void> {
  const partition = 0;
  const deleteBefore = (before: number) =>
    bench.agent.run("deleteRecords", { topic, partition, before });
  const earliest = async () => {
    const found = await bench.agent.run("listOffsets", { topic, partition, at: "earliest" });
    return Number(found["offset"]);
  };
  await deleteBefore(40);
  expectEqual(await earliest(), 40, "the earliest offset after records were deleted");
  const left = await bench.consume(topic, 1, RECORD_COUNT - 40);
  expectEqual(
    left.map((record) => record.o),
    Array.from({ length: RECORD_COUNT - 40 }, (_, index) => 40 + index),
    "offsets that are left",
  );
  await expectFailure("deleting beyond the end", deleteBefore(RECORD_COUNT + 1));
  await deleteBefore(-1);
  expectEqual(await earliest(), RECORD_COUNT, "the earliest offset when all are deleted");
}

/** Kafka answers a deletion before every view of the cluster has followed. */
async function topicIsGone(bench: Bench, topic: string): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) {
    const listed = await bench.agent.run("listTopics");
    if (!(listed["topics"] as string[]).includes(topic)) return;
    await Bun.sleep(100);
  }
  throw new Error("the deleted topic is still listed");
}

async function expectFailure(what: string, attempt: Promise<unknown>): Promise<void> {
  const isRefused = await attempt.then(
    () => false,
    () => true,
  );
  expectTrue(isRefused, `${what} was not refused`);
}
