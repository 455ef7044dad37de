/**
 * What a run of the bench leaves: a file of its own with every single measurement, and RESULTS.md, written anew from
 * all such files, with the newest result of each row.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_DIRECTORY } from "../conformance/paths.ts";
import type { Machine, Subject } from "./machine.ts";
import { describeTarget, isReached, type Row, ratioOf } from "./row.ts";
import { median } from "./statistics.ts";

export interface Failure {
  readonly workload: string;
  readonly error: string;
}

export interface BenchResults {
  readonly id: string;
  readonly command: string;
  readonly pairCount: number;
  readonly durationSeconds: number;
  /** 1-minute average before the first workload. */
  readonly loadAverage: number;
  readonly machine: Machine;
  readonly subject: Subject;
  readonly failures: readonly Failure[];
  readonly rows: readonly Row[];
  /** By workload. */
  readonly runs: Readonly<Record<string, readonly unknown[]>>;
}

const DIRECTORY = join(import.meta.dir, "results");
const HEAD = ["workload", "Chronik", "Kafka", "ratio", "target", "reached", "others", "run"];

/** `<date>-<n>`, the first that no file has. */
export function nextResultsId(): string {
  const date = new Date().toISOString().slice(0, 10);
  let index = 1;
  while (existsSync(fileOf(`${date}-${index}`))) index += 1;
  return `${date}-${index}`;
}

export function writeResults(results: BenchResults): void {
  mkdirSync(DIRECTORY, { recursive: true });
  writeFileSync(fileOf(results.id), jsonOf(results));
  const ids = readdirSync(DIRECTORY).map((name) => name.replace(/\.json$/, ""));
  const all = ids
    .toSorted(new Intl.Collator("en", { numeric: true }).compare)
    .map((id) => JSON.parse(readFileSync(fileOf(id), "utf8")) as BenchResults);
  writeFileSync(join(import.meta.dir, "RESULTS.md"), markdownOf(all));
}

/** Keeps the measurements of the last run, whatever it was, out of git's sight. */
export function writeLatest(results: BenchResults): void {
  writeFileSync(join(PROJECT_DIRECTORY, ".cache/bench/latest.json"), jsonOf(results));
}

/** For the terminal. */
export function terminalTable(rows: readonly Row[]): string {
  const lines = [HEAD.slice(0, -1), ...rows.map((row) => [row.name, ...cellsOf(row)])];
  const widths = HEAD.map((_, column) =>
    Math.max(...lines.map((cells) => cells[column]?.length ?? 0)),
  );
  return lines
    .map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .join("\n");
}

function jsonOf(results: BenchResults): string {
  return `${JSON.stringify(results, null, 1)}\n`;
}

function fileOf(id: string): string {
  return join(DIRECTORY, `${id}.json`);
}

function markdownOf(all: readonly BenchResults[]): string {
  const newest = new Map<string, { row: Row; id: string }>();
  for (const { id, rows } of all) for (const row of rows) newest.set(row.name, { row, id });
  const lines = [...newest.values()].map(({ row, id }) => [row.title, ...cellsOf(row), id]);
  const shown = all.filter(({ id }) => [...newest.values()].some((it) => it.id === id));
  const table = [HEAD, HEAD.map(() => "---"), ...lines];
  return `# Speed beside Apache Kafka 4.3.1

Written by \`npm run bench -- --write\`. Every pair of runs is Chronik, then Kafka, on the same machine with the same
client; acks=all, linger 5 ms. Chronik acknowledges after its sync; Kafka's default acknowledges from the page cache.
Chronik indexes for search while it is measured, as it does by default. A rate counts what a consumer reads back.

Cells are medians, with the smallest and largest in parentheses; *ratio* is the median of the pairs' ratios; *others*
is the median of the cores that anything but the broker and its client used meanwhile. MB is 10^6 bytes.

${table.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}

${shown.map(sectionOf).join("\n\n")}
`;
}

function sectionOf(results: BenchResults): string {
  const { id, command, pairCount, durationSeconds, machine, subject, failures } = results;
  const { cpu, coreCount, memoryGibibytes, kernel, java, bun, diskSyncMs } = machine;
  const executable = subject.executableSha256?.slice(0, 12) ?? "none: the source tree";
  const lines = [
    `## Run ${id}`,
    "",
    `- commit ${subject.commit}, executable ${executable}`,
    `- \`${command}\`: ${pairCount} pairs after one that does not count, ${Math.round(durationSeconds)} s in all`,
    `- ${coreCount} × ${cpu}, ${memoryGibibytes} GiB, Linux ${kernel}; a sync of 4 KiB takes ${diskSyncMs.toFixed(2)} ms`,
    `- Java ${java}, Bun ${bun}; load average before: ${results.loadAverage}`,
    ...failures.map(({ workload, error }) => `- **${workload} failed**: ${error.split("\n")[0]}`),
  ];
  return lines.join("\n");
}

/** Of `HEAD`, from `Chronik` to `others`. */
function cellsOf(row: Row): string[] {
  const { ours, kafka, othersCores } = row;
  const ratio = ratioOf(row);
  const reached = isReached(row);
  return [
    spreadOf(ours, row.unit),
    spreadOf(kafka, row.unit),
    ratio === undefined ? "" : `${ratio.toFixed(2)} ×`,
    describeTarget(row),
    reached === undefined ? "" : reached ? "yes" : "**no**",
    othersCores.length === 0 ? "" : median(othersCores).toFixed(2),
  ];
}

function spreadOf(values: readonly number[], unit: string): string {
  if (values.length === 0) return "–";
  const middle = `${format(median(values))} ${unit}`;
  if (values.length === 1) return middle;
  return `${middle} (${format(Math.min(...values))}–${format(Math.max(...values))})`;
}

/** Three digits that count. */
function format(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}
