/** What the numbers were measured with. */
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fdatasyncSync,
  mkdirSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { PROJECT_DIRECTORY } from "../conformance/paths.ts";
import { median } from "./statistics.ts";

const SYNC_COUNT = 50;
const BLOCK_BYTES = 4096;

export interface Machine {
  readonly cpu: string;
  readonly coreCount: number;
  readonly memoryGibibytes: number;
  readonly kernel: string;
  readonly java: string;
  readonly bun: string;
  /** Median time to append 4 KiB to a file and sync it. */
  readonly diskSyncMs: number;
}

export function describeMachine(directory: string): Machine {
  const cores = cpus();
  const java = Bun.spawnSync(["java", "-version"], { stdout: "pipe", stderr: "pipe" });
  return {
    cpu: cores[0]?.model.trim() ?? "unknown",
    coreCount: cores.length,
    memoryGibibytes: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    java: /"([^"]+)"/.exec(java.stderr.toString())?.[1] ?? "unknown",
    bun: Bun.version,
    diskSyncMs: diskSyncMs(directory),
  };
}

export interface Subject {
  /** Of the working tree; `+` says that it has changes. */
  readonly commit: string;
  /** Of the executable; undefined when the source tree was run. */
  readonly executableSha256: string | undefined;
}

/** What is measured. @param executable undefined for the source tree */
export async function describeSubject(executable: string | undefined): Promise<Subject> {
  const git = (...args: string[]): string =>
    Bun.spawnSync(["git", ...args], { cwd: PROJECT_DIRECTORY })
      .stdout.toString()
      .trim();
  const isChanged = git("status", "--porcelain", "--", "src", "ffi", "build.ts") !== "";
  return {
    commit: git("rev-parse", "--short", "HEAD") + (isChanged ? "+" : ""),
    executableSha256: executable && (await sha256Of(executable)),
  };
}

async function sha256Of(file: string): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(file)) digest.update(chunk as Uint8Array);
  return digest.digest("hex");
}

function diskSyncMs(directory: string): number {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "sync-probe");
  const descriptor = openSync(file, "w");
  const block = new Uint8Array(BLOCK_BYTES);
  const timesMs = Array.from({ length: SYNC_COUNT }, () => {
    const startedMs = performance.now();
    writeSync(descriptor, block);
    fdatasyncSync(descriptor);
    return performance.now() - startedMs;
  });
  closeSync(descriptor);
  rmSync(file);
  return median(timesMs);
}
