/** What it costs and brings that records move from the WAL to segments. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Broker } from "../conformance/broker.ts";
import { isSealed, type MetricValues, metric, metricsOf, whenMetrics } from "./broker-state.ts";
import { consumeWithJava, produceWithJava } from "./perf-tools.ts";
import { residentMemoryOf } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { startAndAsk } from "./start-time.ts";
import { createTopic, recordCountOf } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const RECORD_BYTES = 1024;
/** 512 MiB of values. */
const CATCH_UP_RECORD_COUNT = 512 * 1024;
/** 10 GiB of values, produced a GiB at a time. */
const HISTORY_RECORD_COUNT = 10 * 1024 * 1024;
const HISTORY_PART_COUNT = 1024 * 1024;
const HISTORY_READY_MS_MAX = 2000;
const TOPIC = { name: "sealed", partitionCount: 6 };
/** One WAL file takes all of it, and no interval ends: nothing is sealed. */
const UNSEALED_FLAGS = ["--wal-file-bytes=1G", "--wal-indexing-interval-secs=86400"];
const SEALED_FLAGS = ["--wal-indexing-interval-secs=1"];
const SEALED_MS_MAX = 300_000;
const MEGABYTE = 1e6;

export const SEGMENT_WORKLOADS: readonly Workload[] = [
  { name: "catch-up", run: catchUp },
  { name: "history", run: history },
];

interface CatchUpRun {
  readonly mebibytesPerSecond: number;
  readonly peakBytes: number;
  readonly writtenBytesPerByte: number;
}

/** Consumes a topic whose records are all in segments, and one whose records are all in the WAL, in turn. */
async function catchUp(context: Context): Promise<Outcome> {
  const sealed: CatchUpRun[] = [];
  const unsealed: CatchUpRun[] = [];
  for (let round = 0; round <= context.pairCount; round += 1) {
    const fromSegments = await consumeOnce(context, SEALED_FLAGS, true);
    const fromWal = await consumeOnce(context, UNSEALED_FLAGS, false);
    if (round === 0) continue;
    sealed.push(fromSegments);
    unsealed.push(fromWal);
    const [ours, tail] = [fromSegments, fromWal].map((run) => run.mebibytesPerSecond.toFixed(0));
    context.tell(`catch-up ${round}: ${ours} MiB/s from segments, ${tail} from the WAL`);
  }
  const row = (name: string, title: string, ours: readonly number[]) => ({
    name: `catch-up/${name}`,
    title: `512 MiB in segments: ${title}`,
    ours,
    kafka: [],
    othersCores: [],
  });
  const ratios = sealed.map(
    (run, index) => run.mebibytesPerSecond / (unsealed[index]?.mebibytesPerSecond ?? Number.NaN),
  );
  const rates = sealed.map((run) => run.mebibytesPerSecond);
  const rows: Row[] = [
    {
      ...row("ratio", "consume, compared with the same records in the WAL", ratios),
      unit: "×",
      target: { of: "value", atLeast: 0.8 },
    },
    { ...row("consume", "consume", rates), unit: "MiB/s" },
    {
      ...row("rss", "peak RSS, producing and consuming", megabytesOf(sealed)),
      unit: "MB",
      target: { of: "value", atMost: 300 },
    },
    {
      ...row(
        "written",
        "bytes written to disk per byte produced, until all is in segments",
        sealed.map((run) => run.writtenBytesPerByte),
      ),
      unit: "×",
    },
  ];
  return { rows, runs: [...sealed, ...unsealed] };
}

function megabytesOf(runs: readonly CatchUpRun[]): number[] {
  return runs.map(({ peakBytes }) => peakBytes / MEGABYTE);
}

async function consumeOnce(
  context: Context,
  flags: readonly string[],
  isSealed: boolean,
): Promise<CatchUpRun> {
  const recordCount = scaled(CATCH_UP_RECORD_COUNT, context);
  const broker = await Broker.start(context.chronik(...flags), join(context.directory, "catch-up"));
  try {
    await createTopic(broker, TOPIC);
    await produce(broker, recordCount);
    if (isSealed) await whenSealed(broker, recordCount);
    const writtenBytesPerByte = writtenBytesOf(broker.pid) / (recordCount * RECORD_BYTES);
    const order = { bootstrap: broker.bootstrap, topic: TOPIC.name, group: "reader", recordCount };
    const { mebibytes, seconds, recordCount: read } = await consumeWithJava(order);
    if (read < recordCount) throw new Error(`${read} of ${recordCount} records were read back.`);
    const { peakBytes } = residentMemoryOf(broker.pid);
    return { mebibytesPerSecond: mebibytes / seconds, peakBytes, writtenBytesPerByte };
  } finally {
    await broker.kill();
    rmSync(broker.directory, { recursive: true, force: true });
  }
}

/** Starts after SIGKILL on a long history, of which the search index has some to catch up with. */
async function history(context: Context): Promise<Outcome> {
  const recordCount = scaled(HISTORY_RECORD_COUNT, context);
  const broker = await Broker.start(context.chronik(), join(context.directory, "history"));
  const startsMs: number[] = [];
  const walMegabytes: number[] = [];
  try {
    await createTopic(broker, TOPIC);
    for (let done = 0; done < recordCount; done += HISTORY_PART_COUNT) {
      await produce(broker, Math.min(HISTORY_PART_COUNT, recordCount - done));
    }
    // But for what is still in the WAL's last file.
    await whenSealed(broker, recordCount * 0.98);
    while (startsMs.length < context.pairCount) {
      const values = await metricsOf(broker);
      walMegabytes.push(metric(values, "chronik_wal_size_bytes") / MEGABYTE);
      await broker.kill();
      startsMs.push((await startAndAsk(broker)).answeredMs);
      const found = await recordCountOf(broker, TOPIC);
      if (found !== recordCount) throw new Error(`${found} of ${recordCount} records are there.`);
    }
  } finally {
    await broker.kill();
    rmSync(broker.directory, { recursive: true, force: true });
  }
  context.tell(`history: ready after ${startsMs.map((ms) => ms.toFixed(0)).join(", ")} ms`);
  const row = (name: string, title: string, unit: string, ours: readonly number[]): Row => ({
    name: `history/${name}`,
    title: `after SIGKILL with 10 GiB of history: ${title}`,
    unit,
    ours,
    kafka: [],
    othersCores: [],
  });
  const rows: Row[] = [
    {
      ...row("ready", "from exec to the first answered ApiVersions", "ms", startsMs),
      target: { of: "value", atMost: HISTORY_READY_MS_MAX },
    },
    row("wal", "WAL on disk, with what the search index still needs", "MB", walMegabytes),
  ];
  return { rows, runs: [{ startsMs, walMegabytes }] };
}

async function produce(broker: Broker, recordCount: number): Promise<void> {
  await produceWithJava({
    bootstrap: broker.bootstrap,
    topic: TOPIC.name,
    recordCount,
    payload: { kind: "letters", recordBytes: RECORD_BYTES },
    batchBytes: 128 * 1024,
  });
}

/** Resolves when segments hold this many records' values. */
async function whenSealed(broker: Broker, recordCount: number): Promise<void> {
  const holds = (values: MetricValues) => isSealed(values, recordCount * RECORD_BYTES);
  await whenMetrics(broker, { holds, timeoutMs: SEALED_MS_MAX });
}

/** What the process had the disk write, by proc(5). */
function writtenBytesOf(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
