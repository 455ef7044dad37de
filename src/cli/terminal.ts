/** The standard streams, as subcommands use them. */

/** The reader of standard output has gone, as in `consume | head`: there is nothing left to do, and nothing to say. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

export interface Terminal {
  /** Adds to standard output. Waits while its reader is behind. @throws OutputClosed */
  write(output: Uint8Array | string): Promise<void>;
  /** Brings out what was written. @throws OutputClosed */
  flush(): Promise<void>;
  /** A line for the person, on standard error. */
  tell(line: string): void;
  /** What comes in on standard input. */
  input(): AsyncIterable<Uint8Array>;
  /** From now on Ctrl-C, or SIGTERM, only aborts the returned signal. */
  catchInterrupts(): AbortSignal;
  /** Width of the terminal; undefined if standard output is none. */
  readonly columns: number | undefined;
}

/** Output is collected up to this much. */
const BUFFER_BYTES = 64 * 1024;

/** The streams of this process. */
export function systemTerminal(): Terminal {
  const sink = Bun.stdout.writer({ highWaterMark: BUFFER_BYTES });
  let unflushedBytes = 0;
  const flush = async (): Promise<void> => {
    unflushedBytes = 0;
    await closedOutputTold(() => sink.flush());
  };
  return {
    write: async (output) => {
      // A failed write inside `write` is reported by the next flush too.
      const written = await closedOutputTold(() => sink.write(output));
      unflushedBytes += written;
      if (unflushedBytes >= BUFFER_BYTES) await flush();
    },
    flush,
    columns: process.stdout.isTTY ? process.stdout.columns : undefined,
    tell: (line) => void process.stderr.write(`${line}\n`),
    input: () => Bun.stdin.stream(),
    catchInterrupts: () => {
      const controller = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.on(signal, () => controller.abort());
      }
      return controller.signal;
    },
  };
}

async function closedOutputTold(action: () => number | Promise<number>): Promise<number> {
  try {
    return await action();
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EPIPE") {
      throw new OutputClosed("Standard output was closed.", { cause: thrown });
    }
    throw thrown;
  }
}
