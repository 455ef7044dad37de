/**
 * The subcommands beside the broker itself. Only their names and summaries are known when the process starts: the
 * program of one is loaded when it is asked for, so that the broker starts as fast as without them.
 */

import type { Arguments, Usage } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

/** A subcommand's program. */
export interface Subcommand {
  readonly usage: Usage;
  /** @returns the exit code. @throws UsageError; any other error is told by its message, with exit code 1 */
  run(args: Arguments, terminal: Terminal): Promise<number>;
}

export interface SubcommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<Subcommand>;
}

export const SUBCOMMANDS: readonly SubcommandEntry[] = [
  {
    name: "topics",
    summary: "List, describe, create and delete topics.",
    load: async () => (await import("./topics.ts")).topicsCommand,
  },
  {
    name: "produce",
    summary: "Send the lines of a file, or of standard input, as records.",
    load: async () => (await import("./produce.ts")).produceCommand,
  },
  {
    name: "consume",
    summary: "Print the records of a topic.",
    load: async () => (await import("./consume.ts")).consumeCommand,
  },
  {
    name: "search",
    summary: "Find records by their text.",
    load: async () => (await import("./search.ts")).searchCommand,
  },
  {
    name: "check",
    summary: "Tell whether the data directory of a stopped broker is whole.",
    load: async () => (await import("./check.ts")).checkCommand,
  },
];

/** The subcommand of that name, if there is one. */
export function subcommandOf(name: string): SubcommandEntry | undefined {
  return SUBCOMMANDS.find((entry) => entry.name === name);
}
