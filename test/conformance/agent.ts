/**
 * One client library as a child process that obeys commands, so that its start (a second for Java) is paid once.
 *
 * A command is a JSON line `{"id", "op", ...}` on its standard input; commands run side by side. It answers with
 * JSON lines: any number of events `{"id", "event", ...}`, then one `{"id", "result"}` or `{"id", "error"}`.
 *
 * Operations, the same in every language (`clients/`):
 *
 *   produce         topic codec idempotent input          event acks: [[index, partition, offset], ...]
 *   stream          topic partitions idempotent           numbered records at a steady pace, until `stop`; event acks
 *   consume         topic partitions count output timeoutMs    from the start, without a group
 *   join            group topic output                    a group member, until `stop`; events assignment, received
 *   stop            target                                ends `stream` or `join` with that id
 *   createTopic topic partitions configs · createPartitions topic total · describeTopic topic · listTopics
 *   alterConfigs topic changes ([[name, "SET"|"DELETE"|"APPEND"|"SUBTRACT", value], ...]) incremental (not everywhere)
 *   describeConfigs topic · deleteTopic topic · listOffsets topic partition at ("earliest"|"latest"|"max"|ms)
 *   deleteRecords topic partition before (-1: all)
 *   committed group topic partitions · listGroups · describeGroup group · deleteGroup group
 *
 * Records travel in files, one JSON line each: `p` partition, `o` offset, `t` timestamp, `k` key, `v` value,
 * `h` headers as pairs; bytes in base64, null as null. Agents judge nothing: that is `verify.ts`.
 */
import { closeSync, openSync } from "node:fs";

export type Fields = Readonly<Record<string, unknown>>;
export type Ack = readonly [index: number, partition: number, offset: number];
type Listener = (event: string, fields: Fields) => void;

interface Pending {
  readonly resolve: (result: Fields) => void;
  readonly reject: (error: Error) => void;
  readonly listener: Listener | undefined;
}

/** A command under way: its id is what `stop` needs. */
export interface Call {
  readonly id: string;
  readonly result: Promise<Fields>;
}

/** An operation that the client library does not have. */
export class UnsupportedError extends Error {}

export class Agent {
  readonly #child: Bun.Subprocess<"pipe", "pipe", number>;
  readonly #pending = new Map<string, Pending>();
  #nextId = 1;
  #ended = false;

  /** @param options.logFile takes what the client writes to its standard error. */
  constructor(options: { command: readonly string[]; workingDirectory: string; logFile: string }) {
    const log = openSync(options.logFile, "a");
    this.#child = Bun.spawn([...options.command], {
      cwd: options.workingDirectory,
      stdin: "pipe",
      stdout: "pipe",
      stderr: log,
    });
    closeSync(log);
    void this.#read(); // Ends with the process; its failures go to the pending calls.
  }

  get isRunning(): boolean {
    return !this.#ended;
  }

  /** Starts a command. */
  start(op: string, fields: Fields = {}, listener?: Listener): Call {
    const id = String(this.#nextId);
    this.#nextId += 1;
    const result = new Promise<Fields>((resolve, reject) => {
      if (this.#ended) reject(new Error("The client process has ended."));
      else this.#pending.set(id, { resolve, reject, listener });
    });
    result.catch(() => undefined); // Awaited later, or not at all when another part has failed first.
    if (!this.#ended) {
      this.#child.stdin.write(`${JSON.stringify({ id, op, ...fields })}\n`);
      void this.#child.stdin.flush(); // The pipe's failures show as the end of the process.
    }
    return { id, result };
  }

  /** Runs a command to its end. @throws UnsupportedError if the client library cannot do it. */
  async run(op: string, fields: Fields = {}, listener?: Listener): Promise<Fields> {
    const result = await this.start(op, fields, listener).result;
    if (result["unsupported"] === true) throw new UnsupportedError(`has no ${op}`);
    return result;
  }

  /** Asks a `stream` or `join` to end, and waits for its result. */
  async stop(call: Call): Promise<Fields> {
    await this.run("stop", { target: call.id });
    return await call.result;
  }

  async end(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#answer(line);
    }
    this.#ended = true;
    const code = await this.#child.exited;
    for (const { reject } of this.#pending.values()) {
      reject(new Error(`The client process ended with ${code}.`));
    }
    this.#pending.clear();
  }

  #answer(line: string): void {
    let answer: Fields;
    try {
      answer = JSON.parse(line) as Fields;
    } catch {
      return; // Some libraries log to standard output.
    }
    const id = String(answer["id"]);
    const pending = this.#pending.get(id);
    if (!pending) return;
    if (typeof answer["event"] === "string") {
      pending.listener?.(answer["event"], answer);
      return;
    }
    this.#pending.delete(id);
    if (typeof answer["error"] === "string") pending.reject(new Error(answer["error"]));
    else pending.resolve((answer["result"] ?? {}) as Fields);
  }
}
