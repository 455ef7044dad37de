/** One setting's value from text, a TOML value or a variable, checked against its row; and back to text. */

import { assertNever } from "../core/assert.ts";
import type { AdvertisedAddress, Setting } from "./settings.ts";
import { bytesOf, durationOf, formatBytes } from "./units.ts";

/** A setting that cannot be used. The message is one sentence for the person who set it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** As Kafka writes it, where a setting's lower bound is -1. */
const NO_LIMIT = "-1";

export type SettingValue = string | number | boolean | AdvertisedAddress | undefined;

/**
 * The value that `written` means.
 * @param origin how the person named the setting: `--kafka-port`, `CHRONIK_KAFKA_PORT`, `kafka_port`
 * @throws ConfigError if it has the wrong form or is out of bounds
 */
export function parseValue(setting: Setting, written: unknown, origin: string): SettingValue {
  const isTable = typeof written === "object"; // A TOML table, list or date.
  const text = isTable ? "" : String(written).trim();
  if (text === "") {
    throw new ConfigError(`${origin} needs ${expectationOf(setting)}.`);
  }
  const value = meaningOf(setting, text);
  if (value === undefined) {
    throw new ConfigError(
      `${origin} is ${JSON.stringify(text)}; it must be ${expectationOf(setting)}.`,
    );
  }
  return value;
}

/** How a value looks in `--help`, in logs and in the README; `parseValue` reads it back. */
export function formatValue(setting: Setting, value: SettingValue): string {
  if (value === undefined) return "";
  if (typeof value === "object") return formatAddress(value);
  if (setting.kind === "bytes" && typeof value === "number") return formatBytes(value);
  return String(value);
}

/** What a value must be, bounds included: `a size from 1M to 1G`. */
function expectationOf(setting: Setting): string {
  switch (setting.kind) {
    case "text":
      return "a text";
    case "boolean":
      return "true or false";
    case "choice":
      return `one of ${setting.values.join(", ")}`;
    case "address":
      return "a host or host:port";
    case "count":
      return `a whole number from ${setting.min} to ${setting.max}`;
    case "bytes":
      return `a size from ${formatBytes(setting.min)} to ${formatBytes(setting.max)}`;
    case "duration":
      return `a whole number of ${setting.unit} from ${setting.min} to ${setting.max}`;
    default:
      return assertNever(setting);
  }
}

function meaningOf(setting: Setting, text: string): SettingValue {
  switch (setting.kind) {
    case "text":
      return text;
    case "boolean":
      return booleanOf(text);
    case "choice":
      return setting.values.includes(text) ? text : undefined;
    case "address":
      return addressOf(text);
    case "count":
      return boundedOf(setting, /^\d+$/.test(text) ? Number(text) : undefined);
    case "bytes": {
      const bytes = text === NO_LIMIT ? -1 : bytesOf(text);
      return bytes === 0 && setting.derived ? 0 : boundedOf(setting, bytes);
    }
    case "duration":
      return boundedOf(setting, text === NO_LIMIT ? -1 : durationOf(text, setting.unit));
    default:
      return assertNever(setting);
  }
}

function boundedOf(bounds: { min: number; max: number }, value?: number): number | undefined {
  return value !== undefined && value >= bounds.min && value <= bounds.max ? value : undefined;
}

function booleanOf(text: string): boolean | undefined {
  if (/^(true|yes|on|1)$/i.test(text)) return true;
  return /^(false|no|off|0)$/i.test(text) ? false : undefined;
}

/** `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address. */
function addressOf(text: string): AdvertisedAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/i.exec(text);
  if (match === null) return isBareIpv6(text) ? { host: text, port: undefined } : undefined;
  const host = match[1] ?? match[2] ?? "";
  const port = match[3] === undefined ? undefined : Number(match[3]);
  if (host === "0.0.0.0" || host === "::") return undefined; // Nobody can connect to "every address".
  return port === undefined || (port > 0 && port <= 65_535) ? { host, port } : undefined;
}

function isBareIpv6(text: string): boolean {
  return /^[0-9a-f:.]+$/i.test(text) && text.split(":").length > 2 && text !== "::";
}

function formatAddress({ host, port }: AdvertisedAddress): string {
  const written = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? written : `${written}:${port}`;
}
