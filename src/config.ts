/**
 * From flags, variables and a TOML file to one frozen `Config`. A flag wins over a `CHRONIK_*` variable, that
 * over a `KAFKA_*` one, that over the file, and the file over the default. What is not in the table of
 * `config/settings.ts` is an error that names the nearest setting.
 */

import { parseArgs } from "node:util";
import { parse as parseToml, TomlError } from "smol-toml";
import { readKafkaEnvironment } from "./config/kafka-environment.ts";
import { choosableBytesOf, isPowerOfTwo, memorySharesOf } from "./config/memory-budget.ts";
import { nearestOf } from "./config/nearest.ts";
import { kebabOf, snakeOf, variableOf } from "./config/setting-spelling.ts";
import { type Config, SETTING_NAMES, type SettingName, settingOf } from "./config/settings.ts";
import { formatBytes } from "./config/units.ts";
import { ConfigError, formatValue, parseValue, type SettingValue } from "./config/values.ts";
import type { LogFields } from "./core/logger.ts";
import { ObjectStoreUrlError, parseObjectStoreUrl } from "./segment/object-store-url.ts";

export type { AdvertisedAddress, Config } from "./config/settings.ts";

/** What the command line asks for. */
export type Command = "standalone" | "help" | "version";

/** Where settings come from. */
export interface ConfigSources {
  /** Without the program's name. */
  readonly argv: readonly string[];
  /** Names that mean something as the first argument only, and not here. */
  readonly subcommands?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of a file; called only if `--config` or `CHRONIK_CONFIG` names one. */
  readFile(path: string): Promise<string>;
}

export interface LoadedConfig {
  readonly command: Command;
  /** For `help` and `version`: the defaults, whatever the sources say. */
  readonly config: Config;
  /** Sentences for the log: settings that are allowed but may surprise. */
  readonly warnings: readonly string[];
}

const CONFIG_VARIABLE = "CHRONIK_CONFIG";
const COMMANDS: readonly string[] = ["standalone", "help", "version"];

type Values = Partial<Record<SettingName, SettingValue>>;

/** The effective configuration. @throws ConfigError with a sentence for the person who set it */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const {
    command,
    values: flags,
    configPath = sources.env[CONFIG_VARIABLE],
  } = readFlags(sources.argv, sources.subcommands ?? []);
  if (command !== "standalone") return { command, config: completed({}), warnings: [] };
  const kafka = readKafkaEnvironment(sources.env);
  const fromKafka: Values = {};
  for (const [name, { text, origin }] of kafka.values) {
    fromKafka[name] = parseValue(settingOf(name), text, origin);
  }
  const file = configPath ? await readConfigFile(configPath, sources) : {};
  const config = completed({ ...file, ...fromKafka, ...readVariables(sources.env), ...flags });
  return { command, config, warnings: [...kafka.warnings, ...warningsOf(config)] };
}

/** Every setting as a log field. */
export function effectiveSettings(config: Config): LogFields {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => [snakeOf(name), formatValue(settingOf(name), config[name])]),
  );
}

interface Flags {
  readonly command: Command;
  readonly values: Values;
  readonly configPath: string | undefined;
}

/** Flags may stand before and after the command. */
function readFlags(argv: readonly string[], subcommands: readonly string[]): Flags {
  const nameOfFlag = new Map(SETTING_NAMES.map((name) => [kebabOf(name), name]));
  const { tokens } = parseArgs({
    args: [...argv],
    options: parseArgsOptions(),
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const values: Values = {};
  let configPath: string | undefined;
  let command: string | undefined;
  let asked: Command | undefined;
  for (const token of tokens) {
    if (token.kind === "positional") {
      if (command !== undefined) {
        commandOf(command, subcommands); // What is wrong with the first one says more.
        throw new ConfigError(`Unexpected argument "${token.value}".`);
      }
      command = token.value;
    } else if (token.kind === "option") {
      if (token.name === "help" || token.name === "version") asked ??= token.name;
      else if (token.name === "config") configPath = textOf(token);
      else Object.assign(values, settingOfFlag(token, nameOfFlag));
    }
  }
  return { command: asked ?? commandOf(command, subcommands), values, configPath };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
}

function textOf({ rawName, value }: OptionToken): string {
  if (value === undefined || value === "") throw new ConfigError(`${rawName} needs a value.`);
  return value;
}

function settingOfFlag(token: OptionToken, nameOfFlag: Map<string, SettingName>): Values {
  const negated = token.name.startsWith("no-") ? nameOfFlag.get(token.name.slice(3)) : undefined;
  if (negated !== undefined && settingOf(negated).kind === "boolean" && token.value === undefined) {
    return { [negated]: false };
  }
  const name = nameOfFlag.get(token.name);
  if (name === undefined) {
    const known = [...nameOfFlag.keys(), "config", "help", "version"].map((flag) => `--${flag}`);
    throw unknownNameError("flag", token.rawName, known);
  }
  const setting = settingOf(name);
  const isSwitch = setting.kind === "boolean" && token.value === undefined;
  return { [name]: isSwitch ? true : parseValue(setting, textOf(token), token.rawName) };
}

function parseArgsOptions() {
  const options: Record<string, { type: "boolean" | "string"; short?: string }> = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
    config: { type: "string", short: "c" },
  };
  for (const name of SETTING_NAMES) {
    options[kebabOf(name)] = { type: settingOf(name).kind === "boolean" ? "boolean" : "string" };
  }
  return options;
}

function commandOf(written: string | undefined, subcommands: readonly string[]): Command {
  if (written === undefined || written === "standalone") return "standalone";
  if (written === "help" || written === "version") return written;
  if (subcommands.includes(written)) {
    throw new ConfigError(`${written} must be the first argument; its options follow it.`);
  }
  throw unknownNameError("command", written, [...COMMANDS, ...subcommands]);
}

function readVariables(env: ConfigSources["env"]): Values {
  const nameOfVariable = new Map(SETTING_NAMES.map((name) => [variableOf(name), name]));
  const values: Values = {};
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("CHRONIK_") || variable === CONFIG_VARIABLE || !text) continue;
    const name = nameOfVariable.get(variable);
    if (name === undefined) {
      throw unknownNameError("variable", variable, [...nameOfVariable.keys(), CONFIG_VARIABLE]);
    }
    values[name] = parseValue(settingOf(name), text, variable);
  }
  return values;
}

async function readConfigFile(path: string, sources: ConfigSources): Promise<Values> {
  const nameOfKey = new Map(SETTING_NAMES.map((name) => [snakeOf(name), name]));
  const values: Values = {};
  for (const [key, written] of Object.entries(await parseConfigFile(path, sources))) {
    const name = nameOfKey.get(key);
    if (name === undefined) throw unknownNameError(`key in ${path}:`, key, [...nameOfKey.keys()]);
    values[name] = parseValue(settingOf(name), written, `${key} in ${path}`);
  }
  return values;
}

async function parseConfigFile(path: string, sources: ConfigSources): Promise<object> {
  let text: string;
  try {
    text = await sources.readFile(path);
  } catch (cause) {
    throw new ConfigError(`The configuration file ${path} cannot be read.`, { cause });
  }
  try {
    return parseToml(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const [reason = ""] = cause.message.split("\n");
    throw new ConfigError(`${path}, line ${cause.line}, column ${cause.column}: ${reason}`, {
      cause,
    });
  }
}

function unknownNameError(what: string, written: string, known: readonly string[]): ConfigError {
  const nearest = nearestOf(written, known);
  const hint = nearest === undefined ? "--help lists all of them" : `did you mean ${nearest}?`;
  return new ConfigError(`Unknown ${what} ${written}; ${hint}`);
}

/** Defaults and shares of memory filled in, and the rules between settings checked. */
function completed(values: Values): Config {
  const all: Values = {};
  for (const name of SETTING_NAMES) all[name] = values[name] ?? settingOf(name).default;
  const chosen = all as Config; // Each value was parsed by its own row.
  const shares = memorySharesOf(chosen.memoryMaxBytes, chosen);
  const capped = (name: "frameBytesLimit" | "fetchMaxBytes"): number =>
    values[name] === undefined ? Math.min(chosen[name], shares.inFlightBytesMax) : chosen[name];
  const config: Config = Object.freeze({
    ...chosen,
    ...shares,
    frameBytesLimit: capped("frameBytesLimit"),
    fetchMaxBytes: capped("fetchMaxBytes"),
  });
  checkTogether(config);
  return config;
}

/** The rules that bind several settings. */
function checkTogether(config: Config): void {
  const require = (isMet: boolean, sentence: string): void => {
    if (!isMet) throw new ConfigError(sentence);
  };
  require(isPowerOfTwo(config.walFileBytes), "wal-file-bytes must be a power of two.");
  require(isPowerOfTwo(config.walSlabBytes), "wal-slab-bytes must be a power of two.");
  require(config.walSlabBytes <=
    config.walFileBytes, "wal-slab-bytes must not exceed wal-file-bytes.");
  require(config.walBytesMax >= 2 * config.walFileBytes, "wal-bytes-max must hold two WAL files.");
  const slabHalf = formatBytes(config.walSlabBytes / 2);
  require(config.messageMaxBytes <=
    config.walSlabBytes /
      2, `message-max-bytes must not exceed half of wal-slab-bytes, ${slabHalf}.`);
  require(config.messageMaxBytes <=
    config.frameBytesLimit, "message-max-bytes must not exceed frame-bytes-limit.");
  require(config.frameBytesLimit <=
    config.inFlightBytesMax, `frame-bytes-limit must not exceed in-flight-bytes-max, ${formatBytes(config.inFlightBytesMax)}.`);
  require(config.groupMinSessionTimeoutMs <=
    config.groupMaxSessionTimeoutMs, "group-min-session-timeout-ms must not exceed group-max-session-timeout-ms.");
  const { memoryMaxBytes, walSlabBytes, inFlightBytesMax, liveIndexBytesMax } = config;
  const shared = choosableBytesOf(memoryMaxBytes);
  require(walSlabBytes + inFlightBytesMax + liveIndexBytesMax <=
    shared, "wal-slab-bytes, in-flight-bytes-max and live-index-bytes-max together exceed the " +
    `${formatBytes(shared)} that memory-max ${formatBytes(memoryMaxBytes)} leaves for them.`);
  if (config.objectStore !== "") checkObjectStore(config.objectStore);
}

function checkObjectStore(url: string): void {
  try {
    parseObjectStoreUrl(url);
  } catch (cause) {
    if (!(cause instanceof ObjectStoreUrlError)) throw cause;
    throw new ConfigError(`object-store: ${cause.message}`, { cause });
  }
}

function warningsOf(config: Config): string[] {
  const isLoopback = /^(localhost|127\.[\d.]+|::1)$/.test(config.bindAddr);
  if (isLoopback) return [];
  return [
    `bind-addr ${config.bindAddr} lets other machines in, and there is no authentication: ` +
      "anyone who reaches the ports can read and write everything.",
  ];
}
