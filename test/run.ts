/**
 * `npm test`: everything that must pass, in order, from the generated code to real clients against the compiled
 * file. A part that fails does not stop the next. The last line sums up all parts: `N passed, N failed`.
 *
 * With `CI=true` a skipped test is a failure, so that a green run hides nothing.
 */
const CI = Bun.env["CI"] === "true";
const PART_TIMEOUT_MS = 20 * 60_000;

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** How the runners name a failed test: `bun test`, `cargo test`, the clients' own. */
const FAILURE_LINE = /^(?:\(fail\) |failed |test .* FAILED$)/;
const FAILURES_SHOWN = 20;

interface Part {
  readonly name: string;
  readonly command: readonly string[];
  /** Counts in the output; without it the whole part counts as one. */
  readonly countsOf?: (output: string) => Counts;
}

/** Not named `.test.ts`: they need the executable, which the quick `bun test` does not build. */
const SMOKE_TESTS = ["executable", "start-errors", "bad-input"].map(
  (name) => `./test/smoke/${name}.ts`,
);

const PARTS: readonly Part[] = [
  { name: "generated code is fresh", command: ["bun", "src/protocol/generate.ts", "--check"] },
  { name: "types", command: ["tsc", "-p", "."] },
  { name: "style", command: ["biome", "ci", "--colors=off", "."] },
  { name: "promtool", command: ["bun", "test/promtool.ts"] },
  { name: "S3 server", command: ["bun", "test/object-store/install.ts"] },
  {
    name: "bun test",
    command: ["bun", "test", "--only-failures", "--timeout", "60000"],
    countsOf: bunCounts,
  },
  {
    name: "cargo test",
    command: [
      "cargo",
      "test",
      "--release",
      "--locked",
      "--lib",
      "--manifest-path",
      "ffi/Cargo.toml",
    ],
    countsOf: cargoCounts,
  },
  { name: "build", command: ["bun", "build.ts"] },
  {
    name: "the executable alone",
    command: ["bun", "test", "--only-failures", "--timeout", "60000", ...SMOKE_TESTS],
    countsOf: bunCounts,
  },
  { name: "real clients", command: ["bun", "test/conformance/run.ts"], countsOf: summaryCounts },
];

process.exitCode = await main();

async function main(): Promise<number> {
  const rows: string[] = [];
  const failureLines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const part of PARTS) {
    process.stdout.write(`\n── ${part.name}: ${part.command.join(" ")}\n`);
    const startMs = performance.now();
    const { counts, failures: named } = await run(part);
    failureLines.push(...named);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const failures = counts.failed + (CI ? counts.skipped : 0);
    rows.push(
      `${failures === 0 ? "ok    " : "FAILED"} ${part.name}: ${counts.passed} passed, ` +
        `${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s`,
    );
    passed += counts.passed;
    failed += failures;
  }
  const lines = [...failureLines.slice(0, FAILURES_SHOWN), ...rows];
  process.stdout.write(`\n${lines.join("\n")}\n${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/** Runs a part with its output shown. A part that breaks off has at least one failure. */
async function run({ command, countsOf }: Part): Promise<{ counts: Counts; failures: string[] }> {
  const merged = ["sh", "-c", 'exec "$@" 2>&1', "sh", ...command];
  const child = Bun.spawn(merged, { stdin: "ignore", stdout: "pipe", timeout: PART_TIMEOUT_MS });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const isDone = (await child.exited) === 0;
  const text = Bun.stripANSI(output);
  const failures = isDone ? [] : text.split("\n").filter((line) => FAILURE_LINE.test(line));
  return { counts: countsOfPart(isDone, countsOf?.(text)), failures };
}

function countsOfPart(isDone: boolean, counts: Counts | undefined): Counts {
  if (counts === undefined) return { passed: Number(isDone), failed: Number(!isDone), skipped: 0 };
  const isSilent = counts.passed + counts.failed + counts.skipped === 0;
  if (isDone ? isSilent : counts.failed === 0) return { ...counts, failed: 1 };
  return counts;
}

function bunCounts(output: string): Counts {
  const lastOf = (word: string): number =>
    Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
  return {
    passed: lastOf("pass"),
    failed: lastOf("fail") + lastOf("errors?"),
    skipped: lastOf("skip") + lastOf("todo"),
  };
}

function cargoCounts(output: string): Counts {
  return summed(
    output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm),
  );
}

/** The last line of a runner that ends as this one does. */
function summaryCounts(output: string): Counts {
  const lines = output.matchAll(/^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm);
  return summed([...lines].slice(-1));
}

function summed(matches: Iterable<RegExpMatchArray>): Counts {
  let [passed, failed, skipped] = [0, 0, 0];
  for (const match of matches) {
    passed += Number(match[1]);
    failed += Number(match[2]);
    skipped += Number(match[3] ?? 0);
  }
  return { passed, failed, skipped };
}
