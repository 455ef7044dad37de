/**
 * The clients that make load: Apache Kafka's ProducerPerformance and ConsumerPerformance, with the heap and collector
 * flags of Kafka's own scripts, and a producer with kafka-python. Rates are the tools' own, without the JVM's start.
 */
import { join } from "node:path";
import { JARS_DIRECTORY, PYTHON } from "../conformance/paths.ts";
import { runToEnd } from "./child.ts";

const TIMEOUT_MS = 150_000;
/** How long a consumer waits for the next record before it gives up. */
const PATIENCE_MS = 20_000;

const JAVA = [
  "java",
  ...["-Xmx512M", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:MaxInlineLevel=15"],
  ...["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"],
  ...["-Djava.awt.headless=true", "-Dorg.apache.logging.log4j.level=WARN"],
  ...["-cp", `${JARS_DIRECTORY}/*`],
];

/** What the records hold: random letters as the tool makes them, or lines of a file, one record each. */
export type Payload =
  | { readonly kind: "letters"; readonly recordBytes: number }
  | { readonly kind: "lines"; readonly recordBytes: number; readonly file: string };

export interface ProduceOrder {
  readonly bootstrap: string;
  readonly topic: string;
  readonly recordCount: number;
  readonly payload: Payload;
  readonly batchBytes: number;
}

export interface Produced {
  readonly recordCount: number;
  /** From the first record handed to the client to the last acknowledgement. */
  readonly seconds: number;
  /** Of single records, mostly time in the producer's queue; undefined where the client does not tell. */
  readonly latencyMs: Readonly<Record<"p50" | "p99" | "max", number>> | undefined;
  readonly clientCpuSeconds: number;
}

export interface Consumed {
  readonly recordCount: number;
  /** Without the time of joining the group. */
  readonly seconds: number;
  readonly mebibytes: number;
  readonly clientCpuSeconds: number;
}

export const LINGER_MS = 5;

/** Sends as fast as it can, with acks=all. */
export async function produceWithJava(order: ProduceOrder): Promise<Produced> {
  const { payload } = order;
  const { output, cpuSeconds } = await runToEnd(
    [
      ...JAVA,
      "org.apache.kafka.tools.ProducerPerformance",
      ...["--bootstrap-server", order.bootstrap, "--topic", order.topic],
      ...["--num-records", String(order.recordCount), "--throughput", "-1"],
      ...(payload.kind === "letters"
        ? ["--record-size", String(payload.recordBytes)]
        : ["--payload-file", payload.file]),
      "--command-property",
      ...["acks=all", `linger.ms=${LINGER_MS}`, `batch.size=${order.batchBytes}`],
    ],
    { timeoutMs: TIMEOUT_MS },
  );
  const summary =
    /^(\d+) records sent, ([\d.]+) records\/sec .* ([\d.]+) ms max latency, (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th/m;
  const [, records, rate, max, p50, p99] = (summary.exec(output) ?? unreadable(output)).map(Number);
  const recordCount = records ?? 0;
  return {
    recordCount,
    seconds: recordCount / (rate ?? 0),
    latencyMs: { p50: p50 ?? 0, p99: p99 ?? 0, max: max ?? 0 },
    clientCpuSeconds: cpuSeconds,
  };
}

/** The same with kafka-python: one record after the other from one thread. */
export async function produceWithPython(order: ProduceOrder): Promise<Produced> {
  const { bootstrap, topic, recordCount, payload, batchBytes } = order;
  const numbers = [recordCount, payload.recordBytes, LINGER_MS, batchBytes].map(String);
  const { output, cpuSeconds } = await runToEnd(
    [PYTHON, join(import.meta.dir, "produce.py"), bootstrap, topic, ...numbers],
    { timeoutMs: TIMEOUT_MS },
  );
  const { records, seconds } = JSON.parse(output) as { records: number; seconds: number };
  return { recordCount: records, seconds, latencyMs: undefined, clientCpuSeconds: cpuSeconds };
}

/** Reads from where `group` has committed until it has `recordCount` records or waits too long for the next. */
export async function consumeWithJava(order: {
  readonly bootstrap: string;
  readonly topic: string;
  readonly group: string;
  readonly recordCount: number;
}): Promise<Consumed> {
  const { output, cpuSeconds } = await runToEnd(
    [
      ...JAVA,
      "org.apache.kafka.tools.ConsumerPerformance",
      ...["--hide-header", "--bootstrap-server", order.bootstrap, "--topic", order.topic],
      ...["--group", order.group, "--num-records", String(order.recordCount)],
      ...["--timeout", String(PATIENCE_MS)],
    ],
    { timeoutMs: TIMEOUT_MS },
  );
  // start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
  const line = output.split("\n").find((text) => /^\d{4}-/.test(text)) ?? unreadable(output);
  const [mebibytes = 0, , recordCount = 0, , , fetchMs = 0] = line.split(", ").slice(2).map(Number);
  return { recordCount, seconds: fetchMs / 1000, mebibytes, clientCpuSeconds: cpuSeconds };
}

function unreadable(output: string): never {
  throw new Error(`The tool's output has no summary:\n${output}`);
}
