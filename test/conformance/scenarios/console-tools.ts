/** The console tools that come with Apache Kafka, by their main classes. */
import type { Bench, Scenario } from "../scenario.ts";
import { expectEqual, expectTrue } from "../verify.ts";

const TOOLS = {
  topics: "org.apache.kafka.tools.TopicCommand",
  producer: "org.apache.kafka.tools.ConsoleProducer",
  consumer: "org.apache.kafka.tools.consumer.ConsoleConsumer",
  groups: "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
  configs: "kafka.admin.ConfigCommand",
  offsets: "org.apache.kafka.tools.GetOffsetShell",
  apiVersions: "org.apache.kafka.tools.BrokerApiVersionsCommand",
  cluster: "org.apache.kafka.tools.ClusterTool",
} as const;
const LINES = Array.from({ length: 50 }, (_, index) => `key${index}\tvalue ${index}`);

export const consoleTools: Scenario = {
  name: "console-tools",
  title:
    "topics, console producer and consumer, consumer groups, configs, offsets, api versions, cluster id",
  run: async (bench) => {
    const topic = bench.topicOf("tools");
    const group = bench.topicOf("tools-group");
    await topicTools(bench, topic);
    await recordTools(bench, { topic, group });
    const described = await tool(bench, "groups", ["--describe", "--group", group]);
    const row = new RegExp(`${group}\\s+${topic}\\s+0\\s+\\d+\\s+\\d+\\s+0\\s`);
    expectTrue(row.test(described), `the group's offsets, without lag:\n${described}`);
    expectTrue((await tool(bench, "groups", ["--list"])).includes(group), "the group is listed");

    const configs = await tool(bench, "configs", [
      ...["--describe", "--all", "--entity-type", "topics", "--entity-name", topic],
    ]);
    expectTrue(configs.includes("retention.ms=7200000"), `the topic's configs:\n${configs}`);
    expectTrue(configs.includes("max.message.bytes=1048588"), `a default config:\n${configs}`);
    await configTools(bench, topic);
    const offsets = await tool(bench, "offsets", ["--topic", topic, "--time", "latest"]);
    expectEqual(sumOffsets(offsets), LINES.length, "the sum of the offsets");
    const versions = await tool(bench, "apiVersions", []);
    expectTrue(/Produce\(0\): \d+ to \d+/.test(versions), `the API versions:\n${versions}`);
    expectTrue((await tool(bench, "cluster", ["cluster-id"])).includes("Cluster ID"), "cluster id");

    await tool(bench, "groups", ["--delete", "--group", group]);
    await tool(bench, "topics", ["--delete", "--topic", topic]);
    return undefined;
  },
};

async function topicTools(bench: Bench, topic: string): Promise<void> {
  const create = ["--create", "--topic", topic, "--partitions", "2"];
  await tool(bench, "topics", [...create, "--config", "retention.ms=7200000"]);
  await tool(bench, "topics", ["--alter", "--topic", topic, "--partitions", "3"]);
  const described = await tool(bench, "topics", ["--describe", "--topic", topic]);
  expectTrue(/PartitionCount:\s*3/.test(described), `the topic's partitions:\n${described}`);
  expectTrue(described.includes("retention.ms=7200000"), `the topic's configs:\n${described}`);
  const listed = await tool(bench, "topics", ["--list"]);
  expectTrue(listed.split("\n").includes(topic), `the topic is listed:\n${listed}`);
}

/** Configs that are altered by the tool and shown by it. */
async function configTools(bench: Bench, topic: string): Promise<void> {
  const entity = ["--entity-type", "topics", "--entity-name", topic];
  const alter = (...change: string[]) => tool(bench, "configs", ["--alter", ...entity, ...change]);
  const described = () => tool(bench, "configs", ["--describe", ...entity]);
  await alter("--add-config", "retention.bytes=5000000,cleanup.policy=[delete,compact]");
  const added = await described();
  expectTrue(added.includes("retention.bytes=5000000"), `an added config:\n${added}`);
  expectTrue(added.includes("cleanup.policy=delete,compact"), `an added list:\n${added}`);
  await alter("--delete-config", "retention.bytes,cleanup.policy");
  const left = await described();
  expectTrue(!left.includes("retention.bytes"), `a deleted config:\n${left}`);
  expectTrue(left.includes("retention.ms=7200000"), `the config that was left alone:\n${left}`);
}

async function recordTools(
  bench: Bench,
  { topic, group }: { topic: string; group: string },
): Promise<void> {
  const parsing = ["--reader-property", "parse.key=true"];
  await tool(bench, "producer", ["--topic", topic, ...parsing], `${LINES.join("\n")}\n`);
  const consumed = await tool(bench, "consumer", [
    ...["--topic", topic, "--group", group, "--from-beginning"],
    ...["--max-messages", String(LINES.length), "--timeout-ms", "20000"],
    ...["--formatter-property", "print.key=true"],
  ]);
  const found = consumed.split("\n").filter((line) => line.startsWith("key"));
  expectEqual(found.sort(), [...LINES].sort(), "console consumer's lines");
}

/** Runs a tool. @returns what it printed. @throws if its exit code is not 0 */
async function tool(
  bench: Bench,
  name: keyof typeof TOOLS,
  args: readonly string[],
  input = "",
): Promise<string> {
  const where = name === "cluster" ? [...args, "--bootstrap-server"] : ["--bootstrap-server"];
  const rest = name === "cluster" ? [] : args;
  const result = await bench.agent.run("tool", {
    class: TOOLS[name],
    args: [...where, bench.broker.bootstrap, ...rest],
    input,
  });
  if (result["code"] !== 0) {
    throw new Error(`${name} exited with ${result["code"]}: ${result["out"]}${result["err"]}`);
  }
  return String(result["out"]);
}

/** GetOffsetShell prints `topic:partition:offset`. */
function sumOffsets(printed: string): number {
  const offsets = printed
    .split("\n")
    .filter(Boolean)
    .map((line) => Number(line.split(":").at(-1)));
  return offsets.reduce((sum, offset) => sum + offset, 0);
}
