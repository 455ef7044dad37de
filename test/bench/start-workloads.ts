/** How soon a broker answers, on nothing and after a kill under load, and what it takes when nobody asks. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Broker, type BrokerKind } from "../conformance/broker.ts";
import { kafka } from "../conformance/broker-kinds.ts";
import { produceWithJava } from "./perf-tools.ts";
import { cpuSecondsOf, residentMemoryOf, UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { type StartTime, startAndAsk } from "./start-time.ts";
import { createTopic, recordCountOf } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

/** They take it seconds each, and the targets are for Chronik alone: enough to compare with. */
const KAFKA_START_COUNT = 1;
const READY_MS_MAX = 60;
const RECOVERED_MS_MAX = 1000;
const IDLE_MEGABYTES_MAX = 80;
const IDLE_MS = 10_000;
const MEGABYTE = 1e6;
/** 256 MiB of values. */
const RECOVERED_RECORD_COUNT = 256 * 1024;
const RECOVERED_TOPIC = { name: "recovered", partitionCount: 6 };

interface MeasuredStart extends StartTime {
  readonly broker: BrokerKind["name"];
  readonly othersCores: number;
}

export const START_WORKLOADS: readonly Workload[] = [
  { name: "ready-empty", run: readyEmpty },
  { name: "ready-recovered", run: readyRecovered },
  { name: "idle", run: idle },
];

/** Starts on new data directories. The first start of each, from a cold page cache, does not count. */
async function readyEmpty(context: Context): Promise<Outcome> {
  const starts: MeasuredStart[] = [];
  for (let round = 0; round <= context.pairCount; round += 1) {
    const kinds = round > KAFKA_START_COUNT ? [context.chronik()] : [context.chronik(), kafka()];
    for (const kind of kinds) {
      const broker = await Broker.prepare(kind, join(context.directory, `empty-${kind.name}`));
      const start = await measuredStart(broker);
      await broker.kill();
      rmSync(broker.directory, { recursive: true, force: true });
      if (round > 0) starts.push(start);
    }
  }
  context.tell(describeStarts("ready-empty", starts));
  const title = "ready on an empty data directory";
  const target = { of: "value", atMost: READY_MS_MAX } as const;
  return { rows: startRows({ name: "ready-empty", title, target }, starts), runs: starts };
}

/** Produces once, kills, and starts again and again: each start is killed, so that each recovers everything. */
async function readyRecovered(context: Context): Promise<Outcome> {
  const starts: MeasuredStart[] = [];
  for (const [kind, count] of [
    [context.chronik(), context.pairCount] as const,
    [kafka(), KAFKA_START_COUNT] as const,
  ]) {
    const broker = await Broker.start(kind, join(context.directory, `recovered-${kind.name}`));
    try {
      starts.push(...(await recoveries(broker, { count, context })));
    } finally {
      await broker.kill();
      rmSync(broker.directory, { recursive: true, force: true });
    }
  }
  context.tell(describeStarts("ready-recovered", starts));
  const title = "ready after SIGKILL with 256 MiB to recover";
  const target = { of: "value", atMost: RECOVERED_MS_MAX } as const;
  return { rows: startRows({ name: "ready-recovered", title, target }, starts), runs: starts };
}

/** @throws if records are missing after a start */
async function recoveries(
  broker: Broker,
  { count, context }: { count: number; context: Context },
): Promise<readonly MeasuredStart[]> {
  const recordCount = scaled(RECOVERED_RECORD_COUNT, context);
  await createTopic(broker, RECOVERED_TOPIC);
  await produceWithJava({
    bootstrap: broker.bootstrap,
    topic: RECOVERED_TOPIC.name,
    recordCount,
    payload: { kind: "letters", recordBytes: 1024 },
    batchBytes: 128 * 1024,
  });
  const starts: MeasuredStart[] = [];
  while (starts.length < count) {
    await broker.kill();
    starts.push(await measuredStart(broker));
    const found = await recordCountOf(broker, RECOVERED_TOPIC);
    if (found !== recordCount) throw new Error(`${found} of ${recordCount} records recovered.`);
  }
  return starts;
}

/** Both rest side by side: neither does anything that would disturb the other. */
async function idle(context: Context): Promise<Outcome> {
  const brokers: Broker[] = [];
  try {
    for (const kind of [context.chronik(), kafka()]) {
      brokers.push(await Broker.start(kind, join(context.directory, `idle-${kind.name}`)));
    }
    const cpuBefore = brokers.map(({ pid }) => cpuSecondsOf(pid));
    await Bun.sleep(IDLE_MS);
    const runs = brokers.map((broker, index) => ({
      broker: broker.kind.name,
      megabytes: residentMemoryOf(broker.pid).nowBytes / MEGABYTE,
      coresPercent: ((cpuSecondsOf(broker.pid) - (cpuBefore[index] ?? 0)) * 100_000) / IDLE_MS,
    }));
    context.tell(`idle: ${runs.map((run) => `${run.broker} ${run.megabytes.toFixed(0)} MB`)}`);
    const row = (name: string, read: (run: (typeof runs)[number]) => number) => ({
      name: `idle/${name}`,
      ours: runs.slice(0, 1).map(read),
      kafka: runs.slice(1).map(read),
      othersCores: [],
    });
    const target = { of: "value", atMost: IDLE_MEGABYTES_MAX } as const;
    const memory = { ...row("rss", ({ megabytes }) => megabytes), title: "idle for 10 s: RSS" };
    const cpu = { ...row("cpu", (run) => run.coresPercent), title: "idle for 10 s: CPU" };
    return {
      rows: [
        { ...memory, unit: "MB", target },
        { ...cpu, unit: "% of a core" },
      ],
      runs,
    };
  } finally {
    for (const broker of brokers) {
      await broker.kill();
      rmSync(broker.directory, { recursive: true, force: true });
    }
  }
}

async function measuredStart(broker: Broker): Promise<MeasuredStart> {
  const watch = new UsageWatch();
  const start = await startAndAsk(broker);
  const { othersCores } = watch.stop(cpuSecondsOf(broker.pid));
  return { ...start, broker: broker.kind.name, othersCores };
}

function startRows(
  { name, title, target }: Pick<Row, "name" | "title"> & Required<Pick<Row, "target">>,
  starts: readonly MeasuredStart[],
): Row[] {
  const ours = starts.filter(({ broker }) => broker === "chronik");
  const kafkas = starts.filter(({ broker }) => broker === "kafka");
  const common = { unit: "ms", target, othersCores: starts.map((start) => start.othersCores) };
  return [
    {
      ...common,
      name: `${name}/answered`,
      title: `${title}: from exec to the first answered ApiVersions`,
      ours: ours.map(({ answeredMs }) => answeredMs),
      kafka: kafkas.map(({ answeredMs }) => answeredMs),
    },
    {
      ...common,
      name: `${name}/printed`,
      title: `${title}: as the broker prints it`,
      ours: ours.map(({ printedMs }) => printedMs ?? Number.NaN),
      kafka: [],
    },
  ];
}

function describeStarts(name: string, starts: readonly MeasuredStart[]): string {
  const texts = starts.map(({ broker, answeredMs, printedMs }) => {
    const printed = printedMs === undefined ? "" : ` (prints ${printedMs})`;
    return `${broker} ${answeredMs.toFixed(0)}${printed}`;
  });
  return `${name}: ${texts.join(", ")} ms`;
}
