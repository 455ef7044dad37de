/** The client libraries under test: how their agents start, and what the libraries themselves cannot do. */
import { join } from "node:path";
import {
  CLASSES_DIRECTORY,
  CLIENTS_DIRECTORY,
  GO_AGENT,
  JARS_DIRECTORY,
  NODE,
  NODE_DIRECTORY,
  PYTHON,
} from "./paths.ts";
import type { RecordLimits } from "./records.ts";
import type { Toolchain } from "./setup.ts";

export interface Client {
  /** Used with `--only` and as a column of the results. */
  readonly name: string;
  /** Library and pinned version, for the results. */
  readonly title: string;
  readonly toolchain: Toolchain;
  readonly command: readonly string[];
  readonly limits: RecordLimits;
  /** What it cannot send or needs, for the results. */
  readonly note?: string;
  /** Its group members may see records again at a rebalance, since they commit while reading goes on. */
  readonly repeatsAtRebalance?: boolean;
}

export const CLIENTS: readonly Client[] = [
  {
    name: "kafka-python",
    title: "kafka-python 3.0.12",
    toolchain: "python",
    command: [PYTHON, join(CLIENTS_DIRECTORY, "python/agent_kafka_python.py")],
    limits: { nullHeaders: true, nullKeyAndValue: true },
    note: "sends no null header values, and no records without both key and value",
  },
  {
    name: "confluent-kafka",
    title: "confluent-kafka 2.16.1 (librdkafka)",
    toolchain: "python",
    command: [PYTHON, join(CLIENTS_DIRECTORY, "python/agent_confluent.py")],
    limits: {},
  },
  {
    name: "kafkajs",
    title: "kafkajs 2.2.4",
    toolchain: "node",
    command: [NODE, join(NODE_DIRECTORY, "agent-kafkajs.mjs")],
    limits: { nullHeaders: true },
    note: "sends no null header values; snappy, lz4 and zstd from packages beside it",
    repeatsAtRebalance: true,
  },
  {
    name: "platformatic",
    title: "@platformatic/kafka 2.12.1",
    toolchain: "node",
    command: [NODE, join(NODE_DIRECTORY, "agent-platformatic.mjs")],
    limits: {},
    repeatsAtRebalance: true,
  },
  {
    name: "java",
    title: "Apache Kafka's Java client 4.3.1",
    toolchain: "java",
    command: [
      "java",
      ...["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
      `-Dlog4j2.configurationFile=${join(CLIENTS_DIRECTORY, "java/log4j2.properties")}`,
      ...["-cp", `${CLASSES_DIRECTORY}:${JARS_DIRECTORY}/*`, "Agent"],
    ],
    limits: {},
  },
  {
    name: "franz-go",
    title: "franz-go 1.22.2",
    toolchain: "go",
    command: [GO_AGENT],
    limits: {},
  },
];
