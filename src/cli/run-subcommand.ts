/** Runs a subcommand from its arguments to its exit code: 0 done, 1 failed, 2 not understood. */

import { readArguments, UsageError, usageText } from "./arguments.ts";
import { EXIT_CODE_USAGE } from "./command-line.ts";
import type { SubcommandEntry } from "./subcommands.ts";
import { OutputClosed, systemTerminal } from "./terminal.ts";

const EXIT_CODE_FAILURE = 1;

/** @param args what follows the subcommand's name. Never rejects. */
export async function runSubcommand(
  { name, summary, load }: SubcommandEntry,
  args: readonly string[],
  terminal = systemTerminal(),
): Promise<number> {
  try {
    const { usage, run } = await load();
    const parsed = readArguments(args, usage);
    let exitCode = 0;
    if (parsed === undefined) await terminal.write(usageText(usage, name, summary));
    else exitCode = await run(parsed, terminal);
    await terminal.flush();
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof OutputClosed) return 0;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    terminal.tell(`chronik-server ${name}: ${reason}`);
    return thrown instanceof UsageError ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE;
  }
}
