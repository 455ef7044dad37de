/** The compiled file as a process: alone in a directory, with an environment that has nothing to help it. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Subprocess } from "bun";

const EXECUTABLE = resolve(import.meta.dir, "../../dist/chronik-server");
const READY_TIMEOUT_MS = 20_000;
const READY_LINE = /^chronik ready in \d+ ms: kafka \S+:(\d+) http \S+:(\d+) data .+$/m;

export interface Ready {
  readonly kafkaPort: number;
  readonly httpPort: number;
}

export interface StartOptions {
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands that run before the server, as root of a mount namespace of their own. */
  readonly mounts?: string;
}

/** What is left when a process has ended. */
export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whether this machine lets a process have mounts of its own. */
export const canMount =
  Bun.spawnSync(["unshare", "--user", "--map-root-user", "--mount", "true"]).exitCode === 0;

/** A new directory that holds the executable and nothing else; not in /tmp, which a test may take away. */
export class LonelyDirectory {
  readonly path = realpathSync(mkdtempSync("/var/tmp/chronik-smoke-"));
  readonly #emptyPath = join(this.path, "no-programs");
  #running: Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #stdout = Promise.resolve("");
  #stderr = Promise.resolve("");

  constructor() {
    if (!existsSync(EXECUTABLE)) throw new Error("There is no dist/chronik-server: npm run build");
    copyFileSync(EXECUTABLE, join(this.path, "chronik-server"));
    mkdirSync(this.#emptyPath);
  }

  get pid(): number {
    return this.#running?.pid ?? 0;
  }

  /** Starts the server on free ports and resolves when it says that it is ready. */
  async start(options: StartOptions = {}): Promise<Ready> {
    const flags = ["--kafka-port", "0", "--http-port", "0", ...(options.flags ?? [])];
    this.#spawn({ ...options, flags });
    const server = this.#running;
    if (server === undefined) throw new Error("not started");
    const ready = await new Promise<Ready | undefined>((resolve) => {
      const late = setTimeout(() => server.kill("SIGKILL"), READY_TIMEOUT_MS);
      this.#stdout = readWatched(server.stdout, (text) => {
        const match = READY_LINE.exec(text);
        if (match === null) return;
        clearTimeout(late);
        resolve({ kafkaPort: Number(match[1]), httpPort: Number(match[2]) });
      });
      void this.#stdout.then(() => resolve(undefined)); // The process ended; too late if it was ready.
    });
    if (ready === undefined) throw new Error(`It never was ready: ${await this.#stderr}`);
    return ready;
  }

  /** Runs the server until it ends by itself. */
  async run(options: StartOptions): Promise<Ended> {
    this.#spawn(options);
    this.#stdout = new Response(this.#running?.stdout).text();
    return this.ended();
  }

  /** Waits for the server to end by itself. */
  async ended(): Promise<Ended> {
    const late = setTimeout(() => this.#running?.kill("SIGKILL"), READY_TIMEOUT_MS);
    await this.#running?.exited;
    clearTimeout(late);
    const exitCode = this.#running?.exitCode ?? null;
    return { exitCode, stdout: await this.#stdout, stderr: await this.#stderr };
  }

  /** Ends the server with `signal` and waits for it. */
  async end(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<Ended> {
    this.#running?.kill(signal);
    return this.ended();
  }

  async remove(): Promise<void> {
    this.#running?.kill("SIGKILL");
    await this.#running?.exited;
    rmSync(this.path, { recursive: true, force: true });
  }

  #spawn({ flags = [], env = {}, mounts }: StartOptions): void {
    const server = [join(this.path, "chronik-server"), ...flags];
    const script = `${mounts} && exec "$@"`;
    const namespace = [
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "sh",
      "-ec",
      script,
      "sh",
    ];
    const command = mounts === undefined ? server : [...namespace, ...server];
    const path = mounts === undefined ? this.#emptyPath : "/usr/bin:/bin:/usr/sbin:/sbin";
    const running = Bun.spawn(command, {
      cwd: this.path,
      env: { PATH: path, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#running = running;
    this.#stderr = new Response(running.stderr).text();
  }
}

/** The whole output, once it ends; `watch` sees it grow. */
async function readWatched(
  output: ReadableStream<Uint8Array>,
  watch: (text: string) => void,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of output) {
    text += decoder.decode(chunk, { stream: true });
    watch(text);
  }
  return text;
}
