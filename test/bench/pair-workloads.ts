/** The workloads that both brokers run in turn. Record counts are such that a run takes some seconds. */
import { logLinesPayload } from "./log-lines.ts";
import { mebibytesPerSecond, type Pair, type PairLoad, type Run, runPairs } from "./pair-run.ts";
import type { Payload } from "./perf-tools.ts";
import type { Row, Target } from "./row.ts";
import type { Context, Outcome, Workload } from "./workload.ts";

const KIB = 1024;
const GIB = 2 ** 30;
const MEGABYTE = 1e6;

const LETTERS: Payload = { kind: "letters", recordBytes: KIB };

/** What is taken from each run of a workload. */
interface Measure {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly target?: Target;
  readonly read: (run: Run, load: PairLoad) => number;
  /** The part of the run in which others would disturb it. */
  readonly phaseOf?: (run: Run) => { readonly othersCores: number };
}

const PRODUCE_UNIT = "MiB/s";

function produceRate(target?: Target): Measure {
  return {
    name: "produce",
    title: "produce",
    unit: PRODUCE_UNIT,
    ...(target && { target }),
    read: (run, load) => mebibytesPerSecond(run.produced, load),
  };
}

const CONSUME_RATE: Measure = {
  name: "consume",
  title: "consume",
  unit: PRODUCE_UNIT,
  target: { of: "ratio", atLeast: 0.8 },
  read: (run, load) => mebibytesPerSecond(run.consumed, load),
  phaseOf: (run) => run.consumed,
};

const PRODUCE_CPU: Measure = {
  name: "produce-cpu",
  title: "broker CPU per GiB produced, until the last acknowledgement",
  unit: "s",
  target: { of: "ratio", atMost: 0.7 },
  read: ({ produced }, load) => produced.brokerCpuSeconds / gibibytesOf(produced, load),
};

const PRODUCE_CPU_FOREGROUND: Measure = {
  name: "produce-cpu-foreground",
  title: "broker CPU per GiB produced, without the threads of the search index",
  unit: "s",
  target: { of: "ratio", atMost: 0.7 },
  read: ({ produced }, load) => produced.foregroundCpuSeconds / gibibytesOf(produced, load),
};

const INDEXED_CPU: Measure = {
  name: "indexed-cpu",
  title: "broker CPU per GiB produced, until every record could be found",
  unit: "s",
  read: ({ produced, indexed }, load) =>
    (produced.brokerCpuSeconds + (indexed?.brokerCpuSeconds ?? 0)) / gibibytesOf(produced, load),
};

const CONSUME_CPU: Measure = {
  name: "consume-cpu",
  title: "broker CPU per GiB consumed",
  unit: "s",
  read: ({ consumed }, load) => consumed.brokerCpuSeconds / gibibytesOf(consumed, load),
  phaseOf: (run) => run.consumed,
};

const PEAK_MEMORY: Measure = {
  name: "peak-rss",
  title: "peak RSS since the start",
  unit: "MB",
  read: ({ peakResidentBytes }) => peakResidentBytes / MEGABYTE,
};

export const PAIR_WORKLOADS: readonly Workload[] = [
  pairWorkload(
    "1 KiB, 6 partitions, batch 128 KiB",
    {
      name: "batch-128k",
      client: "java",
      partitionCount: 6,
      recordCount: 300_000,
      payload: LETTERS,
      batchBytes: 128 * KIB,
    },
    [
      produceRate({ of: "ratio", atLeast: 0.9 }),
      ...[CONSUME_RATE, PRODUCE_CPU, PRODUCE_CPU_FOREGROUND, CONSUME_CPU, PEAK_MEMORY],
    ],
  ),
  pairWorkload(
    "1 KiB, 1 partition, batch 16 KiB",
    {
      name: "batch-16k",
      client: "java",
      partitionCount: 1,
      recordCount: 200_000,
      payload: LETTERS,
      batchBytes: 16 * KIB,
    },
    [produceRate({ of: "ratio", atLeast: 1.2 })],
  ),
  pairWorkload(
    "1 KiB, 1,000 partitions, batch 16 KiB",
    {
      name: "partitions-1000",
      client: "java",
      partitionCount: 1_000,
      recordCount: 200_000,
      payload: LETTERS,
      batchBytes: 16 * KIB,
    },
    [produceRate({ of: "ratio", atLeast: 4 })],
  ),
  pairWorkload(
    "1 KiB, 6 partitions, batch 128 KiB, Kafka with flush.messages=1",
    {
      name: "flush-each",
      client: "java",
      partitionCount: 6,
      recordCount: 300_000,
      payload: LETTERS,
      batchBytes: 128 * KIB,
      kafkaTopicConfigs: { "flush.messages": "1" },
    },
    [produceRate({ of: "ratio", atLeast: 2 })],
  ),
  pairWorkload(
    "kafka-python, 1 KiB, 6 partitions, batch 16 KiB",
    {
      name: "kafka-python",
      client: "kafka-python",
      partitionCount: 6,
      recordCount: 30_000,
      payload: LETTERS,
      batchBytes: 16 * KIB,
    },
    [produceRate({ of: "ratio", atLeast: 0.9 })],
  ),
  logLinesWorkload(),
];

/** What people search: words that repeat. Random letters are a new word each, which costs an index the most. */
function logLinesWorkload(): Workload {
  const load = {
    name: "log-lines",
    client: "java",
    partitionCount: 6,
    recordCount: 40_000,
    batchBytes: 128 * KIB,
    isIndexed: true,
  } as const;
  const run = async (context: Context): Promise<Outcome> => {
    const payload = logLinesPayload(context.directory);
    const title = "JSON log lines of 1 KiB, 6 partitions, batch 128 KiB";
    const measures = [produceRate(), INDEXED_CPU, PEAK_MEMORY];
    return await pairWorkload(title, { ...load, payload }, measures).run(context);
  };
  return { name: load.name, run };
}

function pairWorkload(title: string, load: PairLoad, measures: readonly Measure[]): Workload {
  const run = async (context: Context): Promise<Outcome> => {
    const pairs = await runPairs(load, context);
    const rows = measures.map((measure) => rowOf(title, { load, measure, pairs }));
    return { rows, runs: pairs.flatMap(({ ours, kafka }) => [ours, kafka]) };
  };
  return { name: load.name, run };
}

function rowOf(
  title: string,
  { load, measure, pairs }: { load: PairLoad; measure: Measure; pairs: readonly Pair[] },
): Row {
  const { read, unit, target, phaseOf = (run: Run) => run.produced } = measure;
  return {
    name: `${load.name}/${measure.name}`,
    title: `${title}: ${measure.title}`,
    unit,
    ...(target && { target }),
    ours: pairs.map(({ ours }) => read(ours, load)),
    kafka: pairs.map(({ kafka }) => read(kafka, load)),
    othersCores: pairs.flatMap(({ ours, kafka }) =>
      [ours, kafka].map((run) => phaseOf(run).othersCores),
    ),
  };
}

function gibibytesOf({ recordCount }: { recordCount: number }, { payload }: PairLoad): number {
  return (recordCount * payload.recordBytes) / GIB;
}
