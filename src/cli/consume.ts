/** `chronik-server consume`: prints a topic's records, and goes on with new ones as they come. */

import { systemClock } from "../core/clock.ts";
import { loadNative } from "../core/native.ts";
import { type LogPosition, logPositionOf } from "../http/log-position.ts";
import { recordsOf } from "../protocol/batch-records.ts";
import { SearchError } from "../search/elasticsearch-error.ts";
import { type Arguments, type Usage, UsageError } from "./arguments.ts";
import { BOOTSTRAP_DEFAULT, BOOTSTRAP_OPTION } from "./cluster-options.ts";
import { FORMAT_DEFAULT, jsonFormat, type RecordFormat, recordFormatOf } from "./record-format.ts";
import type { Subcommand } from "./subcommands.ts";
import type { Terminal } from "./terminal.ts";
import { type FetchedBatch, TopicReader } from "./topic-reader.ts";

const USAGE: Usage = {
  forms: [
    "TOPIC [--from POSITION] [--partition N] [--max N] [--exit-at-end] [--format TEXT | --json]",
  ],
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    from: {
      kind: "text",
      short: "o",
      value: "POSITION",
      help: "Where to begin [default beginning].",
    },
    partition: { kind: "text", short: "p", value: "N", help: "Only this one." },
    max: { kind: "text", short: "n", value: "N", help: "End after so many records." },
    "exit-at-end": {
      kind: "flag",
      short: "e",
      help: "End behind the last record that was there at the start.",
    },
    format: {
      kind: "text",
      short: "f",
      value: "TEXT",
      help: `How to print a record [default ${FORMAT_DEFAULT}].`,
    },
    json: { kind: "flag", short: "J", help: "One JSON object a line." },
  },
  notes: `POSITION: beginning, end, an offset, -100 (so many before the end, in each partition), a time in UTC as in
2026-01-31T10:00 or in ms since 1970, or so long ago: -15m, -2h, -1d.

TEXT: %s value, %k key, %h headers, %t topic, %p partition, %o offset, %T timestamp in ms, %D timestamp as a date,
%S %K lengths of value and key (-1: null), %% a percent sign; \\n \\r \\t \\0 \\\\ \\xHH.

Ctrl-C ends it.
`,
};

const PARTITION_MAX = 2 ** 31 - 1;
/** Pieces of records are written together, up to so many. */
const PARTS_MAX = 1000;
/** A batch that holds more, decompressed, is an error. */
const RECORDS_BYTES_MAX = 512 * 1024 * 1024;

export const consumeCommand: Subcommand = {
  usage: USAGE,
  run: async (args, terminal) => {
    const topic = args.soleWord("The topic's name");
    const format = formatOf(args);
    const recordsMax = args.count("max", { min: 0, max: Number.MAX_SAFE_INTEGER });
    await loadNative({ fallbackDirectory: "." }); // For checksums and codecs.
    const interrupted = terminal.catchInterrupts();
    const reader = await TopicReader.open({
      bootstrap: args.text("bootstrap") ?? BOOTSTRAP_DEFAULT,
      topic,
      partition: args.count("partition", { min: 0, max: PARTITION_MAX }),
      from: positionOf(args.text("from") ?? "beginning"),
      clock: systemClock,
      tell: (sentence) => terminal.tell(`chronik-server consume: ${sentence}`),
    });
    try {
      const ends = args.has("exit-at-end") ? await reader.ends() : undefined;
      const printer = new RecordPrinter({ topic, format, terminal, recordsMax });
      while (!printer.isFull && (ends === undefined || !reader.hasReached(ends))) {
        const batches = await untilAborted(reader.read(), interrupted);
        if (batches === undefined) break;
        for (const batch of batches) await printer.print(batch);
        await terminal.flush();
      }
    } finally {
      reader.close();
    }
    return 0;
  },
};

interface PrinterOptions {
  readonly topic: string;
  readonly format: RecordFormat;
  readonly terminal: Terminal;
  readonly recordsMax: number | undefined;
}

/** Prints records up to the wanted number. */
class RecordPrinter {
  readonly #options: PrinterOptions;
  #recordsLeft: number;

  constructor(options: PrinterOptions) {
    this.#options = options;
    this.#recordsLeft = options.recordsMax ?? Number.POSITIVE_INFINITY;
  }

  get isFull(): boolean {
    return this.#recordsLeft <= 0;
  }

  async print({ partition, fromOffset, header, bytes }: FetchedBatch): Promise<void> {
    if (header.isControl) return;
    const { topic, format } = this.#options;
    const parts: Uint8Array[] = [];
    const cursor = recordsOf(bytes, 0, header, RECORDS_BYTES_MAX);
    while (!this.isFull && cursor.next()) {
      const offset = header.baseOffset + cursor.offsetDelta;
      if (offset < fromOffset) continue;
      const isAppendTime = header.timestampType === "LogAppendTime";
      const timestampMs = isAppendTime
        ? header.maxTimestampMs
        : header.baseTimestampMs + cursor.timestampDelta;
      format(cursor, { topic, partition, offset, timestampMs }, parts);
      this.#recordsLeft -= 1;
      if (parts.length >= PARTS_MAX) await this.#write(parts);
    }
    await this.#write(parts);
  }

  async #write(parts: Uint8Array[]): Promise<void> {
    await this.#options.terminal.write(Buffer.concat(parts));
    parts.length = 0;
  }
}

function formatOf(args: Arguments): RecordFormat {
  if (!args.has("json")) return recordFormatOf(args.text("format") ?? FORMAT_DEFAULT);
  if (args.has("format")) throw new UsageError("Either --format or --json.");
  return jsonFormat;
}

function positionOf(text: string): LogPosition {
  try {
    return logPositionOf(text, systemClock.nowMs());
  } catch (thrown) {
    if (!(thrown instanceof SearchError)) throw thrown;
    throw new UsageError(`--from does not understand "${text}"; --help lists what it takes.`);
  }
}

/** Undefined when `signal` is faster; what `work` does then is nobody's business any more. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const stop = (): void => resolve(undefined);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
