/** `chronik-server topics`: what topics there are, how far they reach, and new and old ones. */

import { systemClock } from "../core/clock.ts";
import { type Arguments, type Usage, UsageError } from "./arguments.ts";
import { BOOTSTRAP_DEFAULT, BOOTSTRAP_OPTION } from "./cluster-options.ts";
import { EARLIEST, KafkaClient, LATEST, type TopicLeaders } from "./kafka-client.ts";
import type { Subcommand } from "./subcommands.ts";
import { tableText } from "./table-text.ts";
import type { Terminal } from "./terminal.ts";

const USAGE: Usage = {
  forms: [
    "[list] [--long | --json]",
    "describe NAME [--json]",
    "create NAME [--partitions N] [--replication-factor N] [--config KEY=VALUE]",
    "delete NAME...",
  ],
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    long: { kind: "flag", short: "l", help: "List partitions and offsets counted, too." },
    json: { kind: "flag", help: "One JSON object a line." },
    partitions: {
      kind: "text",
      short: "p",
      value: "N",
      help: "Of the new topic [default: the broker's].",
    },
    "replication-factor": {
      kind: "text",
      value: "N",
      help: "Of the new topic [default: the broker's].",
    },
    config: {
      kind: "list",
      short: "c",
      value: "KEY=VALUE",
      help: "A config of the new topic; repeatable.",
    },
  },
  notes: `Offsets count the records that were written; compaction may have removed some of them since.
`,
};

/** Kafka's own limit. */
const PARTITIONS_MAX = 10_000;
const REPLICATION_FACTOR_MAX = 32_767;
const BROKER_DEFAULT = -1;

type Work = (client: KafkaClient, terminal: Terminal) => Promise<void>;

/** Understood before a broker is asked for anything. @throws UsageError */
const ACTIONS: Readonly<Record<string, (args: Arguments) => Work>> = {
  list: listTopics,
  describe: describeTopic,
  create: createTopic,
  delete: deleteTopics,
};

export const topicsCommand: Subcommand = {
  usage: USAGE,
  run: async (args, terminal) => {
    const [name = "list"] = args.words;
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) {
      throw new UsageError(
        `There is no "topics ${name}"; there are ${Object.keys(ACTIONS).join(", ")}.`,
      );
    }
    const work = action(args);
    const bootstrap = args.text("bootstrap") ?? BOOTSTRAP_DEFAULT;
    const client = await KafkaClient.connect(bootstrap, systemClock);
    try {
      await work(client, terminal);
    } finally {
      client.close();
    }
    return 0;
  },
};

/** A partition's reach: [startOffset, endOffset). */
interface PartitionReach {
  readonly partition: number;
  readonly leaderId: number;
  readonly startOffset: number;
  readonly endOffset: number;
}

function listTopics(args: Arguments): Work {
  if (args.words.length > 1) throw new UsageError(`Unexpected argument "${args.words[1]}".`);
  if (args.has("json")) return listAsJson;
  return args.has("long") ? listAsTable : listNames;
}

async function listNames(client: KafkaClient, terminal: Terminal) {
  for (const { name } of await client.topics()) await terminal.write(`${name}\n`);
}

async function listAsTable(client: KafkaClient, terminal: Terminal) {
  const rows = [["TOPIC", "PARTITIONS", "OFFSETS"]];
  for (const topic of await client.topics()) {
    const offsetCount = await offsetCountOf(client, topic);
    rows.push([topic.name, String(topic.partitions.length), String(offsetCount)]);
  }
  await terminal.write(tableText(rows));
}

async function listAsJson(client: KafkaClient, terminal: Terminal) {
  for (const topic of await client.topics()) {
    const shown = {
      topic: topic.name,
      partition_count: topic.partitions.length,
      offset_count: await offsetCountOf(client, topic),
      internal: topic.isInternal,
    };
    await terminal.write(`${JSON.stringify(shown)}\n`);
  }
}

function describeTopic(args: Arguments): Work {
  const name = soleName(args);
  const describe = args.has("json") ? describeAsJson : describeAsTable;
  return async (client, terminal) => {
    const topic = await client.topic(name, { mayCreate: false });
    await describe(name, await reachOf(client, topic), terminal);
  };
}

async function describeAsTable(
  _name: string,
  reaches: readonly PartitionReach[],
  terminal: Terminal,
) {
  const rows = reaches.map(({ partition, leaderId, startOffset, endOffset }) =>
    [partition, leaderId, startOffset, endOffset, endOffset - startOffset].map(String),
  );
  await terminal.write(tableText([["PARTITION", "LEADER", "START", "END", "OFFSETS"], ...rows]));
}

async function describeAsJson(
  topic: string,
  reaches: readonly PartitionReach[],
  terminal: Terminal,
) {
  for (const { partition, leaderId, startOffset, endOffset } of reaches) {
    const offsets = { start_offset: startOffset, end_offset: endOffset };
    const shown = { topic, partition, leader: leaderId, ...offsets };
    await terminal.write(`${JSON.stringify(shown)}\n`);
  }
}

function createTopic(args: Arguments): Work {
  const wish = {
    name: soleName(args),
    partitionCount: args.count("partitions", { min: 1, max: PARTITIONS_MAX }) ?? BROKER_DEFAULT,
    replicationFactor:
      args.count("replication-factor", { min: 1, max: REPLICATION_FACTOR_MAX }) ?? BROKER_DEFAULT,
    configs: new Map(args.list("config").map(configOf)),
  };
  return (client) => client.createTopic(wish);
}

function deleteTopics(args: Arguments): Work {
  const [, ...names] = args.words;
  if (names.length === 0) throw new UsageError("The topic's name is missing.");
  return async (client) => {
    for (const name of names) await client.deleteTopic(name);
  };
}

function configOf(text: string): readonly [key: string, value: string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UsageError(`--config takes KEY=VALUE, not "${text}".`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function soleName({ words }: Arguments): string {
  const [, name, unexpected] = words;
  if (!name) throw new UsageError("The topic's name is missing.");
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument "${unexpected}".`);
  return name;
}

async function offsetCountOf(client: KafkaClient, topic: TopicLeaders): Promise<number> {
  let count = 0;
  for (const { startOffset, endOffset } of await reachOf(client, topic)) {
    count += endOffset - startOffset;
  }
  return count;
}

async function reachOf(client: KafkaClient, topic: TopicLeaders): Promise<PartitionReach[]> {
  const [starts, ends] = await Promise.all([
    client.offsets(topic, EARLIEST),
    client.offsets(topic, LATEST),
  ]);
  return topic.partitions.map(({ partition, leaderId }) => ({
    partition,
    leaderId,
    startOffset: starts.get(partition) ?? 0,
    endOffset: ends.get(partition) ?? 0,
  }));
}
