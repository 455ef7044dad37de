/**
 * Pairs of runs, Chronik and Apache Kafka in turn (A B A B …), on brokers that stay up: both are warm. A run produces
 * and reads everything back; its rate counts what was read back, and anything lost is an error. Before each run the
 * system's dirty pages are written out, so that nobody pays for the one before.
 *
 * Chronik's search index may have much left to do after a run. It goes on with that in Chronik's own time, the next
 * run included: while Kafka is measured, Chronik's process is stopped. Kafka cannot be stopped so, since its
 * controller would take it for dead; at rest it uses a few percent of a core, which is told among the others.
 */
import { join } from "node:path";
import { Broker, type BrokerKind } from "../conformance/broker.ts";
import { kafka } from "../conformance/broker-kinds.ts";
import { runToEnd } from "./child.ts";
import {
  type Consumed,
  consumeWithJava,
  type Payload,
  type Produced,
  produceWithJava,
  produceWithPython,
} from "./perf-tools.ts";
import { loadAverage, residentMemoryOf, type Usage, UsageWatch } from "./process-usage.ts";
import { indexedAll } from "./searches.ts";
import { createTopic, type NewTopic, recordCountOf } from "./topic-access.ts";
import { type Context, scaled } from "./workload.ts";

const SYNC_TIMEOUT_MS = 60_000;
/** The run that does not count is shorter. */
const WARM_UP_SHARE = 0.5;
const TOPIC = "bench";
const GROUP = "bench-readers";

export interface PairLoad {
  readonly name: string;
  readonly client: "java" | "kafka-python";
  readonly partitionCount: number;
  readonly recordCount: number;
  readonly payload: Payload;
  readonly batchBytes: number;
  /** Chronik's search index has caught up before the records are read back. */
  readonly isIndexed?: boolean;
  /** Of Kafka's topic alone. */
  readonly kafkaTopicConfigs?: Readonly<Record<string, string>>;
}

/** One run of one broker. */
export interface Run {
  readonly broker: BrokerKind["name"];
  /** From 1; both runs of a pair have the same. */
  readonly pair: number;
  readonly loadAverage: number;
  readonly produced: Produced & Usage;
  /** After the last acknowledgement until everything could be found; for Chronik with `isIndexed`. */
  readonly indexed: Usage | undefined;
  readonly consumed: Consumed & Usage;
  /** Since the broker's start. */
  readonly peakResidentBytes: number;
}

export interface Pair {
  readonly ours: Run;
  readonly kafka: Run;
}

/** Runs one pair that does not count, then `context.pairCount` that do. */
export async function runPairs(load: PairLoad, context: Context): Promise<readonly Pair[]> {
  const pairs: Pair[] = [];
  const sides: Side[] = [];
  try {
    sides.push(await Side.start(load, { kind: context.chronik(), context }));
    sides.push(await Side.start(load, { kind: kafka(), context }));
    const [ours, kafkas] = sides as [Side, Side];
    const recordCount = scaled(load.recordCount, context);
    for (let pair = 0; pair <= context.pairCount; pair += 1) {
      const count = pair === 0 ? Math.ceil(recordCount * WARM_UP_SHARE) : recordCount;
      const oursRun = await ours.run(pair, count);
      ours.pause();
      const result = { ours: oursRun, kafka: await kafkas.run(pair, count) };
      ours.resume();
      if (pair === 0) continue;
      pairs.push(result);
      context.tell(describePair(load, pair, result));
    }
  } finally {
    for (const side of sides) await side.end();
  }
  return pairs;
}

/** Bytes of record values per second, in MiB. */
export function mebibytesPerSecond(
  { recordCount, seconds }: Pick<Produced, "recordCount" | "seconds">,
  { payload }: PairLoad,
): number {
  return (recordCount * payload.recordBytes) / seconds / 2 ** 20;
}

/** A broker under one load, with its topic. */
class Side {
  readonly #broker: Broker;
  readonly #load: PairLoad;
  readonly #topic: NewTopic;
  #recordCount = 0;

  static async start(
    load: PairLoad,
    { kind, context }: { kind: BrokerKind; context: Context },
  ): Promise<Side> {
    const broker = await Broker.start(kind, join(context.directory, `${load.name}-${kind.name}`));
    const { partitionCount, kafkaTopicConfigs = {} } = load;
    const configs = kind.name === "kafka" ? kafkaTopicConfigs : {};
    const topic = { name: TOPIC, partitionCount, configs };
    await createTopic(broker, topic);
    return new Side({ broker, load, topic });
  }

  private constructor(parts: { broker: Broker; load: PairLoad; topic: NewTopic }) {
    this.#broker = parts.broker;
    this.#load = parts.load;
    this.#topic = parts.topic;
  }

  async run(pair: number, recordCount: number): Promise<Run> {
    await runToEnd(["sync"], { timeoutMs: SYNC_TIMEOUT_MS });
    const { name } = this.#broker.kind;
    const startLoad = loadAverage();
    const produced = await this.#produce(recordCount);
    const isIndexed = name === "chronik" && this.#load.isIndexed === true;
    const indexed = isIndexed ? await this.#index() : undefined;
    const consumed = await this.#readBack(recordCount);
    return {
      broker: name,
      pair,
      loadAverage: startLoad,
      produced,
      indexed,
      consumed,
      peakResidentBytes: residentMemoryOf(this.#broker.pid).peakBytes,
    };
  }

  pause(): void {
    process.kill(this.#broker.pid, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.#broker.pid, "SIGCONT");
  }

  async end(): Promise<void> {
    await this.#broker.kill();
    await runToEnd(["rm", "-rf", this.#broker.directory], { timeoutMs: SYNC_TIMEOUT_MS });
  }

  async #produce(recordCount: number): Promise<Produced & Usage> {
    const { client, payload, batchBytes } = this.#load;
    const produce = client === "java" ? produceWithJava : produceWithPython;
    const watch = new UsageWatch(this.#broker.pid);
    const { bootstrap } = this.#broker;
    const produced = await produce({ bootstrap, topic: TOPIC, recordCount, payload, batchBytes });
    return { ...produced, ...watch.stop(produced.clientCpuSeconds) };
  }

  async #index(): Promise<Usage> {
    const watch = new UsageWatch(this.#broker.pid);
    await indexedAll(this.#broker);
    return watch.stop(0);
  }

  /** @throws if the log does not end where it should, or a consumer finds more or fewer records */
  async #readBack(recordCount: number): Promise<Consumed & Usage> {
    const broker = this.#broker;
    this.#recordCount += recordCount;
    const endOffsets = await recordCountOf(broker, this.#topic);
    const watch = new UsageWatch(broker.pid);
    const { bootstrap } = broker;
    const consumed = await consumeWithJava({ bootstrap, topic: TOPIC, group: GROUP, recordCount });
    const usage = watch.stop(consumed.clientCpuSeconds);
    if (endOffsets !== this.#recordCount || consumed.recordCount !== recordCount) {
      throw new Error(
        `${broker.kind.name}: sent ${recordCount}, read back ${consumed.recordCount}; ` +
          `end offsets say ${endOffsets} of ${this.#recordCount} in all.`,
      );
    }
    return { ...consumed, ...usage };
  }
}

function describePair(load: PairLoad, pair: number, { ours, kafka: kafkas }: Pair): string {
  const rates = ({ produced, consumed }: Run): string =>
    `${mebibytesPerSecond(produced, load).toFixed(1)} in, ` +
    `${mebibytesPerSecond(consumed, load).toFixed(1)} out, ` +
    `others ${produced.othersCores.toFixed(2)} cores`;
  return `${load.name} ${pair}: chronik ${rates(ours)}; kafka ${rates(kafkas)} (MiB/s)`;
}
