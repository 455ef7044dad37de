/**
 * Buckets of values between bounds: `range`, `date_range` (source: Elasticsearch reference, "Range
 * aggregation", "Date range aggregation"). Ranges may overlap and leave gaps; `from` belongs to its range, `to`
 * does not.
 */

import {
  type AggregationContext,
  type AggregationNode,
  type AggregationSet,
  decimalOf,
  numbersFieldOf,
} from "./aggregation.ts";
import { createDateFormat, type DateFormat } from "./date-format.ts";
import { dateMsOf } from "./date-math.ts";
import { parsingError } from "./elasticsearch-error.ts";
import { filterRequest, showFilter } from "./filter-aggregation.ts";
import {
  booleanOf,
  checkKeys,
  type JsonObject,
  numberOf,
  objectOf,
  stringOf,
} from "./json-reader.ts";
import { kindOfField, rangeQuery } from "./leaf-query.ts";

interface Range {
  readonly key: string;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

export function parseRange(
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  checkKeys(body, ["field", "ranges", "keyed"], "[range]");
  const boundOf = (value: unknown) => numberOf(value, "[range]");
  const ranges = rangesOf(body["ranges"], { name: "range", boundOf, textOf: decimalOf });
  return nodeOf(body, { name: "range", ranges, children, context, textOf: undefined });
}

export function parseDateRange(
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  checkKeys(body, ["field", "ranges", "keyed", "format", "time_zone"], "[date_range]");
  const { text: textOf } = createDateFormat(body["format"], body["time_zone"], "[date_range]");
  const boundOf = (value: unknown) => dateMsOf(value, { nowMs: context.nowMs, roundsUp: false });
  const ranges = rangesOf(body["ranges"], { name: "date_range", boundOf, textOf });
  return nodeOf(body, { name: "date_range", ranges, children, context, textOf });
}

function nodeOf(
  body: JsonObject,
  options: {
    readonly name: string;
    readonly ranges: readonly Range[];
    readonly children: AggregationSet;
    readonly context: AggregationContext;
    readonly textOf: DateFormat["text"] | undefined;
  },
): AggregationNode {
  const { name, ranges, children, context, textOf } = options;
  const field = numbersFieldOf(body["field"], name);
  const isKeyed = booleanOf(body["keyed"] ?? false, `[${name}] keyed`);
  // Leaves of JSON that are dates are compared with dates.
  const isText = textOf !== undefined && kindOfField(field) === "json";
  const boundOf = (ms: number | undefined) =>
    ms === undefined ? undefined : isText ? new Date(ms).toISOString() : ms;
  const requests = ranges.map(({ from, to }) => {
    if (from === undefined && to === undefined) {
      return filterRequest({ kind: "exists", field }, children);
    }
    const bounds = { gte: boundOf(from), lt: boundOf(to) };
    return filterRequest(rangeQuery(field, bounds, context), children);
  });
  return {
    requests,
    show: (results, { shown }) => {
      shown.countBuckets(ranges.length);
      const buckets = ranges.map((range, index) => ({
        ...(isKeyed ? {} : { key: range.key }),
        ...boundsOf(range, textOf),
        ...showFilter(results[index], shown, children),
      }));
      if (!isKeyed) return { buckets };
      return { buckets: Object.fromEntries(ranges.map(({ key }, index) => [key, buckets[index]])) };
    },
  };
}

function boundsOf(range: Range, textOf: DateFormat["text"] | undefined): object {
  const bounds: Record<string, unknown> = {};
  for (const name of ["from", "to"] as const) {
    const value = range[name];
    if (value === undefined) continue;
    bounds[name] = value;
    if (textOf !== undefined) bounds[`${name}_as_string`] = textOf(value);
  }
  return bounds;
}

/** Sorted by where they begin, then by where they end, as Elasticsearch shows them. */
function rangesOf(
  json: unknown,
  options: {
    readonly name: string;
    readonly boundOf: (value: unknown) => number;
    readonly textOf: (bound: number) => string;
  },
): readonly Range[] {
  const where = `[${options.name}] ranges`;
  if (!Array.isArray(json) || json.length === 0) throw parsingError(`${where} needs an array`);
  const ranges = json.map((entry): Range => {
    const range = objectOf(entry, where);
    checkKeys(range, ["key", "from", "to"], where);
    const boundOf = (value: unknown) =>
      value === undefined || value === null ? undefined : options.boundOf(value);
    const [from, to] = [boundOf(range["from"]), boundOf(range["to"])];
    const textOf = (bound: number | undefined) =>
      bound === undefined ? "*" : options.textOf(bound);
    const key =
      range["key"] === undefined ? `${textOf(from)}-${textOf(to)}` : stringOf(range["key"], where);
    return { key, from, to };
  });
  return ranges.sort(
    (left, right) =>
      compare(left.from ?? -Infinity, right.from ?? -Infinity) ||
      compare(left.to ?? Infinity, right.to ?? Infinity),
  );
}

function compare(left: number, right: number): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
