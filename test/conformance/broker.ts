/**
 * A broker as a child process: started, killed and started again on the same port and data directory.
 * What differs between Chronik and Apache Kafka is in the `BrokerKind`; the runs know only this file.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const READY_POLL_MS = 5;
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const PORT_MIN = 20_000;
const PORT_END = 32_000;

export interface BrokerAddresses {
  readonly kafkaPort: number;
  readonly httpPort: number;
  /** Kafka's controller listener; unused by Chronik. */
  readonly controllerPort: number;
}

export interface BrokerKind {
  readonly name: "chronik" | "kafka";
  /** Prepares a new, empty data directory. Its time counts for nothing. */
  readonly format: (directory: string, addresses: BrokerAddresses) => Promise<void>;
  readonly command: (directory: string, addresses: BrokerAddresses) => string[];
  /** A line of the output that says the broker answers requests. */
  readonly readyPattern: RegExp;
  /** More of the environment, over that of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Brokers that run: they must not outlive this process. */
const running = new Set<Broker>();
process.on("exit", () => {
  for (const broker of running) process.kill(broker.pid, "SIGKILL");
});

export class Broker {
  readonly kind: BrokerKind;
  readonly directory: string;
  readonly addresses: BrokerAddresses;
  #child: Bun.Subprocess | undefined;
  #readyMs = 0;

  /** Starts a broker on an empty data directory below `directory`, on free ports of the loopback. */
  static async start(kind: BrokerKind, directory: string): Promise<Broker> {
    const broker = await Broker.prepare(kind, directory);
    await broker.start();
    return broker;
  }

  /** Formats the data directory without starting. */
  static async prepare(kind: BrokerKind, directory: string): Promise<Broker> {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const broker = await Broker.of(kind, directory);
    await kind.format(directory, broker.addresses);
    return broker;
  }

  /** For a data directory that an earlier broker of this kind has left, with other flags perhaps. Does not start it. */
  static async of(kind: BrokerKind, directory: string): Promise<Broker> {
    const [kafkaPort, httpPort, controllerPort] = await freePorts();
    return new Broker(kind, directory, { kafkaPort, httpPort, controllerPort });
  }

  private constructor(kind: BrokerKind, directory: string, addresses: BrokerAddresses) {
    this.kind = kind;
    this.directory = directory;
    this.addresses = addresses;
  }

  /** `host:port` for Kafka clients. */
  get bootstrap(): string {
    return `127.0.0.1:${this.addresses.kafkaPort}`;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.addresses.httpPort}`;
  }

  get pid(): number {
    if (!this.#child) throw new Error(`${this.kind.name} is not running.`);
    return this.#child.pid;
  }

  /** From `exec` to the line that says ready, of the last start. */
  get readyMs(): number {
    return this.#readyMs;
  }

  get logFile(): string {
    return join(this.directory, "broker.log");
  }

  /** Resolves when the broker says that it is ready. @throws with its log if it exits or takes too long. */
  async start(): Promise<void> {
    const log = openSync(this.logFile, "w");
    const startedMs = performance.now();
    this.#child = Bun.spawn(this.kind.command(this.directory, this.addresses), {
      stdin: "ignore",
      stdout: log,
      stderr: log,
      env: { ...Bun.env, ...this.kind.environment },
      cwd: this.directory,
    });
    closeSync(log);
    running.add(this);
    void this.#child.exited.then(() => running.delete(this)); // Bookkeeping: nothing waits for it.
    while (!this.kind.readyPattern.test(this.log())) {
      if (this.#child.exitCode !== null) {
        throw new Error(`${this.kind.name} exited with ${this.#child.exitCode}:\n${this.log()}`);
      }
      if (performance.now() - startedMs > READY_TIMEOUT_MS) {
        await this.kill();
        throw new Error(`${this.kind.name} was not ready in time:\n${this.log()}`);
      }
      await Bun.sleep(READY_POLL_MS);
    }
    this.#readyMs = performance.now() - startedMs;
  }

  /** Ends the process at once, as `kill -9` does. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Asks the process to stop, and waits for it. @returns its exit code. */
  async stop(): Promise<number> {
    const child = this.#child;
    if (!child) return 0;
    child.kill("SIGTERM");
    const deadline = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    const code = await child.exited;
    clearTimeout(deadline);
    return code;
  }

  log(): string {
    return readFileSync(this.logFile, "utf8");
  }
}

/**
 * Three ports that were free a moment ago: the same ones serve every restart. They lie below the range that the
 * system takes ports of outgoing connections from: a client that keeps trying to reach a killed broker on a port of
 * that range can take the port itself.
 */
async function freePorts(): Promise<[number, number, number]> {
  return [await freePort(), await freePort(), await freePort()];
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_END - PORT_MIN));
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
