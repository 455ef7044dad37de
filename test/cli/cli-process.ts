/** The program as a person runs it: a child process of the source tree, with everything it said. */
import { join } from "node:path";
import { RunningBroker } from "../broker/running-broker.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");

/** What is left when a process has ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Starts the program; `stdin` is closed behind its content. */
export function spawnCli(args: readonly string[], stdin: Uint8Array | string = "") {
  return Bun.spawn([process.execPath, MAIN, ...args], {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs the program to its end. */
export async function runCli(
  args: readonly string[],
  stdin: Uint8Array | string = "",
): Promise<Ended> {
  const child = spawnCli(args, stdin);
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout: Buffer.from(stdout), stderr };
}

/** A broker, and the program pointed at it. */
export class BrokerWithCli {
  readonly broker: RunningBroker;

  private constructor(broker: RunningBroker) {
    this.broker = broker;
  }

  static async start(...flags: readonly string[]): Promise<BrokerWithCli> {
    return new BrokerWithCli(await RunningBroker.start(...flags));
  }

  get bootstrap(): readonly string[] {
    return ["--bootstrap", `127.0.0.1:${this.broker.kafkaPort}`];
  }

  get http(): readonly string[] {
    return ["--http", `http://127.0.0.1:${this.broker.httpPort}`];
  }

  /** Runs a subcommand that speaks Kafka's protocol. */
  run(args: readonly string[], stdin: Uint8Array | string = ""): Promise<Ended> {
    return runCli([...args, ...this.bootstrap], stdin);
  }

  /** The same, which must succeed in silence. @returns its output as text */
  async textOf(args: readonly string[], stdin: Uint8Array | string = ""): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(args, stdin);
    if (exitCode !== 0 || stderr !== "") throw new Error(`exit code ${exitCode}: ${stderr}`);
    return stdout.toString();
  }
}
