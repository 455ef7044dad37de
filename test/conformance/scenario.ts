/** What a scenario is given: one client's agent, one broker, and the small steps that most scenarios share. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ack, Agent, type Call, type Fields } from "./agent.ts";
import type { Broker } from "./broker.ts";
import type { Client } from "./clients.ts";
import type { WireRecord } from "./records.ts";
import { type ReadRecord, readRecords } from "./verify.ts";

/** Thrown by a scenario that says nothing about this client or broker. */
export class NotApplicable extends Error {}

export interface Scenario {
  readonly name: string;
  /** What it proves, one line for the results. */
  readonly title: string;
  /** Resolves to a remark for the results, or to nothing. @throws what went wrong */
  readonly run: (bench: Bench) => Promise<string | undefined>;
}

/** How long any one wait may take. Kafka needs up to ten seconds to come back after a SIGKILL. */
const PATIENCE_MS = 60_000;
const CONSUME_TIMEOUT_MS = 30_000;
const POLL_MS = 10;
const LEADER_TRIES = 50;
const LEADER_PAUSE_MS = 50;

/** One client at one broker. */
export class Bench {
  readonly client: Client;
  readonly broker: Broker;
  readonly directory: string;
  readonly #bootstrap: string;
  #agent: Agent | undefined;

  /** @param options.bootstrap where the client connects, if not to the broker itself */
  constructor(options: { client: Client; broker: Broker; directory: string; bootstrap?: string }) {
    this.client = options.client;
    this.broker = options.broker;
    this.directory = options.directory;
    this.#bootstrap = options.bootstrap ?? options.broker.bootstrap;
  }

  /** The client's process; a new one if the last has died. */
  get agent(): Agent {
    if (!this.#agent?.isRunning) {
      this.#agent = new Agent({
        command: [...this.client.command, this.#bootstrap],
        workingDirectory: this.directory,
        logFile: this.fileOf("log"),
      });
    }
    return this.#agent;
  }

  async end(): Promise<void> {
    await this.#agent?.end();
  }

  /** A file of this client below the run's directory. */
  fileOf(name: string): string {
    return join(this.directory, `${this.client.name}.${name}`);
  }

  /** A topic name of this client alone. */
  topicOf(name: string): string {
    return `${this.client.name}-${name}`;
  }

  async createTopic(
    topic: string,
    partitions: number,
    configs: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.agent.run("createTopic", { topic, partitions, configs });
    // Kafka answers before the partitions have leaders; Chronik's topics must be usable at once.
    if (this.broker.kind.name === "kafka") await this.#untilLed(topic, partitions);
  }

  async #untilLed(topic: string, partitions: number): Promise<void> {
    let isLed = false;
    for (let tries = 0; tries < LEADER_TRIES && !isLed; tries += 1) {
      await Bun.sleep(LEADER_PAUSE_MS);
      isLed = await this.endOffsets(topic, partitions).then(
        () => true,
        () => false,
      );
    }
  }

  /** Sends the records. @returns the acknowledgements. @throws if the client reports a failure */
  async produce(options: {
    readonly topic: string;
    readonly records: readonly WireRecord[];
    readonly codec?: string;
    readonly isIdempotent?: boolean;
    readonly signal?: (ackCount: number) => void;
  }): Promise<Ack[]> {
    const input = this.fileOf("input.jsonl");
    writeFileSync(input, `${options.records.map((it) => JSON.stringify(it)).join("\n")}\n`);
    const { topic, codec = "none", isIdempotent: idempotent = false } = options;
    const acks: Ack[] = [];
    const result = await this.agent.run(
      "produce",
      { topic, codec, idempotent, input },
      (_, event) => {
        acks.push(...(event["acks"] as Ack[]));
        options.signal?.(acks.length);
      },
    );
    throwFailures(result);
    return acks;
  }

  /** Reads `count` records of the topic from its start. */
  async consume(topic: string, partitions: number, count: number): Promise<ReadRecord[]> {
    const output = this.fileOf("output.jsonl");
    const timeoutMs = CONSUME_TIMEOUT_MS;
    await this.agent.run("consume", { topic, partitions, count, output, timeoutMs });
    return readRecords(output);
  }

  /** The next offset to be written of each partition. */
  async endOffsets(topic: string, partitions: number): Promise<number[]> {
    const offsets: number[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const found = await this.agent.run("listOffsets", { topic, partition, at: "latest" });
      offsets.push(Number(found["offset"]));
    }
    return offsets;
  }

  join(options: { group: string; topic: string; name: string }): Member {
    return new Member(this, options);
  }
}

/** A member of a consumer group, running inside the agent. */
export class Member {
  partitions: readonly number[] = [];
  receivedCount = 0;
  readonly #bench: Bench;
  readonly #output: string;
  readonly #call: Call;

  constructor(bench: Bench, options: { group: string; topic: string; name: string }) {
    this.#bench = bench;
    this.#output = bench.fileOf(`${options.name}.jsonl`);
    const { group, topic } = options;
    this.#call = bench.agent.start(
      "join",
      { group, topic, output: this.#output },
      (event, fields) => {
        if (event === "assignment") this.partitions = fields["partitions"] as number[];
        if (event === "received") this.receivedCount = Number(fields["count"]);
      },
    );
  }

  /** Leaves the group. @returns what it received, in order */
  async leave(): Promise<ReadRecord[]> {
    await this.#bench.agent.stop(this.#call);
    return readRecords(this.#output);
  }

  /** Rejects when the member ends by itself. */
  get failed(): Promise<Fields> {
    return this.#call.result;
  }
}

/** Waits for something that another process brings about. @throws after a minute, or when `failed` rejects */
export async function until(
  what: string,
  condition: () => boolean,
  failed: readonly Promise<unknown>[] = [],
): Promise<void> {
  let failure: unknown;
  for (const promise of failed) {
    promise.catch((error: unknown) => {
      failure = error;
    });
  }
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (failure) throw failure;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(POLL_MS);
  }
}

/** @throws the first of the failures that a `produce` or `stream` reported */
export function throwFailures(result: Fields): void {
  const failures = result["failures"] as readonly (readonly [number, string])[];
  const [first] = failures;
  if (first) throw new Error(`${failures.length} records failed: record ${first[0]}: ${first[1]}`);
}
