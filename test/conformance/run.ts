/**
 * Runs every client against a broker: Chronik (the compiled file), or its peer Apache Kafka.
 *
 *   bun test/conformance/run.ts [--peer] [--source] [--only CLIENT/SCENARIO]... [--write-results] [--verbose]
 *
 * `--peer` runs Apache Kafka 4.3.1, `--source` the source tree instead of `dist/chronik-server`. `--only java`,
 * `--only java/groups` and `--only /groups` choose; it may be repeated. Prints a table and ends with `N passed,
 * N failed`, and how many clients were skipped for want of their toolchain; exit code 1 if any failed. Logs stay in
 * `.cache/conformance/run-<broker>/`.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Broker, type BrokerKind } from "./broker.ts";
import { chronik, kafka } from "./broker-kinds.ts";
import { CLIENTS, type Client } from "./clients.ts";
import { withLock } from "./lock.ts";
import { LossyProxy } from "./lossy-proxy.ts";
import { CACHE_DIRECTORY, PROJECT_DIRECTORY } from "./paths.ts";
import { type Outcome, type RunResults, terminalTable, writeResults } from "./results.ts";
import { Bench, NotApplicable, type Scenario } from "./scenario.ts";
import { admin } from "./scenarios/admin.ts";
import { consoleTools } from "./scenarios/console-tools.ts";
import { groups } from "./scenarios/groups.ts";
import { idempotence } from "./scenarios/idempotence.ts";
import { kill } from "./scenarios/kill.ts";
import { logCompaction } from "./scenarios/log-compaction.ts";
import { readingAfterKills, readingOthers } from "./scenarios/reading-others.ts";
import { recordScenarios } from "./scenarios/records.ts";
import { search } from "./scenarios/search.ts";
import { describeSkipped, setUp, type Toolchain } from "./setup.ts";

const SCENARIO_LIMIT_MS = 150_000;
/** Scenarios that only one client has. */
const ONLY_FOR: Readonly<Record<string, string>> = {
  "reading-after-kills": "java",
  "console-tools": "java",
  "log-compaction": "java",
  search: "kafka-python",
};

const { values: options } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    peer: { type: "boolean", default: false },
    source: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    "write-results": { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

const directory = join(CACHE_DIRECTORY, `run-${options.peer ? "kafka" : "chronik"}`);
const outcomes: Outcome[] = [];

/**
 * A killed broker's session must end before Kafka lets the new one in: 9 s by default. Much shorter, and a busy
 * machine fences a broker that lives.
 */
const QUICK_SESSION = ["broker.session.timeout.ms=5000", "broker.heartbeat.interval.ms=500"];

/** Records move to segments while the clients read them. */
const QUICK_SEALING = ["--wal-indexing-interval-secs", "1"];
/** And compacted ones are compacted meanwhile. */
const QUICK_COMPACTION = ["--log-cleaner-backoff-ms", "500"];

function brokerKind(advertised?: LossyProxy): BrokerKind {
  if (!options.peer) {
    const advertising = advertised ? ["--advertised-addr", advertised.bootstrap] : [];
    return chronik({
      source: options.source,
      flags: [...QUICK_SEALING, ...QUICK_COMPACTION, ...advertising],
    });
  }
  const advertisedPort = advertised ? { advertisedPort: advertised.port } : {};
  return kafka({ heap: "512M", properties: QUICK_SESSION, ...advertisedPort });
}

/** Runs those scenarios of one phase that were chosen, for one client. */
async function runScenarios(bench: Bench, scenarios: readonly Scenario[]): Promise<void> {
  for (const scenario of scenarios) {
    if (!isChosen(bench.client, scenario)) continue;
    const startedMs = performance.now();
    let verdict: Outcome["verdict"] = "passed";
    let text = "";
    try {
      text = (await withinLimit(scenario.run(bench))) ?? "";
    } catch (error) {
      verdict = error instanceof NotApplicable ? "not applicable" : "failed";
      text = error instanceof Error ? error.message : String(error);
    }
    const durationMs = Math.round(performance.now() - startedMs);
    if (verdict === "failed") await bench.end(); // What it left running must not disturb the next.
    const names = { client: bench.client.name, scenario: scenario.name };
    outcomes.push({ ...names, verdict, text, durationMs });
    const line = `${verdict} ${names.client}/${names.scenario} ${durationMs} ms ${text}\n`;
    if (options.verbose || verdict === "failed") process.stdout.write(line);
  }
}

/** A client that hangs is a failure of its scenario, not of the run. */
async function withinLimit<Result>(work: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("took too long")), SCENARIO_LIMIT_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function isChosen(client: Client, scenario: Scenario): boolean {
  const only = ONLY_FOR[scenario.name];
  if (only !== undefined && only !== client.name) return false;
  if (options.only.length === 0) return true;
  return options.only.some((choice) => {
    const [clientName = "", scenarioName = ""] = choice.split("/");
    const isClient = clientName === "" || clientName === client.name;
    return isClient && (scenarioName === "" || scenarioName === scenario.name);
  });
}

/** One broker for most scenarios, killed several times in the last of them. */
async function runMainPhase(clients: readonly Client[]): Promise<void> {
  const broker = await Broker.start(brokerKind(), join(directory, "broker"));
  const benches = clients.map((client) => new Bench({ client, broker, directory }));
  const quiet = [...recordScenarios, groups, admin, consoleTools, logCompaction, search];
  try {
    for (const bench of benches) await runScenarios(bench, quiet);
    for (const bench of benches) await runScenarios(bench, [readingOthers]);
    for (const bench of benches) await runScenarios(bench, [kill]);
    for (const bench of benches) await runScenarios(bench, [readingAfterKills]);
  } finally {
    for (const bench of benches) await bench.end();
    await broker.stop();
  }
}

/** A second broker behind a proxy, whose address it gives as its own. */
async function runProxyPhase(clients: readonly Client[]): Promise<void> {
  const idempotenceScenario = idempotence(() => proxy);
  if (!clients.some((client) => isChosen(client, idempotenceScenario))) return;
  let targetPort = 0;
  const proxy = await LossyProxy.start(() => targetPort);
  const broker = await Broker.prepare(brokerKind(proxy), join(directory, "proxied-broker"));
  targetPort = broker.addresses.kafkaPort;
  await broker.start();
  const { bootstrap } = proxy;
  try {
    for (const client of clients) {
      const bench = new Bench({ client, broker, directory, bootstrap });
      await runScenarios(bench, [idempotenceScenario]);
      await bench.end();
    }
  } finally {
    proxy.stop();
    await broker.stop();
  }
}

/** The results of this run, scenarios in the order of their first outcome. */
function resultsOf(startedMs: number): RunResults {
  const scenarios = [
    ...[...recordScenarios, readingOthers, groups, idempotence(noProxy), admin, consoleTools],
    ...[logCompaction, kill, readingAfterKills, search],
  ];
  const ran = scenarios.filter(({ name }) => outcomes.some((it) => it.scenario === name));
  const git = ["git", "rev-parse", "--short", "HEAD"];
  return {
    broker: options.peer ? "Apache Kafka 4.3.1" : "Chronik",
    date: new Date().toISOString().slice(0, 10),
    commit: Bun.spawnSync(git, { cwd: PROJECT_DIRECTORY }).stdout.toString().trim(),
    durationSeconds: (performance.now() - startedMs) / 1000,
    scenarios: ran.map(({ name, title }) => ({ name, title })),
    outcomes,
  };
}

function noProxy(): LossyProxy {
  throw new Error("This scenario was made for its name alone.");
}

async function main(): Promise<number> {
  const startedMs = performance.now();
  const toolchains = new Set<Toolchain>(CLIENTS.map(({ toolchain }) => toolchain));
  if (options.peer) toolchains.add("java");
  const { ready, skipped } = await setUp([...toolchains]);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const clients = CLIENTS.filter(({ toolchain }) => ready.has(toolchain));
  await runMainPhase(clients);
  await runProxyPhase(clients);
  const results = resultsOf(startedMs);
  if (options["write-results"]) writeResults(results, options.peer ? "kafka" : "chronik");
  const failedCount = outcomes.filter(({ verdict }) => verdict === "failed").length;
  const passedCount = outcomes.filter(({ verdict }) => verdict === "passed").length;
  const skippedCount = CLIENTS.length - clients.length;
  const skippedPart = skippedCount > 0 ? `, ${skippedCount} skipped` : "";
  const lines = [
    `${results.broker}: ${Math.round(results.durationSeconds)} s`,
    terminalTable(results),
    skipped.size > 0 ? `skipped: ${describeSkipped(skipped)}` : "",
    `${passedCount} passed, ${failedCount} failed${skippedPart}`,
  ];
  process.stdout.write(`${lines.filter(Boolean).join("\n")}\n`);
  return failedCount > 0 || passedCount === 0 ? 1 : 0;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
mkdirSync(CACHE_DIRECTORY, { recursive: true });
process.exit(await withLock(`${directory}.lock`, main));
