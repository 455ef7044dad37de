/** A broker in a process of its own, with variables of its own, over a directory that goes with it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const READY_LINE = /kafka \S+:(\d+) http \S+:(\d+)/;

export class ChildBroker {
  readonly dataDir: string;
  kafkaPort = 0;
  httpPort = 0;
  readonly #env: Readonly<Record<string, string>>;
  #child: Subprocess | undefined;

  private constructor(dataDir: string, env: Readonly<Record<string, string>>) {
    this.dataDir = dataDir;
    this.#env = env;
  }

  static async start(
    env: Readonly<Record<string, string>>,
    ...flags: readonly string[]
  ): Promise<ChildBroker> {
    const broker = new ChildBroker(await mkdtemp(join(tmpdir(), "chronik-child-")), env);
    await broker.start(...flags);
    return broker;
  }

  async start(...flags: readonly string[]): Promise<void> {
    const ports = ["--kafka-port", "0", "--http-port", "0"];
    const command = [process.execPath, MAIN, "--data-dir", this.dataDir, ...ports, ...flags];
    const child = Bun.spawn(command, {
      env: { ...Bun.env, ...this.#env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    this.#child = child;
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      const match = READY_LINE.exec(text);
      if (match === null) continue;
      this.kafkaPort = Number(match[1]);
      this.httpPort = Number(match[2]);
      return;
    }
    throw new Error("The broker ended before it was ready.");
  }

  /** @returns the exit code; null after SIGKILL */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    this.#child?.kill(signal);
    await this.#child?.exited;
    return this.#child?.exitCode ?? null;
  }

  async remove(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
