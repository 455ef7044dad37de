/**
 * Installs the real clients, pinned, into `.cache/conformance/`: a Python environment, a folder of Node packages
 * (with the Node that they need), Apache Kafka's jars, and an agent built from franz-go.
 *
 * Every part is stamped with a digest of what it was made from (lock files, sources, versions of the tools), so a
 * second run does nothing and a changed pin reinstalls only its part. Where a toolchain is missing the part is
 * skipped and named; with `CI=true` that is a failure, so that a green run never hides an untested client.
 *
 *   bun test/conformance/setup.ts [python] [node] [java] [go]
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withLock } from "./lock.ts";
import {
  CACHE_DIRECTORY,
  CLASSES_DIRECTORY,
  CLIENTS_DIRECTORY,
  GO_AGENT,
  JARS_DIRECTORY,
  NODE_DIRECTORY,
} from "./paths.ts";

export type Toolchain = "python" | "node" | "java" | "go";

/** What is ready, and why the rest is not. */
export interface SetupResult {
  readonly ready: ReadonlySet<Toolchain>;
  readonly skipped: ReadonlyMap<Toolchain, string>;
}

interface Part {
  /** Programs that must be on PATH. */
  readonly programs: readonly string[];
  /** Files below `clients/<part>` whose content decides whether the part is fresh. */
  readonly inputs: RegExp;
  readonly install: (sources: string, target: string) => Promise<void>;
}

const PARTS: Record<Toolchain, Part> = {
  python: {
    programs: ["python3"],
    inputs: /^requirements\.txt$/,
    install: async (sources, target) => {
      await run(["python3", "-m", "venv", target]);
      const pip = join(target, "bin/pip");
      await run([pip, "install", "--quiet", "-r", join(sources, "requirements.txt")]);
    },
  },
  node: {
    programs: ["npm"],
    inputs: /\.(mjs|json)$/,
    install: async (sources, target) => {
      for (const name of readdirSync(sources)) {
        if (PARTS.node.inputs.test(name)) copy(join(sources, name), join(target, name));
      }
      await run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], NODE_DIRECTORY);
    },
  },
  java: {
    programs: ["java", "javac", "mvn"],
    inputs: /\.(java|xml)$/,
    install: async (sources, target) => {
      const pom = join(sources, "pom.xml");
      const copyJars = ["dependency:copy-dependencies", `-DoutputDirectory=${JARS_DIRECTORY}`];
      await run(["mvn", "-B", "-q", "-f", pom, ...copyJars], target);
      const programs = readdirSync(sources).filter((name) => name.endsWith(".java"));
      const paths = programs.map((name) => join(sources, name));
      await run(["javac", "-cp", `${JARS_DIRECTORY}/*`, "-d", CLASSES_DIRECTORY, ...paths]);
    },
  },
  go: {
    programs: ["go"],
    inputs: /\.(go|mod|sum)$/,
    install: async (sources) => {
      await run(["go", "build", "-mod=readonly", "-o", GO_AGENT, "."], sources);
    },
  },
};
export const TOOLCHAINS = Object.keys(PARTS) as Toolchain[];

/** Makes the wanted parts ready. @throws if an install fails, or if one is skipped while `CI=true`. */
export async function setUp(wanted: readonly Toolchain[] = TOOLCHAINS): Promise<SetupResult> {
  mkdirSync(CACHE_DIRECTORY, { recursive: true });
  return await withLock(join(CACHE_DIRECTORY, "setup.lock"), async () => {
    const ready = new Set<Toolchain>();
    const skipped = new Map<Toolchain, string>();
    for (const toolchain of wanted) {
      const missing = PARTS[toolchain].programs.filter((program) => !Bun.which(program));
      if (missing.length === 0) {
        await setUpPart(toolchain);
        ready.add(toolchain);
      } else {
        skipped.set(toolchain, `${missing.join(", ")} not found`);
      }
    }
    if (skipped.size > 0 && Bun.env["CI"] === "true") {
      throw new Error(`CI must test every client: ${describeSkipped(skipped)}`);
    }
    return { ready, skipped };
  });
}

/** For the last lines of a run: what was not tested, and why. */
export function describeSkipped(skipped: ReadonlyMap<Toolchain, string>): string {
  return [...skipped].map(([toolchain, reason]) => `${toolchain} (${reason})`).join("; ");
}

async function setUpPart(toolchain: Toolchain): Promise<void> {
  const part = PARTS[toolchain];
  const sources = join(CLIENTS_DIRECTORY, toolchain);
  const target = join(CACHE_DIRECTORY, toolchain);
  const stampFile = join(CACHE_DIRECTORY, `${toolchain}.stamp`);
  const stamp = stampOf(part, sources);
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp && existsSync(target)) {
    return;
  }
  process.stderr.write(`conformance: installing ${toolchain} clients\n`);
  rmSync(stampFile, { force: true });
  if (toolchain === "python") rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  await part.install(sources, target);
  writeFileSync(stampFile, stamp);
}

/** A digest of everything that the part is made from; paths of programs stand for their versions. */
function stampOf(part: Part, sources: string): string {
  const digest = createHash("sha256");
  for (const program of part.programs) digest.update(`${Bun.which(program)}\n`);
  for (const name of readdirSync(sources).sort()) {
    if (part.inputs.test(name)) digest.update(name).update(readFileSync(join(sources, name)));
  }
  return digest.digest("hex");
}

function copy(from: string, to: string): void {
  writeFileSync(to, readFileSync(from));
}

async function run(command: string[], workingDirectory = CACHE_DIRECTORY): Promise<void> {
  const child = Bun.spawn(command, {
    cwd: workingDirectory,
    env: { ...Bun.env, GOTOOLCHAIN: "local" },
    stdout: "pipe",
    stderr: "pipe",
    stdin: "ignore",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(" ")} exited with ${code}:\n${out}${err}`);
}

if (import.meta.main) {
  const named = Bun.argv.slice(2).filter((name): name is Toolchain => name in PARTS);
  const { ready, skipped } = await setUp(named.length > 0 ? named : TOOLCHAINS);
  process.stdout.write(`ready: ${[...ready].join(", ") || "none"}\n`);
  if (skipped.size > 0) process.stdout.write(`skipped: ${describeSkipped(skipped)}\n`);
}
