/** The table client × scenario of each broker: kept as JSON beside RESULTS.md, which is written from it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLIENTS } from "./clients.ts";

export type Verdict = "passed" | "failed" | "not applicable";

export interface Outcome {
  readonly client: string;
  readonly scenario: string;
  readonly verdict: Verdict;
  /** The failure, or a remark. */
  readonly text: string;
  readonly durationMs: number;
}

export interface RunResults {
  readonly broker: string;
  readonly date: string;
  readonly commit: string;
  readonly durationSeconds: number;
  /** In the order of the table. */
  readonly scenarios: readonly { readonly name: string; readonly title: string }[];
  readonly outcomes: readonly Outcome[];
}

const DIRECTORY = import.meta.dir;
const BROKERS = ["chronik", "kafka"] as const;
const SIGNS: Record<Verdict, string> = { passed: "✓", failed: "✗", "not applicable": "–" };

/** Keeps this run's results and writes RESULTS.md anew from what is kept of both brokers. */
export function writeResults(results: RunResults, broker: (typeof BROKERS)[number]): void {
  mkdirSync(join(DIRECTORY, "results"), { recursive: true });
  writeFileSync(fileOf(broker), `${JSON.stringify(results, null, 2)}\n`);
  const kept = BROKERS.filter((name) => existsSync(fileOf(name))).map(
    (name) => JSON.parse(readFileSync(fileOf(name), "utf8")) as RunResults,
  );
  writeFileSync(join(DIRECTORY, "RESULTS.md"), markdownOf(kept));
}

/** A line per scenario, a column per client, for the terminal. */
export function terminalTable({ scenarios, outcomes }: RunResults): string {
  const width = Math.max(...scenarios.map(({ name }) => name.length)) + 2;
  const columns = CLIENTS.map(({ name }) => ({ name, width: name.length + 2 }));
  const head = " ".repeat(width) + columns.map((it) => it.name.padEnd(it.width)).join("");
  const rows = scenarios.map(({ name }) => {
    const cells = columns.map((column) => signOf(outcomes, column.name, name).padEnd(column.width));
    return name.padEnd(width) + cells.join("");
  });
  return [head, ...rows].join("\n");
}

function fileOf(broker: string): string {
  return join(DIRECTORY, `results/${broker}.json`);
}

function markdownOf(kept: readonly RunResults[]): string {
  const clients = CLIENTS.map(({ title, note }) => `- ${title}${note ? `: ${note}` : ""}`).join(
    "\n",
  );
  const sections = kept.map(sectionOf).join("\n");
  return `# Real clients

Written by \`npm run conformance -- --write-results\` (Chronik) and \`npm run conformance -- --peer --write-results\`
(Apache Kafka). ✓ passed, ✗ failed, – does not apply. Every record is compared with what was sent, field by field,
at the offset that the broker acknowledged.

${clients}

${sections}`;
}

function sectionOf(results: RunResults): string {
  const { broker, date, commit, durationSeconds, scenarios, outcomes } = results;
  const head = `| scenario | ${CLIENTS.map(({ name }) => name).join(" | ")} |`;
  const rule = `|---|${CLIENTS.map(() => "---").join("|")}|`;
  const rows = scenarios.map(({ name, title }) => {
    const cells = CLIENTS.map((client) => signOf(outcomes, client.name, name));
    return `| **${name}** ${title} | ${cells.join(" | ")} |`;
  });
  const remarks = outcomes
    .filter(({ text, verdict }) => text && verdict !== "not applicable")
    .map(({ client, scenario, text }) => `- ${client}/${scenario}: ${text.split("\n")[0]}`);
  return [
    `## ${broker}`,
    "",
    `${date}, commit ${commit}, ${Math.round(durationSeconds)} s in all.`,
    "",
    ...[head, rule, ...rows],
    "",
    ...(remarks.length > 0 ? ["Remarks:", "", ...remarks, ""] : []),
  ].join("\n");
}

function signOf(outcomes: readonly Outcome[], client: string, scenario: string): string {
  const outcome = outcomes.find((it) => it.client === client && it.scenario === scenario);
  return outcome ? SIGNS[outcome.verdict] : "";
}
