/** What the program was asked to do: run with a configuration, or print something and exit. */

import { ConfigError } from "../config/values.ts";
import { type ConfigSources, type LoadedConfig, loadConfig } from "../config.ts";
import { helpText } from "./help.ts";

/** Exit code of a command line, variable or file that cannot be used. */
export const EXIT_CODE_USAGE = 2;

export type Invocation =
  | ({ readonly kind: "run" } & Omit<LoadedConfig, "command">)
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "refuse"; readonly text: string; readonly exitCode: number };

/** Reads the command line. Texts end with a newline; `print` is for standard output, `refuse` for standard error. */
export async function readInvocation(sources: ConfigSources, version: string): Promise<Invocation> {
  try {
    const { command, ...loaded } = await loadConfig(sources);
    if (command === "standalone") return { kind: "run", ...loaded };
    const text = command === "help" ? helpText() : `chronik-server ${version}\n`;
    return { kind: "print", text };
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const text = `chronik-server: ${thrown.message}\n`;
    return { kind: "refuse", text, exitCode: EXIT_CODE_USAGE };
  }
}

/** Where the broker listens, once it does. */
export interface ReadyAddresses {
  readonly host: string;
  readonly kafkaPort: number;
  readonly httpPort: number;
  readonly dataDir: string;
}

/** The line that tells people and scripts that clients may come. */
export function readyLine(
  { host, kafkaPort, httpPort, dataDir }: ReadyAddresses,
  elapsedMs: number,
): string {
  const written = host.includes(":") ? `[${host}]` : host;
  const ports = `kafka ${written}:${kafkaPort} http ${written}:${httpPort}`;
  return `chronik ready in ${Math.round(elapsedMs)} ms: ${ports} data ${dataDir}\n`;
}
