/**
 * Points in time as Elasticsearch writes them: milliseconds, ISO 8601 dates that may be cut short, and
 * date math (source: Elasticsearch reference, "Date math"): `now-15m`, `now/d`, `2026-01-01||+1M/d`. UTC.
 */

import { parsingError } from "./elasticsearch-error.ts";

interface DateOptions {
  readonly nowMs: number;
  /** Whether a date that is cut short, or rounded, means its last millisecond: for `gt` and `lte`. */
  readonly roundsUp: boolean;
}

type Unit = "y" | "M" | "w" | "d" | "h" | "m" | "s";

const MS: Readonly<Record<"w" | "d" | "h" | "m" | "s", number>> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
};

const ISO =
  /^([+-]?\d{4,6})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?)?)?(Z|[+-]\d\d:?\d\d)?$/;
const STEP = /([+-])(\d*)([yMwdhHms])|\/([yMwdhHms])/y;
const TIME_MS_MAX = 8.64e15;

/** Whether `text` needs `dateMsOf` to be understood: it is relative or rounded. */
export function isDateMath(text: string): boolean {
  return /^now(?![A-Za-z0-9])/.test(text) || text.includes("||");
}

/** Milliseconds since 1970 that `value` stands for. @throws SearchError 400 if it is no date. */
export function dateMsOf(value: unknown, options: DateOptions): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value !== "string") throw notADate(value);
  if (/^-?\d{5,}$/.test(value)) return Number(value);
  const separator = value.indexOf("||");
  const isNow = separator < 0 && value.startsWith("now");
  const anchorEnd = isNow ? 3 : separator < 0 ? value.length : separator;
  const steps = isNow ? value.slice(3) : separator < 0 ? "" : value.slice(separator + 2);
  // A date with math after it is a point; only a plain one stands for a span.
  const anchorOptions = { ...options, roundsUp: options.roundsUp && steps === "" };
  const anchorMs = isNow ? options.nowMs : isoMsOf(value.slice(0, anchorEnd), anchorOptions);
  return stepped(anchorMs, steps, { value, roundsUp: options.roundsUp });
}

function isoMsOf(text: string, { roundsUp }: DateOptions): number {
  const match = ISO.exec(text);
  if (match === null) throw notADate(text);
  const [, year = "", month, day, hour, minute, second, fraction, zone] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month ?? 1) - 1, Number(day ?? 1));
  const isSameDay = date.getUTCDate() === Number(day ?? 1);
  const isTime = Number(hour ?? 0) < 24 && Number(minute ?? 0) < 60 && Number(second ?? 0) < 60;
  if (!isSameDay || Number(month ?? 1) > 12 || !isTime) throw notADate(text);
  const fractionMs = Math.floor(Number(`0.${fraction ?? 0}`) * 1000);
  date.setUTCHours(Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0), fractionMs);
  const unit = spanOf({ month, day, hour, minute, second, fraction });
  const startMs = date.getTime();
  const ms = roundsUp && unit !== undefined ? added(startMs, 1, unit) - 1 : startMs;
  return ms - zoneMsOf(zone);
}

/** The unit that a cut-off date spans; undefined for one with all parts. */
function spanOf(parts: Readonly<Record<string, string | undefined>>): Unit | undefined {
  if (parts["month"] === undefined) return "y";
  if (parts["day"] === undefined) return "M";
  if (parts["hour"] === undefined) return "d";
  if (parts["minute"] === undefined) return "h";
  if (parts["second"] === undefined) return "m";
  return parts["fraction"] === undefined ? "s" : undefined;
}

function zoneMsOf(zone: string | undefined): number {
  if (zone === undefined || zone === "Z") return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return (zone.startsWith("-") ? -1 : 1) * minutes * MS.m;
}

function stepped(
  anchorMs: number,
  steps: string,
  { value, roundsUp }: { readonly value: string; readonly roundsUp: boolean },
): number {
  let ms = anchorMs;
  let position = 0;
  while (position < steps.length) {
    STEP.lastIndex = position;
    const match = STEP.exec(steps);
    if (match === null) throw notADate(value);
    const [whole, sign, count, addedUnit, roundedUnit] = match;
    if (roundedUnit !== undefined) {
      const unit = unitOf(roundedUnit);
      const startMs = rounded(ms, unit);
      ms = roundsUp ? added(startMs, 1, unit) - 1 : startMs;
    } else {
      const amount = (sign === "-" ? -1 : 1) * (count === "" ? 1 : Number(count));
      ms = added(ms, amount, unitOf(addedUnit ?? ""));
    }
    position += whole.length;
  }
  if (!(Math.abs(ms) <= TIME_MS_MAX)) throw notADate(value);
  return ms;
}

function unitOf(letter: string): Unit {
  return letter === "H" ? "h" : (letter as Unit);
}

function added(ms: number, amount: number, unit: Unit): number {
  if (unit !== "y" && unit !== "M") return ms + amount * MS[unit];
  const date = new Date(ms);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  if (unit === "y") date.setUTCFullYear(date.getUTCFullYear() + amount);
  else date.setUTCMonth(date.getUTCMonth() + amount);
  // The 31st plus a month is the next month's last day, not the month after.
  const lastDay = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  date.setUTCDate(Math.min(day, lastDay));
  return date.getTime();
}

function rounded(ms: number, unit: Unit): number {
  if (unit !== "y" && unit !== "M" && unit !== "w") return Math.floor(ms / MS[unit]) * MS[unit];
  const date = new Date(Math.floor(ms / MS.d) * MS.d);
  if (unit === "w") date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  else date.setUTCDate(1);
  if (unit === "y") date.setUTCMonth(0);
  return date.getTime();
}

function notADate(value: unknown): Error {
  return parsingError(`failed to parse date field [${String(value).slice(0, 100)}]`);
}
