/** Apache Kafka's own test of compaction: what it consumes after a while agrees with what it produced. */
import type { Bench, Scenario } from "../scenario.ts";
import { expectTrue } from "../verify.ts";

const TESTER = "org.apache.kafka.tools.LogCompactionTester";
/**
 * In seconds, whatever the tool's help says. Long enough for the segments to be sealed, indexed and compacted; Apache
 * Kafka leaves its newest segment alone.
 */
const SLEEP_SECONDS = 12;
const RUNS = [
  ["--messages", "20000", "--duplicates", "10"],
  ["--messages", "10000", "--percent-deletes", "20", "--topics", "2", "--compression-type", "lz4"],
];

export const logCompaction: Scenario = {
  name: "log-compaction",
  title: "LogCompactionTester, with deletes and compression",
  run: async (bench) => {
    const reductions: string[] = [];
    for (const args of RUNS) reductions.push(await reductionOf(bench, args));
    return `${reductions.join(", ")} fewer rows`;
  },
};

async function reductionOf(bench: Bench, args: readonly string[]): Promise<string> {
  const where = ["--bootstrap-server", bench.broker.bootstrap, "--sleep", String(SLEEP_SECONDS)];
  const result = await bench.agent.run("tool", {
    class: TESTER,
    args: [...where, ...args],
    input: "",
  });
  const printed = String(result["out"]);
  expectTrue(result["code"] === 0, `the tester's exit code: ${printed}${result["err"]}`);
  expectTrue(/Validated [1-9]\d* values, 0 mismatches/.test(printed), `what it found: ${printed}`);
  const percent = /\(([\d.,]+)% reduction\)/.exec(printed)?.[1] ?? "no";
  const hasShrunk = /[1-9]/.test(percent);
  expectTrue(hasShrunk || bench.broker.kind.name === "kafka", `rows that are gone: ${printed}`);
  return `${percent} %`;
}
