/**
 * How each broker is started: Chronik (the compiled file, or the source tree) and its peer, Apache Kafka 4.3.1
 * as one KRaft node from its jars, with the heap and collector flags of Kafka's own start script.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrokerAddresses, BrokerKind } from "./broker.ts";
import { JARS_DIRECTORY, PROJECT_DIRECTORY } from "./paths.ts";

export const COMPILED_FILE = join(PROJECT_DIRECTORY, "dist/chronik-server");
/** Any 16 bytes in base64url: one cluster per data directory is enough. */
const CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg";

export interface ChronikOptions {
  /** Run the source tree instead of the compiled file. */
  readonly source?: boolean;
  /** More flags, for example `--memory-max 256M`. */
  readonly flags?: readonly string[];
}

export function chronik({ source = false, flags = [] }: ChronikOptions = {}): BrokerKind {
  if (!source && !existsSync(COMPILED_FILE)) {
    throw new Error(`${COMPILED_FILE} is missing: run \`npm run build\` first.`);
  }
  const program = source
    ? [process.execPath, join(PROJECT_DIRECTORY, "src/main.ts")]
    : [COMPILED_FILE];
  return {
    name: "chronik",
    format: async () => undefined,
    command: (directory, { kafkaPort, httpPort }) => [
      ...program,
      ...["--data-dir", join(directory, "data")],
      ...["--kafka-port", String(kafkaPort), "--http-port", String(httpPort)],
      ...flags,
      "standalone",
    ],
    readyPattern: /^chronik ready in /m,
  };
}

export interface KafkaOptions {
  readonly heap?: string;
  /** More lines of `server.properties`; they win over the ones here. */
  readonly properties?: readonly string[];
  /** The port that clients are told, if not its own: that of a proxy. */
  readonly advertisedPort?: number;
}

export function kafka(options: KafkaOptions = {}): BrokerKind {
  const { heap = "1G", properties = [], advertisedPort } = options;
  const java = ["java", "-cp", `${JARS_DIRECTORY}/*`];
  return {
    name: "kafka",
    format: async (directory, addresses) => {
      const file = join(directory, "server.properties");
      const lines = [...propertiesOf(directory, addresses, advertisedPort), ...properties];
      writeFileSync(file, `${lines.join("\n")}\n`);
      writeFileSync(join(directory, "log4j2.properties"), LOG_PROPERTIES);
      const child = Bun.spawn(
        [...java, "-Xmx256M", "kafka.tools.StorageTool", "format", "--standalone"].concat([
          ...["-t", CLUSTER_ID, "-c", file],
        ]),
        { stdout: "pipe", stderr: "pipe" },
      );
      const output = await new Response(child.stdout).text();
      if ((await child.exited) !== 0) {
        throw new Error(`formatting failed:\n${output}${await new Response(child.stderr).text()}`);
      }
    },
    command: (directory) => [
      ...java,
      ...[`-Xmx${heap}`, `-Xms${heap}`, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
      ...["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"],
      ...["-XX:MaxInlineLevel=15", "-Djava.awt.headless=true"],
      `-Dlog4j2.configurationFile=${join(directory, "log4j2.properties")}`,
      ...["kafka.Kafka", join(directory, "server.properties")],
    ],
    readyPattern: /Kafka Server started/,
  };
}

/** As Kafka's own `config/server.properties`, on loopback; groups start at once there too. */
function propertiesOf(
  directory: string,
  { kafkaPort, controllerPort }: BrokerAddresses,
  advertisedPort = kafkaPort,
): string[] {
  const controller = `CONTROLLER://127.0.0.1:${controllerPort}`;
  return [
    "process.roles=broker,controller",
    "node.id=1",
    `controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}`,
    `listeners=PLAINTEXT://127.0.0.1:${kafkaPort},${controller}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${advertisedPort},${controller}`,
    "inter.broker.listener.name=PLAINTEXT",
    "controller.listener.names=CONTROLLER",
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.network.threads=3",
    "num.io.threads=8",
    "socket.send.buffer.bytes=102400",
    "socket.receive.buffer.bytes=102400",
    "socket.request.max.bytes=104857600",
    `log.dirs=${join(directory, "data")}`,
    "num.partitions=1",
    "num.recovery.threads.per.data.dir=2",
    "offsets.topic.replication.factor=1",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "log.retention.hours=168",
    "log.segment.bytes=1073741824",
    "log.retention.check.interval.ms=300000",
    "group.initial.rebalance.delay.ms=0",
  ];
}

const LOG_PROPERTIES = `status = error
appender.out.type = Console
appender.out.name = STDOUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = STDOUT
`;
