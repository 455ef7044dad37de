/**
 * Memory under load: log lines are produced as fast as they go, read back and searched at the same time, with
 * indexing on; once with the default limit and once with `--memory-max 256M`. It holds if the broker lives, every
 * record is read back and found, and no search fails.
 */
import { join } from "node:path";
import { Broker } from "../conformance/broker.ts";
import { runToEnd } from "./child.ts";
import { COMMON_WORD, logLinesPayload } from "./log-lines.ts";
import { consumeWithJava, produceWithJava } from "./perf-tools.ts";
import { residentMemoryOf, UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { indexedAll, search } from "./searches.ts";
import { percentile } from "./statistics.ts";
import { createTopic, recordCountOf } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const TOPIC = { name: "memory", partitionCount: 6 };
const RECORD_COUNT = 100_000;
const BATCH_BYTES = 128 * 1024;
const SEARCH_PAUSE_MS = 100;
const MEGABYTE = 1e6;
const REMOVE_TIMEOUT_MS = 60_000;

export const MEMORY_WORKLOADS: readonly Workload[] = [
  memoryWorkload({ name: "memory-default", title: "default limit", flags: [], megabytesMax: 400 }),
  memoryWorkload({
    name: "memory-256m",
    title: "--memory-max 256M",
    flags: ["--memory-max", "256M"],
    megabytesMax: (256 * 2 ** 20) / MEGABYTE,
  }),
];

interface MemoryCase {
  readonly name: string;
  readonly title: string;
  readonly flags: readonly string[];
  readonly megabytesMax: number;
}

function memoryWorkload(memoryCase: MemoryCase): Workload {
  const { name, title, flags, megabytesMax } = memoryCase;
  const run = async (context: Context): Promise<Outcome> => {
    const directory = join(context.directory, name);
    const broker = await Broker.start(context.chronik(...flags), directory);
    try {
      const load = await loadFully(broker, context);
      const row = { ours: [load.peakMegabytes], kafka: [], othersCores: [load.othersCores] };
      const what = "JSON log lines of 1 KiB produced, consumed and searched at once";
      const rows: Row[] = [
        {
          ...row,
          name: `${name}/peak-rss`,
          title: `${what}, ${title}: peak RSS`,
          unit: "MB",
          target: { of: "value", atMost: megabytesMax },
        },
        {
          ...row,
          name: `${name}/search`,
          title: `${what}, ${title}: p99 of a search`,
          unit: "ms",
          ours: [load.searchMsP99],
        },
      ];
      context.tell(`${name}: peak RSS ${load.peakMegabytes.toFixed(0)} MB`);
      return { rows, runs: [load] };
    } finally {
      await broker.kill();
      await runToEnd(["rm", "-rf", directory], { timeoutMs: REMOVE_TIMEOUT_MS });
    }
  };
  return { name, run };
}

/** @throws if a record is lost or not found, or a search fails */
async function loadFully(broker: Broker, context: Context) {
  const recordCount = scaled(RECORD_COUNT, context);
  const payload = logLinesPayload(context.directory);
  await createTopic(broker, TOPIC);
  const watch = new UsageWatch(broker.pid);
  const stopSearching = searchRepeatedly(broker);
  const to = { bootstrap: broker.bootstrap, topic: TOPIC.name, recordCount };
  const [produced, consumed] = await Promise.all([
    produceWithJava({ ...to, payload, batchBytes: BATCH_BYTES }),
    consumeWithJava({ ...to, group: "memory" }),
  ]).finally(stopSearching);
  const { othersCores } = watch.stop(produced.clientCpuSeconds + consumed.clientCpuSeconds);
  await indexedAll(broker);
  const found = await search(broker, { topic: TOPIC.name, body: commonWordBody(1) });
  const counts = {
    sent: recordCount,
    endOffsets: await recordCountOf(broker, TOPIC),
    readBack: consumed.recordCount,
    found: found.hits.total.value,
  };
  if (Object.values(counts).some((count) => count !== recordCount)) {
    throw new Error(`Records are missing: ${JSON.stringify(counts)}`);
  }
  const { searchMs } = await stopSearching();
  return {
    produced,
    consumed,
    othersCores,
    searchCount: searchMs.length,
    searchMsP99: percentile(searchMs, 0.99),
    peakMegabytes: residentMemoryOf(broker.pid).peakBytes / MEGABYTE,
  };
}

/** Searches until the returned function is called; that tells each search's time, or throws what a search threw. */
function searchRepeatedly(broker: Broker): () => Promise<{ readonly searchMs: readonly number[] }> {
  const searchMs: number[] = [];
  let isStopped = false;
  const searching = (async () => {
    while (!isStopped) {
      const startedMs = performance.now();
      await search(broker, { topic: TOPIC.name, body: commonWordBody(10) });
      searchMs.push(performance.now() - startedMs);
      await Bun.sleep(SEARCH_PAUSE_MS);
    }
  })();
  searching.catch(() => undefined); // Told by the returned function.
  return async () => {
    isStopped = true;
    await searching;
    return { searchMs };
  };
}

function commonWordBody(size: number) {
  return { query: { match: { _value: COMMON_WORD } }, size, sort: [{ _timestamp: "desc" }] };
}
