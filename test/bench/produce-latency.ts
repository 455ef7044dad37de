/**
 * What indexing costs a producer: the time from a request's due moment to its acknowledgement (acks=all), at a fixed
 * rate of 5,000 JSON log lines of 1 KiB a second over 6 partitions, with and without `--enable-wal-indexing`.
 *
 * The client is this process. 1,000 requests a second of one batch of 5 records each have their moments set before
 * the run; each is sent when it is due, or as soon after as this process gets to it, whatever became of the ones
 * before, and its time counts from when it was due (open loop: a pause of the broker counts for all that fall into
 * it). Both brokers start empty; the first seconds do not count. With the default interval, sealing is part of each
 * run, and with indexing the freezing of generations.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker } from "../conformance/broker.ts";
import { encodeValues } from "./batch-loader.ts";
import { isSearchable, whenMetrics } from "./broker-state.ts";
import { logLineOf } from "./log-lines.ts";
import { UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { percentile } from "./statistics.ts";
import { createTopic } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const REQUESTS_PER_SECOND = 1_000;
const RECORDS_PER_REQUEST = 5;
const RECORD_BYTES = 1024;
const COUNTED_SECONDS = 40;
const UNCOUNTED_SECONDS = 4;
/** Requests with different values; their batches are encoded before, and sent again and again. */
const DISTINCT_REQUESTS = 4_000;
const TICK_MS = 1;
const RATIO_MAX = 1.3;
const CATCH_UP_MS_MAX = 60_000;
const TOPIC = { name: "latency", partitionCount: 6 };

export const PRODUCE_LATENCY: Workload = { name: "produce-latency", run };

interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** How late requests were sent. */
  readonly sendDelayMsP99: number;
  readonly requestsPerSecond: number;
  readonly brokerCpuSeconds: number;
  readonly othersCores: number;
}

interface Pair {
  readonly indexed: Latencies;
  readonly plain: Latencies;
}

async function run(context: Context): Promise<Outcome> {
  const batches = Array.from({ length: DISTINCT_REQUESTS }, (_, index) => batchNumber(index));
  const measure = (isIndexed: boolean) => measureOnce(context, { batches, isIndexed });
  const pairs: Pair[] = [];
  for (let pair = 1; pair <= context.pairCount; pair += 1) {
    // In turn, so that neither is always the first.
    const first = await measure(pair % 2 === 1);
    const second = await measure(pair % 2 === 0);
    const [indexed, plain] = pair % 2 === 1 ? [first, second] : [second, first];
    pairs.push({ indexed, plain });
    const text = ({ p50, p99, max }: Latencies) =>
      `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, max ${max.toFixed(0)} ms`;
    context.tell(`produce-latency ${pair}: indexing ${text(indexed)}; without ${text(plain)}`);
  }
  return { rows: rowsOf(pairs), runs: pairs };
}

function batchNumber(index: number): Uint8Array {
  const encoder = new TextEncoder();
  return encodeValues(
    Array.from({ length: RECORDS_PER_REQUEST }, (_, record) =>
      encoder.encode(logLineOf(index * RECORDS_PER_REQUEST + record, RECORD_BYTES)),
    ),
  );
}

async function measureOnce(
  context: Context,
  { batches, isIndexed }: { batches: readonly Uint8Array[]; isIndexed: boolean },
): Promise<Latencies> {
  const directory = join(context.directory, "produce-latency");
  const kind = context.chronik(`--enable-wal-indexing=${isIndexed}`);
  const broker = await Broker.start(kind, directory);
  try {
    await createTopic(broker, TOPIC);
    const uncounted = scaled(UNCOUNTED_SECONDS * REQUESTS_PER_SECOND, context);
    await sendAtRate(broker, { batches, requestCount: uncounted });
    const watch = new UsageWatch(broker.pid);
    const requestCount = scaled(COUNTED_SECONDS * REQUESTS_PER_SECOND, context);
    const sent = await sendAtRate(broker, { batches, requestCount });
    const { brokerCpuSeconds, othersCores } = watch.stop(0);
    if (isIndexed) {
      await whenMetrics(broker, { holds: isSearchable, timeoutMs: CATCH_UP_MS_MAX });
    }
    return {
      p50: percentile(sent.latenciesMs, 0.5),
      p99: percentile(sent.latenciesMs, 0.99),
      p999: percentile(sent.latenciesMs, 0.999),
      max: percentile(sent.latenciesMs, 1),
      sendDelayMsP99: percentile(sent.sendDelaysMs, 0.99),
      requestsPerSecond: requestCount / sent.seconds,
      brokerCpuSeconds,
      othersCores,
    };
  } finally {
    await broker.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @throws if a request is refused */
async function sendAtRate(
  broker: Broker,
  { batches, requestCount }: { batches: readonly Uint8Array[]; requestCount: number },
) {
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  const latenciesMs = new Float64Array(requestCount);
  const sendDelaysMs = new Float64Array(requestCount);
  const answers: Promise<void>[] = [];
  const startedMs = performance.now();
  const sendOne = async (index: number, dueMs: number): Promise<void> => {
    const partition = index % TOPIC.partitionCount;
    const records = batches[index % batches.length] as Uint8Array;
    const answer = await client.produce(TOPIC.name, records, { index: partition });
    latenciesMs[index] = performance.now() - dueMs;
    if (answer?.errorCode !== 0) throw new Error(`Request ${index}: ${JSON.stringify(answer)}`);
  };
  try {
    while (answers.length < requestCount) {
      const nowMs = performance.now();
      for (;;) {
        const index = answers.length;
        const dueMs = startedMs + (index * 1000) / REQUESTS_PER_SECOND;
        if (dueMs > nowMs || index === requestCount) break;
        sendDelaysMs[index] = nowMs - dueMs;
        answers.push(sendOne(index, dueMs));
      }
      await Bun.sleep(TICK_MS);
    }
    await Promise.all(answers);
  } finally {
    client.close();
  }
  return { latenciesMs, sendDelaysMs, seconds: (performance.now() - startedMs) / 1000 };
}

function rowsOf(pairs: readonly Pair[]): Row[] {
  const what = "5,000 records/s of 1 KiB, 6 partitions, open loop";
  const row = (name: string, title: string, unit: string, read: (pair: Pair) => number): Row => ({
    name: `produce-latency/${name}`,
    title: `${what}: ${title}`,
    unit,
    ours: pairs.map(read),
    kafka: [],
    othersCores: pairs.flatMap(({ indexed, plain }) => [indexed.othersCores, plain.othersCores]),
  });
  const target = { of: "value", atMost: RATIO_MAX } as const;
  const ratio = (name: "p50" | "p99"): Row => ({
    ...row(
      `${name}-ratio`,
      `${name} of the acknowledgement with indexing, to that without`,
      "×",
      ({ indexed, plain }) => indexed[name] / plain[name],
    ),
    target,
  });
  return [
    ratio("p50"),
    ratio("p99"),
    row("p50", "p50 with indexing", "ms", ({ indexed }) => indexed.p50),
    row("p50-plain", "p50 without", "ms", ({ plain }) => plain.p50),
    row("p99", "p99 with indexing", "ms", ({ indexed }) => indexed.p99),
    row("p99-plain", "p99 without", "ms", ({ plain }) => plain.p99),
    row("rate", "records acknowledged with indexing", "/s", ({ indexed }) => {
      return indexed.requestsPerSecond * RECORDS_PER_REQUEST;
    }),
  ];
}
