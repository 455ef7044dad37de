/** `chronik-server produce`: sends the lines of a file, or of standard input, as records. */

import { systemClock, systemRandom } from "../core/clock.ts";
import { type Disk, systemDisk } from "../core/disk.ts";
import { loadNative } from "../core/native.ts";
import { COMPRESSION_TYPES, type CompressionType } from "../protocol/compression-type.ts";
import type { RecordHeader } from "../protocol/record-writer.ts";
import { type Arguments, type Usage, UsageError } from "./arguments.ts";
import { BOOTSTRAP_DEFAULT, BOOTSTRAP_OPTION } from "./cluster-options.ts";
import { linesOf } from "./input-lines.ts";
import { KafkaClient } from "./kafka-client.ts";
import { type OutgoingRecord, RecordSender } from "./record-sender.ts";
import type { Subcommand } from "./subcommands.ts";
import { OutputClosed, type Terminal } from "./terminal.ts";

const USAGE: Usage = {
  forms: ["TOPIC [FILE] [--key KEY | -K DELIMITER] [--header NAME=VALUE]... [--partition N]"],
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    key: { kind: "text", short: "k", value: "KEY", help: "The key of every record." },
    "key-delimiter": {
      kind: "text",
      short: "K",
      value: "DELIMITER",
      help: "What ends the key in a line; a line without it has no key.",
    },
    header: {
      kind: "list",
      short: "H",
      value: "NAME=VALUE",
      help: "A header of every record; repeatable.",
    },
    partition: {
      kind: "text",
      short: "p",
      value: "N",
      help: "Where to [default: by the key, or any].",
    },
    compression: {
      kind: "text",
      short: "z",
      value: "CODEC",
      help: `${COMPRESSION_TYPES.join(", ")} [default ${COMPRESSION_TYPES[0]}].`,
    },
    null: { kind: "flag", short: "Z", help: "An empty value, or key, is null: a tombstone." },
    whole: { kind: "flag", help: "The input as a whole is one record, line feeds included." },
    verbose: { kind: "flag", short: "v", help: "Print topic/partition/offset of each record." },
  },
  notes: `A record for each line of FILE, or of standard input without one or with "-". Lines are bytes of any kind. A
record is delivered when it is synced to disk (acks=all). What could not be delivered is told on standard
error with its line, and the exit code is 1. Keys go to the partitions that the Java client chooses.
`,
};

const PARTITION_MAX = 2 ** 31 - 1;
const READ_BYTES = 256 * 1024;
/** More refusals are only counted. */
const REFUSALS_TOLD_MAX = 20;

/** How lines become records. */
interface LineRules {
  readonly key: Uint8Array | null;
  readonly keyDelimiter: Uint8Array | undefined;
  readonly headers: readonly RecordHeader[];
  readonly isEmptyNull: boolean;
}

export const produceCommand: Subcommand = {
  usage: USAGE,
  run: async (args, terminal) => {
    const [topic, path = "-", unexpected] = args.words;
    if (!topic) throw new UsageError("The topic's name is missing.");
    if (unexpected !== undefined) throw new UsageError(`Unexpected argument "${unexpected}".`);
    const rules = lineRulesOf(args);
    const compression = compressionOf(args.text("compression"));
    const partition = args.count("partition", { min: 0, max: PARTITION_MAX });
    const input = path === "-" ? terminal.input() : fileChunks(systemDisk, path);
    const pieces = args.has("whole") ? wholeOf(input) : linesOf(input);
    await loadNative({ fallbackDirectory: "." }); // For checksums and codecs.
    const bootstrap = args.text("bootstrap") ?? BOOTSTRAP_DEFAULT;
    const client = await KafkaClient.connect(bootstrap, systemClock);
    try {
      const report = new DeliveryReport(terminal);
      const sender = new RecordSender({
        client,
        topic: await client.topic(topic, { mayCreate: true }),
        compression,
        partition,
        clock: systemClock,
        random: systemRandom,
        onDelivered: async (records, { partition: index, baseOffset }) => {
          report.deliveredCount += records.length;
          if (!args.has("verbose")) return;
          const places = records.map((_, place) => `${topic}/${index}/${baseOffset + place}\n`);
          await terminal.write(places.join(""));
          await terminal.flush();
        },
        onRefused: ({ line }, reason) => report.refuse(line, reason),
      });
      await sendAll(sender, pieces, { rules, report });
      return report.exitCode();
    } finally {
      client.close();
    }
  },
};

/** What became of the records. */
class DeliveryReport {
  readonly #terminal: Terminal;
  takenCount = 0;
  deliveredCount = 0;
  #refusedCount = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  refuse(line: number, reason: string): void {
    this.#refusedCount += 1;
    if (this.#refusedCount <= REFUSALS_TOLD_MAX) this.#tell(`Line ${line}: ${reason}`);
  }

  /** The failure that has ended everything, with what it left undone. */
  failureOf(thrown: unknown): Error {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const lostCount = this.takenCount - this.deliveredCount;
    if (lostCount === 0) return new Error(reason, { cause: thrown });
    const lost = `${lostCount} of ${this.takenCount} records read were not delivered, or may not be.`;
    return new Error(`${reason} ${lost}`, { cause: thrown });
  }

  exitCode(): number {
    if (this.#refusedCount === 0) return 0;
    this.#tell(`${this.#refusedCount} of ${this.takenCount} records were not delivered.`);
    return 1;
  }

  #tell(sentence: string): void {
    this.#terminal.tell(`chronik-server produce: ${sentence}`);
  }
}

/** Sends every piece of input as a record. @throws what has ended the sending */
async function sendAll(
  sender: RecordSender,
  pieces: AsyncIterable<readonly Uint8Array[]>,
  { rules, report }: { readonly rules: LineRules; readonly report: DeliveryReport },
): Promise<void> {
  const send = async (): Promise<void> => {
    for await (const lines of pieces) {
      for (const line of lines) {
        report.takenCount += 1;
        await sender.add(recordOf(line, report.takenCount, rules));
      }
      sender.nudge();
    }
    await sender.drain();
  };
  try {
    // A failure must show although the next line is still being typed.
    await Promise.race([send(), sender.failure]);
  } catch (thrown) {
    if (thrown instanceof OutputClosed) throw thrown;
    throw report.failureOf(thrown);
  }
}

function recordOf(line: Uint8Array, number: number, rules: LineRules): OutgoingRecord {
  const { keyDelimiter, headers } = rules;
  const keyEnd =
    keyDelimiter === undefined
      ? -1
      : Buffer.from(line.buffer, line.byteOffset, line.length).indexOf(keyDelimiter);
  const key = keyEnd < 0 ? rules.key : line.subarray(0, keyEnd);
  const value = keyEnd < 0 ? line : line.subarray(keyEnd + (keyDelimiter?.length ?? 0));
  const nullIfEmpty = (bytes: Uint8Array | null): Uint8Array | null =>
    rules.isEmptyNull && bytes?.length === 0 ? null : bytes;
  return {
    line: number,
    timestampMs: systemClock.nowMs(),
    key: nullIfEmpty(key),
    value: nullIfEmpty(value),
    headers,
  };
}

function lineRulesOf(args: Arguments): LineRules {
  const [key, delimiter] = [args.text("key"), args.text("key-delimiter")];
  if (key !== undefined && delimiter !== undefined) {
    throw new UsageError("Either --key or --key-delimiter.");
  }
  if (delimiter === "") throw new UsageError("--key-delimiter must not be empty.");
  return {
    key: key === undefined ? null : Buffer.from(key),
    keyDelimiter: delimiter === undefined ? undefined : Buffer.from(delimiter),
    headers: args.list("header").map(headerOf),
    isEmptyNull: args.has("null"),
  };
}

function headerOf(text: string): RecordHeader {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UsageError(`--header takes NAME=VALUE, not "${text}".`);
  return { key: Buffer.from(text.slice(0, equals)), value: Buffer.from(text.slice(equals + 1)) };
}

function compressionOf(name = "none"): CompressionType {
  const compression = COMPRESSION_TYPES.find((type) => type === name);
  if (compression === undefined) {
    throw new UsageError(`--compression takes ${COMPRESSION_TYPES.join(", ")}, not "${name}".`);
  }
  return compression;
}

/** All input as one piece. */
async function* wholeOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(chunk);
  yield [Buffer.concat(chunks)];
}

async function* fileChunks(disk: Disk, path: string): AsyncGenerator<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    for (let position = 0; ; ) {
      const chunk = new Uint8Array(READ_BYTES);
      const readBytes = await file.read(chunk, position);
      if (readBytes > 0) yield chunk.subarray(0, readBytes);
      if (readBytes < chunk.length) return;
      position += readBytes;
    }
  } finally {
    await file.close();
  }
}
