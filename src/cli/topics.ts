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
      help: "Of the new topic; the broker's default.",
    },
    "replication-factor": {
      kind: "text",
      value: "N",
      help: "Of the new topic; the broker's default.",
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

type Action = (client: KafkaClient, args: Arguments, terminal: Terminal) => Promise<void>;

const ACTIONS: Readonly<Record<string, Action>> = {
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
    const bootstrap = args.text("bootstrap") ?? BOOTSTRAP_DEFAULT;
    const client = await KafkaClient.connect(bootstrap, systemClock);
    try {
      await action(client, args, terminal);
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

async function listTopics(client: KafkaClient, args: Arguments, terminal: Terminal) {
  if (args.words.length > 1) throw new UsageError(`Unexpected argument "${args.words[1]}".`);
  const topics = await client.topics();
  if (!args.has("long") && !args.has("json")) {
    for (const { name } of topics) await terminal.write(`${name}\n`);
    return;
  }
  const rows = [["TOPIC", "PARTITIONS", "OFFSETS"]];
  for (const topic of topics) {
    const reaches = await reachOf(client, topic);
    const offsetCount = reaches.reduce(
      (sum, reach) => sum + reach.endOffset - reach.startOffset,
      0,
    );
    const { name, isInternal } = topic;
    const partitionCount = topic.partitions.length;
    if (args.has("json")) {
      const shown = { topic: name, partition_count: partitionCount, offset_count: offsetCount };
      await terminal.write(`${JSON.stringify({ ...shown, internal: isInternal })}\n`);
    }
    rows.push([name, String(partitionCount), String(offsetCount)]);
  }
  if (!args.has("json")) await terminal.write(tableText(rows));
}

async function describeTopic(client: KafkaClient, args: Arguments, terminal: Terminal) {
  const name = soleName(args);
  const reaches = await reachOf(client, await client.topic(name, { mayCreate: false }));
  if (args.has("json")) {
    for (const { partition, leaderId, startOffset, endOffset } of reaches) {
      const offsets = { start_offset: startOffset, end_offset: endOffset };
      const shown = { topic: name, partition, leader: leaderId, ...offsets };
      await terminal.write(`${JSON.stringify(shown)}\n`);
    }
    return;
  }
  const rows = reaches.map(({ partition, leaderId, startOffset, endOffset }) =>
    [partition, leaderId, startOffset, endOffset, endOffset - startOffset].map(String),
  );
  await terminal.write(tableText([["PARTITION", "LEADER", "START", "END", "OFFSETS"], ...rows]));
}

async function createTopic(client: KafkaClient, args: Arguments) {
  const name = soleName(args);
  const configs = new Map<string, string>();
  for (const config of args.list("config")) {
    const equals = config.indexOf("=");
    if (equals < 1) throw new UsageError(`--config takes KEY=VALUE, not "${config}".`);
    configs.set(config.slice(0, equals), config.slice(equals + 1));
  }
  const partitionCount = args.count("partitions", { min: 1, max: PARTITIONS_MAX });
  const factorBounds = { min: 1, max: REPLICATION_FACTOR_MAX };
  await client.createTopic({
    name,
    partitionCount: partitionCount ?? BROKER_DEFAULT,
    replicationFactor: args.count("replication-factor", factorBounds) ?? BROKER_DEFAULT,
    configs,
  });
}

async function deleteTopics(client: KafkaClient, args: Arguments) {
  const [, ...names] = args.words;
  if (names.length === 0) throw new UsageError("The topic's name is missing.");
  for (const name of names) await client.deleteTopic(name);
}

function soleName({ words }: Arguments): string {
  const [, name, unexpected] = words;
  if (!name) throw new UsageError("The topic's name is missing.");
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument "${unexpected}".`);
  return name;
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
