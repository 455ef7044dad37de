/**
 * Measures Chronik (`dist/chronik-server`) beside Apache Kafka 4.3.1 on this machine.
 *
 *   bun test/bench/run.ts [--pairs N] [--only REGEX] [--scale F] [--write] [--source] [--flag F]... [--keep DIR]
 *     [--list]
 *
 * `--pairs` measured pairs per workload (default 5); `--only` workloads whose names match; `--scale` a factor on
 * record counts and durations, for trying the bench itself; `--write` keeps the results: a file in `results/` and
 * RESULTS.md; `--source` runs the source tree; `--flag=--log-level=warn` hands a flag to Chronik; `--keep` is where
 * data that takes long to load stays for the next run. Every measurement of the last run is in
 * `.cache/bench/latest.json`. A machine with nothing else to do needs one to two hours for all, half of an hour without
 * `history`, `ten-minutes` and `-10m`. Not to be run under `nice`: threads of lowered priority are told apart. Exit
 * code 1 if a workload failed; a target that was missed is a result, not a failure.
 */
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { COMPILED_FILE, chronik } from "../conformance/broker-kinds.ts";
import { PROJECT_DIRECTORY } from "../conformance/paths.ts";
import { describeSkipped, setUp } from "../conformance/setup.ts";
import { AGGREGATE_10M } from "./aggregate-workload.ts";
import { COLD_QUERY } from "./cold-query.ts";
import { COMPACTION } from "./compaction.ts";
import { FRESHNESS } from "./freshness.ts";
import { INDEX_RATE } from "./index-rate.ts";
import { describeMachine, describeSubject } from "./machine.ts";
import { MANY_TOPICS } from "./many-topics.ts";
import { MEMORY_WORKLOADS } from "./memory-workloads.ts";
import { PAIR_WORKLOADS } from "./pair-workloads.ts";
import { loadAverage } from "./process-usage.ts";
import { PRODUCE_LATENCY } from "./produce-latency.ts";
import { QUERY_10M } from "./query-workload.ts";
import {
  type BenchResults,
  nextResultsId,
  terminalTable,
  writeLatest,
  writeResults,
} from "./results.ts";
import { SEGMENT_INDEX } from "./segment-index.ts";
import { SEGMENT_WORKLOADS } from "./segment-workloads.ts";
import { START_WORKLOADS } from "./start-workloads.ts";
import { TEN_MINUTES } from "./ten-minutes.ts";
import type { Context, Outcome, Workload } from "./workload.ts";

/** Fewer pairs say too little to be kept. */
const PAIRS_TO_KEEP = 5;

const WORKLOADS: readonly Workload[] = [
  ...START_WORKLOADS,
  ...PAIR_WORKLOADS,
  FRESHNESS,
  INDEX_RATE,
  PRODUCE_LATENCY,
  COLD_QUERY,
  QUERY_10M,
  AGGREGATE_10M,
  TEN_MINUTES,
  ...MEMORY_WORKLOADS,
  MANY_TOPICS,
  SEGMENT_INDEX,
  COMPACTION,
  ...SEGMENT_WORKLOADS,
];

const { values: options } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    pairs: { type: "string", default: String(PAIRS_TO_KEEP) },
    only: { type: "string", default: "" },
    scale: { type: "string", default: "1" },
    write: { type: "boolean", default: false },
    source: { type: "boolean", default: false },
    flag: { type: "string", multiple: true, default: [] },
    keep: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

const pairCount = Number(options.pairs);
const scale = Number(options.scale);
const directory = join(PROJECT_DIRECTORY, `.cache/bench/${process.pid}`);

const context: Context = {
  pairCount,
  scale,
  directory,
  keep: options.keep && resolve(options.keep),
  chronik: (...flags) => chronik({ source: options.source, flags: [...options.flag, ...flags] }),
  tell,
};

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
process.exit(await main());

async function main(): Promise<number> {
  const chosen = WORKLOADS.filter(({ name }) => new RegExp(options.only).test(name));
  const mistake = mistakeIn(chosen);
  if (mistake !== undefined) {
    process.stderr.write(`bench: ${mistake}\n`);
    return 2;
  }
  if (options.list) {
    tell(chosen.map(({ name }) => name).join("\n"));
    return 0;
  }
  const { skipped } = await setUp(["java", "python"]);
  if (skipped.size > 0) throw new Error(`The bench needs ${describeSkipped(skipped)}.`);
  try {
    const results = await measure(chosen);
    tell(terminalTable(results.rows));
    for (const { workload, error } of results.failures) tell(`${workload} failed: ${error}`);
    writeLatest(results);
    if (options.write) writeResults(results);
    tell(`${results.rows.length} rows, ${results.failures.length} workloads failed`);
    return results.failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What is wrong with the command line, if anything. */
function mistakeIn(chosen: readonly Workload[]): string | undefined {
  if (!Number.isInteger(pairCount) || pairCount < 1) return "--pairs is a number from 1.";
  if (!(scale > 0)) return "--scale is a number above 0.";
  if (chosen.length === 0) return `no workload matches ${options.only}; --list shows them.`;
  if (!options.write) return undefined;
  const isChanged = options.source || options.flag.length > 0;
  if (scale === 1 && pairCount >= PAIRS_TO_KEEP && !isChanged) return undefined;
  return (
    "--write keeps only runs of the executable with its own defaults, at scale 1, " +
    `of ${PAIRS_TO_KEEP} pairs or more.`
  );
}

async function measure(chosen: readonly Workload[]): Promise<BenchResults> {
  const startedMs = performance.now();
  const load = loadAverage();
  const machine = describeMachine(directory);
  const subject = await describeSubject(options.source ? undefined : COMPILED_FILE);
  const outcomes = new Map<string, Outcome>();
  const failures: { workload: string; error: string }[] = [];
  for (const { name, run } of chosen) {
    const workloadStartedMs = performance.now();
    try {
      outcomes.set(name, await run(context));
    } catch (error) {
      failures.push({ workload: name, error: String(error) });
      tell(`${name} failed: ${String(error)}`);
    }
    tell(`${name}: ${((performance.now() - workloadStartedMs) / 1000).toFixed(0)} s`);
  }
  const args = Bun.argv.slice(2).join(" ");
  return {
    id: nextResultsId(),
    command: `npm run bench -- ${args}`,
    pairCount,
    durationSeconds: (performance.now() - startedMs) / 1000,
    loadAverage: load,
    machine,
    subject,
    failures,
    rows: [...outcomes.values()].flatMap(({ rows }) => rows),
    runs: Object.fromEntries([...outcomes].map(([name, { runs }]) => [name, runs])),
  };
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
