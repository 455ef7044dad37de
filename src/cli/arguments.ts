/**
 * The options and words of one subcommand, read by a table that also makes its `--help`. Options may stand before and
 * after the words; the value of an option may begin with a dash, as in `--from -15m`. `--` ends the options.
 */

import { parseArgs } from "node:util";
import { nearestOf } from "../config/nearest.ts";

/** What a person must change about the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface OptionSpec {
  /** A flag has no value; a list may be given several times. */
  readonly kind: "flag" | "text" | "list";
  /** One letter. */
  readonly short?: string;
  /** How the value is called in the help. */
  readonly value?: string;
  readonly help: string;
}

/** What `--help` tells of a subcommand. */
export interface Usage {
  /** What may follow the name, a line each. */
  readonly forms: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Printed at the end of the help; ends with a newline. */
  readonly notes?: string;
}

const HELP_OPTION: OptionSpec = { kind: "flag", short: "h", help: "Print this text." };
const HELP_COLUMN = 30;

/** What was given, not yet understood. */
export class Arguments {
  /** The words that are no options, in order. */
  readonly words: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.words = words;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** A whole number within the bounds, both inclusive. @throws UsageError */
  count(name: string, { min, max }: { readonly min: number; readonly max: number }) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const count = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(count >= min && count <= max)) {
      throw new UsageError(`--${name} takes a whole number from ${min} to ${max}, not "${text}".`);
    }
    return count;
  }

  /** The one word there must be. @throws UsageError */
  soleWord(what: string): string {
    const [word, ...rest] = this.words;
    if (word === undefined || word === "") throw new UsageError(`${what} is missing.`);
    if (rest[0] !== undefined) throw new UsageError(`Unexpected argument "${rest[0]}".`);
    return word;
  }
}

/** @returns undefined if help is asked for. @throws UsageError */
export function readArguments(args: readonly string[], usage: Usage): Arguments | undefined {
  const specs: Readonly<Record<string, OptionSpec>> = { ...usage.options, help: HELP_OPTION };
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { kind, short }]) => {
      const type = kind === "flag" ? ("boolean" as const) : ("string" as const);
      return [name, { type, ...(short === undefined ? {} : { short }) }];
    }),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const words: string[] = [];
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (spec === undefined) throw unknownOption(token.rawName, Object.keys(specs));
    const earlier = values.get(token.name) ?? [];
    values.set(token.name, [...earlier, textOf(token, spec)]);
    if (earlier.length > 0 && spec.kind === "text") {
      throw new UsageError(`${token.rawName} is given twice.`);
    }
  }
  return values.has("help") ? undefined : new Arguments(words, values);
}

/** The text of `chronik-server <name> --help`. */
export function usageText(usage: Usage, name: string, summary: string): string {
  const forms = usage.forms.map((form, index) => {
    const start = index === 0 ? "Usage:" : "      ";
    return `${start} chronik-server ${name} ${form}`.trimEnd();
  });
  const specs = Object.entries({ ...usage.options, help: HELP_OPTION });
  const options = specs.map(([option, spec]) => {
    const short = spec.short === undefined ? "    " : `-${spec.short}, `;
    const value = spec.kind === "flag" ? "" : ` ${spec.value ?? "VALUE"}`;
    const left = `  ${short}--${option}${value}`;
    const gap =
      left.length + 1 < HELP_COLUMN
        ? " ".repeat(HELP_COLUMN - left.length)
        : `\n${" ".repeat(HELP_COLUMN)}`;
    return `${left}${gap}${spec.help}`;
  });
  const notes = usage.notes === undefined ? "" : `\n${usage.notes}`;
  return `${summary}\n\n${forms.join("\n")}\n\n${options.join("\n")}\n${notes}`;
}

function textOf(
  token: { readonly rawName: string; readonly value?: string | undefined },
  { kind }: OptionSpec,
): string {
  if (kind === "flag") {
    if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value.`);
    return "";
  }
  if (token.value === undefined) throw new UsageError(`${token.rawName} needs a value.`);
  return token.value;
}

function unknownOption(rawName: string, names: readonly string[]): UsageError {
  const nearest = nearestOf(
    rawName,
    names.map((name) => `--${name}`),
  );
  const hint = nearest === undefined ? "--help lists all of them" : `did you mean ${nearest}?`;
  return new UsageError(`Unknown option ${rawName}; ${hint}`);
}
