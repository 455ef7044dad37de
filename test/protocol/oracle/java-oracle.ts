/** Kafka's own message classes as a process that is asked over its standard input: see `Oracle.java`. */
import {
  fetchArtifact,
  fetchJars,
  jarPath,
  RELEASES,
} from "../../../src/protocol/generator/kafka-definitions.ts";

/** What Kafka's classes need beside their own jar. */
const LIBRARIES = [
  "com.fasterxml.jackson.core:jackson-databind:2.17.2",
  "com.fasterxml.jackson.core:jackson-core:2.17.2",
  "com.fasterxml.jackson.core:jackson-annotations:2.17.2",
  "org.slf4j:slf4j-api:1.7.36",
  "org.slf4j:slf4j-nop:1.7.36",
];

/** Both sides would wait for each other if too many questions and answers were on their way. */
const QUESTIONS_AT_ONCE = 32;

/** A question: an operation of `Oracle.java` and its fields. */
export type OracleQuestion =
  | readonly ["versions", release: string, message: string]
  | readonly ["decode" | "encode", release: string, message: string, version: number, text: string];

/** What Kafka's classes make of it. */
export interface OracleAnswer {
  readonly error?: string;
  /** What Kafka read from our bytes. */
  readonly json?: unknown;
  /** Bytes that Kafka did not read. */
  readonly unread?: number;
  /** In base64: what Kafka wrote. */
  readonly encoded?: string;
  /** The versions that a release has; `highest` below `lowest` if it lacks the message. */
  readonly lowest?: number;
  readonly highest?: number;
}

/** The running process; one question per answer, in order. */
export class JavaOracle {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncGenerator<string>;

  private constructor(classPath: readonly string[], jars: readonly string[]) {
    const source = `${import.meta.dir}/Oracle.java`;
    const options = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx256m"];
    this.#process = Bun.spawn(["java", ...options, "-cp", classPath.join(":"), source, ...jars], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#process.stdout);
  }

  /** @throws Error if there is no Java, or the jars cannot be had. */
  static async start(): Promise<JavaOracle> {
    if (Bun.which("java") === null) throw new Error("java is not installed");
    await fetchJars();
    const classPath: string[] = [];
    for (const library of LIBRARIES) classPath.push(await fetchArtifact(library));
    return new JavaOracle(
      classPath,
      RELEASES.map((release) => `${release}=${jarPath(release)}`),
    );
  }

  async ask(questions: readonly OracleQuestion[]): Promise<OracleAnswer[]> {
    const answers: OracleAnswer[] = [];
    for (const group of chunksOf(questions, QUESTIONS_AT_ONCE)) {
      for (const fields of group) this.#process.stdin.write(`${fields.join("\t")}\n`);
      const flushed = this.#process.stdin.flush();
      for (const _ of group) answers.push(JSON.parse(await this.#nextLine()) as OracleAnswer);
      await flushed;
    }
    return answers;
  }

  async stop(): Promise<void> {
    await this.#process.stdin.end();
    await this.#process.exited;
  }

  async #nextLine(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("The oracle has ended.");
    return value;
  }
}

function chunksOf<Element>(list: readonly Element[], length: number): (readonly Element[])[] {
  const count = Math.ceil(list.length / length);
  return Array.from({ length: count }, (_, i) => list.slice(i * length, (i + 1) * length));
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let received = "";
  for await (const chunk of stream) {
    const lines = (received + decoder.decode(chunk, { stream: true })).split("\n");
    received = lines.pop() ?? "";
    yield* lines;
  }
}
