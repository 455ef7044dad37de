/**
 * Buckets of equal width: `histogram`, `date_histogram` (source: Elasticsearch reference, "Histogram
 * aggregation", "Date histogram aggregation"). Times are in UTC, or in a zone with a fixed offset; months,
 * quarters and years are those of the calendar.
 *
 * The shim gives the buckets that have records; the ones between them are added here, as far as the limit goes.
 */

import {
  type AggregationContext,
  type AggregationNode,
  type AggregationResult,
  type AggregationSet,
  bucketsOf,
  decimalOf,
  documentCountOf,
  numbersFieldOf,
  type ShownBucket,
  withChildren,
} from "./aggregation.ts";
import { createDateFormat } from "./date-format.ts";
import { dateMsOf } from "./date-math.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import {
  booleanOf,
  checkKeys,
  countOf,
  type JsonObject,
  kindOf,
  numberOf,
  objectOf,
  soleEntryOf,
  stringOf,
} from "./json-reader.ts";

/** A row of buckets, each `interval` wide, one of which begins at `offset`. */
interface Grid {
  readonly interval: number;
  readonly offset: number;
}

interface Histogram {
  readonly name: string;
  readonly field: string;
  readonly grid: Grid;
  readonly minimum: number;
  readonly isKeyed: boolean;
  readonly order: { readonly by: "_key" | "_count"; readonly isDescending: boolean };
  /** In the numbers of the grid; `max` of `hard` exclusive for dates. */
  readonly extended: Bounds | undefined;
  readonly hard: Bounds | undefined;
  readonly isDate: boolean;
  readonly keyOf: (start: number) => { readonly key: number; readonly key_as_string?: string };
  readonly children: AggregationSet;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

const KEYS = [
  ...["field", "offset", "min_doc_count", "order", "keyed"],
  ...["extended_bounds", "hard_bounds"],
];
const MONTHS: ReadonlyMap<string, number> = new Map([
  ...["month", "1M"].map((name): [string, number] => [name, 1]),
  ...["quarter", "1q"].map((name): [string, number] => [name, 3]),
  ...["year", "1y"].map((name): [string, number] => [name, 12]),
]);
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const CALENDAR_MS: ReadonlyMap<string, number> = new Map([
  ...["minute", "1m"].map((name): [string, number] => [name, 60_000]),
  ...["hour", "1h"].map((name): [string, number] => [name, 3_600_000]),
  ...["day", "1d"].map((name): [string, number] => [name, 86_400_000]),
  ...["week", "1w"].map((name): [string, number] => [name, 604_800_000]),
]);
/** Weeks begin on Mondays; the first one after 1970 began was the fifth of January. */
const MONDAY_MS = 4 * 86_400_000;

export function parseHistogram(
  body: JsonObject,
  children: AggregationSet,
  _context: AggregationContext,
): AggregationNode {
  const name = "histogram";
  checkKeys(body, [...KEYS, "interval"], `[${name}]`);
  const interval = numberOf(body["interval"], `[${name}] interval`);
  if (!(interval > 0)) throw argumentError(`[${name}] interval must be > 0 but was [${interval}]`);
  const boundOf = (value: unknown) => numberOf(value, `[${name}] bounds`);
  const field = numbersFieldOf(body["field"], name);
  const histogram: Histogram = {
    ...commonOf(name, body),
    field,
    grid: { interval, offset: numberOf(body["offset"] ?? 0, `[${name}] offset`) },
    extended: boundsOf(body["extended_bounds"], boundOf, `[${name}] extended_bounds`),
    hard: boundsOf(body["hard_bounds"], boundOf, `[${name}] hard_bounds`),
    isDate: false,
    keyOf: (start) => ({ key: start }),
    children,
  };
  return nodeOf(histogram, `number:${field}`);
}

export function parseDateHistogram(
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  const name = "date_histogram";
  const more = ["fixed_interval", "calendar_interval", "format", "time_zone"];
  checkKeys(body, [...KEYS, ...more], `[${name}]`);
  const format = createDateFormat(body["format"], body["time_zone"], `[${name}]`);
  const field = numbersFieldOf(body["field"], name);
  const interval = intervalOf(body, name);
  const { zoneMs } = format;
  const boundOf = (value: unknown) => dateMsOf(value, { nowMs: context.nowMs, roundsUp: false });
  const common = {
    ...commonOf(name, body),
    field,
    extended: boundsOf(body["extended_bounds"], boundOf, `[${name}] extended_bounds`),
    hard: boundsOf(body["hard_bounds"], boundOf, `[${name}] hard_bounds`),
    isDate: true,
    children,
  };
  const shown = (key: number) => ({ key, key_as_string: format.text(key) });
  if (interval.unit === "months") {
    if (body["offset"] !== undefined) {
      throw argumentError(`[${name}] offset is not supported for months, quarters and years`);
    }
    const monthOf = (ms: number) => monthsOf(ms + zoneMs);
    const grid = { interval: interval.count, offset: 0 };
    const histogram: Histogram = {
      ...common,
      grid,
      extended: common.extended && mapped(common.extended, monthOf),
      hard: common.hard && mapped(common.hard, (ms) => startOf(monthOf(ms), grid)),
      keyOf: (month) => shown(msOfMonth(month) - zoneMs),
    };
    return nodeOf(histogram, `month:${zoneMs}:${field}`);
  }
  const weekOffset = interval.isWeek ? MONDAY_MS : 0;
  const offset = weekOffset + offsetMsOf(body["offset"], name) - zoneMs;
  const grid = { interval: interval.count, offset };
  const histogram: Histogram = {
    ...common,
    grid,
    hard: common.hard && mapped(common.hard, (ms) => startOf(ms, grid)),
    keyOf: shown,
  };
  return nodeOf(histogram, `number:${field}`);
}

function commonOf(name: string, body: JsonObject) {
  return {
    name,
    minimum: countOf(body["min_doc_count"] ?? 0, `[${name}] min_doc_count`),
    isKeyed: booleanOf(body["keyed"] ?? false, `[${name}] keyed`),
    order: orderOf(body["order"], name),
  };
}

function nodeOf(histogram: Histogram, source: string): AggregationNode {
  const { interval, offset } = histogram.grid;
  // A grid is the same moved by its width; the shim wants the offset within.
  const within = offset - Math.floor(offset / interval) * interval;
  const request = { field: source, interval, offset: within, min_doc_count: 1 };
  return {
    requests: [withChildren({ histogram: request }, histogram.children)],
    show: ([result], bucket) => show(histogram, result, bucket),
  };
}

function show(histogram: Histogram, result: AggregationResult, { shown }: ShownBucket): object {
  shown.checkNumeric(histogram.field, histogram.name);
  const { isKeyed, children, order, keyOf } = histogram;
  const rows = rowsOf(histogram, result, shown);
  if (order.by === "_count") {
    const sign = order.isDescending ? -1 : 1;
    rows.sort(
      (left, right) => sign * (documentCountOf(left.bucket) - documentCountOf(right.bucket)),
    );
  } else if (order.isDescending) rows.reverse();
  const buckets = rows.map(({ start, bucket }) => ({
    ...keyOf(start),
    doc_count: documentCountOf(bucket),
    ...children.show(bucket, { documentCount: documentCountOf(bucket), shown }),
  }));
  if (!isKeyed) return { buckets };
  const named = buckets.map((bucket): [string, object] => [
    bucket.key_as_string ?? decimalOf(bucket.key),
    bucket,
  ]);
  return { buckets: Object.fromEntries(named) };
}

interface Row {
  readonly start: number;
  /** Undefined: no record is in it. */
  readonly bucket: JsonObject | undefined;
}

/** The buckets to show, by where they begin; the empty ones too where they are wanted. */
function rowsOf(
  { grid, minimum, extended, hard, isDate }: Histogram,
  result: AggregationResult,
  shown: ShownBucket["shown"],
): Row[] {
  const rows = bucketsOf(result)
    .map((bucket) => ({ start: Number(bucket["key"]), bucket }))
    .filter(
      ({ start, bucket }) => isWithin(start, hard, isDate) && documentCountOf(bucket) >= minimum,
    )
    .sort((left, right) => left.start - right.start);
  if (minimum > 0) {
    shown.countBuckets(rows.length);
    return rows;
  }
  const positionOf = (value: number) => Math.floor((value - grid.offset) / grid.interval);
  const known = new Map(
    rows.map((row) => [Math.round((row.start - grid.offset) / grid.interval), row]),
  );
  const ends = [...known.keys()];
  if (extended !== undefined && extended.min <= extended.max) {
    ends.push(positionOf(extended.min), positionOf(extended.max));
  }
  if (ends.length === 0) return [];
  const [first, last] = ends.reduce(
    ([least, greatest], end) => [Math.min(least, end), Math.max(greatest, end)],
    [Infinity, -Infinity],
  );
  shown.countBuckets(last - first + 1);
  const filled: Row[] = [];
  for (let position = first; position <= last; position += 1) {
    const start = position * grid.interval + grid.offset;
    const row = known.get(position);
    if (row !== undefined) filled.push(row);
    else if (isWithin(start, hard, isDate)) filled.push({ start, bucket: undefined });
  }
  return filled;
}

function isWithin(start: number, hard: Bounds | undefined, isDate: boolean): boolean {
  if (hard === undefined) return true;
  return start >= hard.min && (isDate ? start < hard.max : start <= hard.max);
}

function startOf(value: number, { interval, offset }: Grid): number {
  return Math.floor((value - offset) / interval) * interval + offset;
}

function mapped(bounds: Bounds, map: (bound: number) => number): Bounds {
  return { min: map(bounds.min), max: map(bounds.max) };
}

function boundsOf(
  json: unknown,
  boundOf: (value: unknown) => number,
  where: string,
): Bounds | undefined {
  if (json === undefined) return undefined;
  const bounds = objectOf(json, where);
  checkKeys(bounds, ["min", "max"], where);
  const [min, max] = [boundOf(bounds["min"]), boundOf(bounds["max"])];
  if (min > max) throw argumentError(`${where}: [min] is greater than [max]`);
  return { min, max };
}

function orderOf(json: unknown, name: string): Histogram["order"] {
  if (json === undefined) return { by: "_key", isDescending: false };
  const [by, direction] = soleEntryOf(json, `[${name}] order`);
  if (by !== "_key" && by !== "_count") {
    throw argumentError(`[${name}] order is by [_key] or [_count], not by [${by}]`);
  }
  if (direction !== "asc" && direction !== "desc") {
    throw parsingError(`Unknown order direction: ${kindOf(direction)}`);
  }
  return { by, isDescending: direction === "desc" };
}

interface Interval {
  readonly unit: "ms" | "months";
  readonly count: number;
  readonly isWeek: boolean;
}

function intervalOf(body: JsonObject, name: string): Interval {
  const [fixed, calendar] = [body["fixed_interval"], body["calendar_interval"]];
  if ((fixed === undefined) === (calendar === undefined)) {
    throw parsingError(`[${name}] needs one of [fixed_interval] and [calendar_interval]`);
  }
  if (fixed !== undefined) {
    const text = stringOf(fixed, `[${name}] fixed_interval`);
    const [, digits = "", unit = ""] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
    const count = Number(digits) * (UNIT_MS[unit] ?? 0);
    if (!(count > 0)) throw parsingError(`[${name}] failed to parse fixed_interval [${text}]`);
    return { unit: "ms", count, isWeek: false };
  }
  const text = stringOf(calendar, `[${name}] calendar_interval`);
  const months = MONTHS.get(text);
  if (months !== undefined) return { unit: "months", count: months, isWeek: false };
  const ms = CALENDAR_MS.get(text);
  if (ms === undefined) {
    throw argumentError(
      `The supplied interval [${text}] could not be parsed as a calendar interval.`,
    );
  }
  return { unit: "ms", count: ms, isWeek: text === "week" || text === "1w" };
}

function offsetMsOf(json: unknown, name: string): number {
  if (json === undefined) return 0;
  if (typeof json === "number" && Number.isFinite(json)) return json;
  const text = stringOf(json, `[${name}] offset`);
  const match = /^([+-]?)(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw parsingError(`[${name}] failed to parse offset [${text}]`);
  const [, sign, digits, unit = ""] = match;
  return (sign === "-" ? -1 : 1) * Number(digits) * (UNIT_MS[unit] ?? 0);
}

function monthsOf(localMs: number): number {
  const date = new Date(localMs);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** Where the month begins, on the clocks that it was counted on. */
function msOfMonth(month: number): number {
  const date = new Date(0);
  date.setUTCFullYear(Math.floor(month / 12), ((month % 12) + 12) % 12, 1);
  return date.getTime();
}
