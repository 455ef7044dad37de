/** Checks on the source text itself: layering, single gateways, headers, sizes, unfinished marks, dead code. */
import { expect, test } from "bun:test";
import { Glob } from "bun";

/** Imports may only point to a lower rank. Folders of equal rank may not import each other. */
const RANK: Readonly<Record<string, number>> = {
  core: 0,
  "version.ts": 0,
  protocol: 1,
  wal: 2,
  log: 3,
  meta: 3,
  segment: 4,
  coordinator: 5,
  search: 5,
  security: 5,
  api: 6,
  http: 6,
  network: 7,
  config: 8,
  "config.ts": 9,
  "broker.ts": 11,
  cli: 12,
  "main.ts": 13,
};
const RANK_BROKER_PARTS = 10; // `src/broker-*.ts`

/** Each outside thing has exactly one gateway file, so that a test can replace it. */
const GATEWAYS: readonly (readonly [pattern: RegExp, owners: readonly string[]])[] = [
  [/from "(node:)?fs\b/, ["core/disk.ts", "core/blocking-disk.ts", "core/native.ts"]],
  [/\bBun\.(file|write)\(/, ["core/disk.ts", "core/native.ts"]],
  [/from "bun:ffi"/, ["core/native.ts"]],
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bBun\.nanoseconds\(/, ["core/clock.ts"]],
  [/\bMath\.random\(|\brandomUUID\(|\bgetRandomValues\(|\brandomBytes\(/, ["core/clock.ts"]],
  [/\bset(Timeout|Interval)\(|\bBun\.sleep/, ["core/clock.ts"]],
  [/\b(process|Bun)\.env\b|\bprocess\.(exit|argv)\b/, ["main.ts"]],
  [
    /\bBun\.(listen|connect)\(|from "node:(net|tls)"/,
    ["network/listener.ts", "http/server.ts", "cli/kafka-connection.ts"],
  ],
  [/\bBun\.serve\(|from "node:https?"/, ["http/server.ts"]],
];

/** The generator is a tool that people run; it is not part of the broker. */
const TOOL = /^protocol\/generat(e|or)\b/;

/** Files that nothing imports because something else starts or declares them. */
const ENTRY = /^main\.ts$|-worker\.ts$|^protocol\/generate\.ts$|\.d\.ts$/;

/** Longer files want a reason; it stands here, and nowhere is more than 600 allowed. */
const LINES_MAX = 400;
const LONG_FILES: Readonly<Record<string, string>> = {};

/** Of comments: the formatter wraps code but not them. */
const COMMENT_WIDTH_MAX = 120;

const sources = scan("src").filter((path) => !/\/generated\/|^console\//.test(path));
const tests = scan("test").filter((path) => !/^fixtures\//.test(path));
const textOf = new Map<string, string>();
for (const path of scan("src")) textOf.set(`src/${path}`, await Bun.file(`src/${path}`).text());
for (const path of tests) textOf.set(`test/${path}`, await Bun.file(`test/${path}`).text());
const words = wordCounts([...textOf.values()]);

test.each(sources)("tidy: src/%s", (path) => {
  const text = textOf.get(`src/${path}`) ?? "";
  const faults = [...styleFaults(path, text), ...importFaults(path, text)];
  if (!TOOL.test(path)) faults.push(...gatewayFaults(path, text));
  for (const [, name = ""] of text.matchAll(
    /^export (?:const|(?:async )?function\*?|class) (\w+)/gm,
  )) {
    if (words.get(name) === ownCount(text, name)) faults.push(`exports ${name}, which nobody uses`);
  }
  expect(faults).toEqual([]);
});

test.each(tests)("tidy: test/%s", (path) => {
  expect(styleFaults(path, textOf.get(`test/${path}`) ?? "")).toEqual([]);
});

test("tidy: every source file is used", () => {
  const imported = new Set<string>();
  for (const path of scan("src")) {
    for (const target of importsOf(path, textOf.get(`src/${path}`) ?? "")) imported.add(target);
  }
  const isExpected = (path: string) => imported.has(path) || ENTRY.test(path);
  expect(sources.filter((path) => !isExpected(path))).toEqual([]);
});

function scan(folder: string): string[] {
  return [...new Glob("**/*.ts").scanSync(folder)].sort();
}

/** Faults that any file may have. */
function styleFaults(path: string, text: string): string[] {
  const faults: string[] = [];
  const lines = text.split("\n");
  if (!/^(#!.*\n)?\/\*\*/.test(text)) faults.push("has no file header");
  if (/FIXME|TODO(?!\(#\d+\))/.test(text.replace(/\/.*\/\w*\.test\(/g, ""))) {
    faults.push("has an unfinished mark without an issue");
  }
  if (/@ts-(ignore|nocheck)/.test(text)) faults.push("silences the compiler");
  if (/"\/(work|root|home)\//.test(text)) faults.push("names a path of one machine");
  if (/(^|\/)(utils?|helpers?|misc|common)\.ts$/.test(path))
    faults.push("has a name that says nothing");
  if (lines.length > LINES_MAX && !(path in LONG_FILES)) faults.push(`has ${lines.length} lines`);
  lines.forEach((line, index) => {
    const isLong = line.length > COMMENT_WIDTH_MAX && /^\s*(\/?\*|\/\/)/.test(line);
    if (isLong) faults.push(`the comment in line ${index + 1} has ${line.length} columns`);
  });
  return faults;
}

function gatewayFaults(path: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  return GATEWAYS.filter(([pattern, owners]) => pattern.test(code) && !owners.includes(path)).map(
    ([pattern, owners]) => `only ${owners.join(" and ")} may use ${pattern}`,
  );
}

function importFaults(path: string, text: string): string[] {
  const faults: string[] = [];
  for (const target of importsOf(path, text)) {
    if (/\.(so|json)$/.test(target)) continue; // Embedded.
    if (!target.endsWith(".ts")) faults.push(`import without .ts: ${target}`);
    const [folder, targetFolder] = [path, target].map((each) => each.split("/")[0]);
    if (folder !== targetFolder && rankOf(target) >= rankOf(path)) {
      faults.push(`imports upwards: ${target}`);
    }
  }
  return faults;
}

/** What a source file imports from this project, as paths below `src`. */
function importsOf(path: string, text: string): string[] {
  const targets: string[] = [];
  for (const [, target = ""] of text.matchAll(/(?:from|import\(|URL\()\s*"(\.[^"]+)"/g)) {
    targets.push(new URL(target, `file:///${path}`).pathname.slice(1));
  }
  return targets;
}

/** The rank of a file; a folder or root file that is not in the table is an error. */
function rankOf(path: string): number {
  const folder = path.split("/")[0] ?? "";
  const rank = folder.startsWith("broker-") ? RANK_BROKER_PARTS : RANK[folder];
  if (rank === undefined) throw new Error(`${path}: no rank`);
  return rank;
}

/** How often each word stands in all texts together. */
function wordCounts(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(/\w+/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function ownCount(text: string, name: string): number {
  return [...text.matchAll(/\w+/g)].filter(([word]) => word === name).length;
}
