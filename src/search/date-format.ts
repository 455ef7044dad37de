/**
 * Times as text, as far as Elasticsearch's `format` and `time_zone` are spoken here (source: Elasticsearch
 * reference, "format"): the names below, and patterns of yyyy, MM, dd, HH, mm, ss, SSS, Z and quoted text.
 */

import { parsingError } from "./elasticsearch-error.ts";
import { stringOf } from "./json-reader.ts";

export interface DateFormat {
  /** What is added to a time to get the one on the clocks of the zone. */
  readonly zoneMs: number;
  text(ms: number): string;
}

const ISO_NAMES = [
  ...["strict_date_optional_time", "date_optional_time", "strict_date_time", "date_time"],
  ...["strict_date_optional_time_nanos", "iso8601"],
];
const ISO = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";
const NAMED: ReadonlyMap<string, string> = new Map([
  ...ISO_NAMES.map((name): [string, string] => [name, ISO]),
  ["strict_date", "yyyy-MM-dd"],
  ["date", "yyyy-MM-dd"],
  ["strict_date_hour_minute_second", "yyyy-MM-dd'T'HH:mm:ss"],
  ["date_hour_minute_second", "yyyy-MM-dd'T'HH:mm:ss"],
]);
const TOKEN = /yyyy|uuuu|MM|dd|HH|mm|ss|SSS|XXX|Z|'[^']*'|[^A-Za-z']/y;
const FORMAT_LENGTH_MAX = 100;
const MINUTE_MS = 60_000;
/** Beyond, a `Date` has no parts. */
const TIME_MS_MAX = 8.64e15;

/** @param where for the reason. @throws SearchError 400 for a format or a zone that is not understood */
export function createDateFormat(format: unknown, zone: unknown, where: string): DateFormat {
  const zoneMs = zoneMsOf(zone, where);
  // The first of several is the one for writing.
  const [name = ""] = format === undefined ? [ISO] : stringOf(format, where).split("||");
  if (name === "epoch_millis") return { zoneMs, text: (ms) => String(ms) };
  if (name === "epoch_second") return { zoneMs, text: (ms) => String(Math.floor(ms / 1_000)) };
  const tokens = tokensOf(NAMED.get(name) ?? name);
  if (tokens === undefined) throw parsingError(`${where} does not support format [${name}]`);
  return {
    zoneMs,
    text: (ms) => {
      const local = new Date(Math.min(Math.max(ms + zoneMs, -TIME_MS_MAX), TIME_MS_MAX));
      return tokens.map((token) => textOf(token, local, zoneMs)).join("");
    },
  };
}

function tokensOf(pattern: string): readonly string[] | undefined {
  if (pattern === "" || pattern.length > FORMAT_LENGTH_MAX) return undefined;
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < pattern.length) {
    const [token] = TOKEN.exec(pattern) ?? [];
    if (token === undefined) return undefined;
    tokens.push(token);
  }
  return tokens;
}

function textOf(token: string, local: Date, zoneMs: number): string {
  switch (token) {
    case "yyyy":
    case "uuuu":
      return local.getUTCFullYear() < 0
        ? `-${padded(-local.getUTCFullYear(), 4)}`
        : padded(local.getUTCFullYear(), 4);
    case "MM":
      return padded(local.getUTCMonth() + 1, 2);
    case "dd":
      return padded(local.getUTCDate(), 2);
    case "HH":
      return padded(local.getUTCHours(), 2);
    case "mm":
      return padded(local.getUTCMinutes(), 2);
    case "ss":
      return padded(local.getUTCSeconds(), 2);
    case "SSS":
      return padded(local.getUTCMilliseconds(), 3);
    case "Z":
    case "XXX":
      return zoneText(zoneMs);
    default:
      return token.startsWith("'") ? token.slice(1, -1) || "'" : token;
  }
}

function padded(number: number, length: number): string {
  return String(number).padStart(length, "0");
}

function zoneText(zoneMs: number): string {
  if (zoneMs === 0) return "Z";
  const minutes = Math.abs(zoneMs) / MINUTE_MS;
  const text = `${padded(Math.floor(minutes / 60), 2)}:${padded(minutes % 60, 2)}`;
  return zoneMs < 0 ? `-${text}` : `+${text}`;
}

function zoneMsOf(zone: unknown, where: string): number {
  if (zone === undefined) return 0;
  const text = stringOf(zone, `${where} time_zone`);
  if (/^(UTC|GMT|Z|Etc\/UTC)$/i.test(text)) return 0;
  const match = /^(?:UTC|GMT)?([+-])(\d\d?):?(\d\d)?$/.exec(text);
  const [, sign, hours = "0", minutes = "0"] = match ?? [];
  if (match === null || Number(hours) > 18 || Number(minutes) > 59) {
    throw parsingError(`${where} time_zone is [UTC] or an offset as in [+02:00], not [${text}]`);
  }
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
}
