/**
 * Aggregations that come down to numbers (source: Elasticsearch reference, "Metrics aggregations"). Numbers are
 * numbers of JSON, booleans (0 and 1) and dates (milliseconds since 1970).
 *
 * Percentiles are within 1 % of the value (DDSketch); cardinality is exact for a few values, and within about
 * 5 % for many (HyperLogLog with 2,048 registers).
 */

import {
  type AggregationNode,
  type AggregationResult,
  decimalOf,
  numbersFieldOf,
  valuesFieldOf,
} from "./aggregation.ts";
import { dateMsOf } from "./date-math.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { booleanOf, checkKeys, isObject, type JsonObject, numberOf } from "./json-reader.ts";
import { kindOfField } from "./leaf-query.ts";

const STATS = ["count", "min", "max", "avg", "sum"];
const EXTENDED = [
  ...["sum_of_squares", "variance", "variance_population", "variance_sampling"],
  ...["std_deviation", "std_deviation_population", "std_deviation_sampling"],
];
/** Values that are times where the field holds times. */
const TIMES = ["value", "min", "max", "avg"];
const PERCENTS_DEFAULT = [1, 5, 25, 50, 75, 95, 99];
const PERCENTS_MAX = 100;

export function parseMetric(name: string, body: JsonObject): AggregationNode {
  if (name === "cardinality") return cardinality(body);
  const allowed = name === "extended_stats" ? ["field", "missing", "sigma"] : ["field", "missing"];
  checkKeys(body, allowed, `[${name}]`);
  const isCount = name === "value_count";
  const field = (isCount ? valuesFieldOf : numbersFieldOf)(body["field"], name);
  const request: Record<string, unknown> = {
    field: `${isCount ? "count" : "number"}:${field}`,
    ...missingOf(body["missing"], field, name),
  };
  if (body["sigma"] !== undefined) request["sigma"] = numberOf(body["sigma"], `[${name}] sigma`);
  return {
    requests: [{ [name]: request }],
    orderedBy:
      name === "stats" ? STATS : name === "extended_stats" ? [...STATS, ...EXTENDED] : ["value"],
    show: ([result], { shown }) => {
      if (!isCount) shown.checkNumeric(field, name);
      if (result === undefined) return emptyOf(name);
      if (isCount || !shown.isDate(field) || (name === "sum" && result["value"] === 0))
        return result;
      return withTimes(result);
    },
  };
}

/** As Elasticsearch has it for a field of dates. */
function withTimes(result: JsonObject): object {
  const shown: Record<string, unknown> = { ...result };
  for (const name of TIMES) {
    const ms = result[name];
    if (typeof ms === "number" && Math.abs(ms) <= 8.64e15) {
      shown[`${name}_as_string`] = new Date(ms).toISOString();
    }
  }
  return shown;
}

/** What there is to say of no records. */
function emptyOf(name: string): object {
  if (name === "value_count" || name === "sum") return { value: 0 };
  if (name !== "stats" && name !== "extended_stats") return { value: null };
  const stats = { count: 0, min: null, max: null, avg: null, sum: 0 };
  if (name === "stats") return stats;
  const bounds = ["upper", "lower"].flatMap((end) => [end, `${end}_population`, `${end}_sampling`]);
  return {
    ...stats,
    ...Object.fromEntries(EXTENDED.map((value) => [value, null])),
    std_deviation_bounds: Object.fromEntries(bounds.map((bound) => [bound, null])),
  };
}

export function parsePercentiles(body: JsonObject): AggregationNode {
  const name = "percentiles";
  checkKeys(body, ["field", "percents", "keyed", "missing"], `[${name}]`);
  const field = numbersFieldOf(body["field"], name);
  refuseDates(field, kindOfField(field) === "date");
  const percents = percentsOf(body["percents"] ?? PERCENTS_DEFAULT);
  const isKeyed = booleanOf(body["keyed"] ?? true, `[${name}] keyed`);
  const request = {
    field: `number:${field}`,
    percents,
    keyed: false,
    ...missingOf(body["missing"], field, name),
  };
  return {
    requests: [{ percentiles: request }],
    show: ([result], { shown }) => {
      shown.checkNumeric(field, name);
      refuseDates(field, shown.isDate(field));
      const values = percentilesOf(result, percents);
      if (!isKeyed) return { values };
      return {
        values: Object.fromEntries(values.map(({ key, value }) => [decimalOf(key), value])),
      };
    },
  };
}

/** A percent of the milliseconds since 1970 is half a year. */
function refuseDates(field: string, isDate: boolean): void {
  if (!isDate) return;
  throw argumentError(
    `[percentiles] is not possible on dates as in [${field}]: it is exact to a percent of the value only`,
  );
}

function percentsOf(json: unknown): readonly number[] {
  if (!Array.isArray(json) || json.length === 0 || json.length > PERCENTS_MAX) {
    throw parsingError(
      `[percentiles] percents expects an array of at most ${PERCENTS_MAX} numbers`,
    );
  }
  return json.map((entry) => {
    const percent = numberOf(entry, "[percentiles] percents");
    if (percent < 0 || percent > 100) {
      throw argumentError(`percent must be in [0,100], got [${percent}]`);
    }
    return percent;
  });
}

function percentilesOf(
  result: AggregationResult,
  percents: readonly number[],
): readonly { readonly key: number; readonly value: unknown }[] {
  const values = result?.["values"];
  const found = Array.isArray(values) ? values.filter(isObject) : [];
  return percents.map((key, index) => ({ key, value: found[index]?.["value"] ?? null }));
}

function cardinality(body: JsonObject): AggregationNode {
  checkKeys(body, ["field"], "[cardinality]");
  const field = valuesFieldOf(body["field"], "cardinality");
  return {
    requests: [{ cardinality: { field: `values:${field}` } }],
    orderedBy: ["value"],
    show: ([result]) => ({ value: Math.round(Number(result?.["value"] ?? 0)) }),
  };
}

/** What stands for records without a value. */
function missingOf(json: unknown, field: string, name: string): { readonly missing?: number } {
  if (json === undefined) return {};
  if (kindOfField(field) !== "json") throw argumentError(`[${name}] no record misses [${field}]`);
  const isNumber = typeof json === "number" || !Number.isNaN(Number(json));
  const missing = isNumber
    ? numberOf(json, `[${name}] missing`)
    : dateMsOf(json, { nowMs: 0, roundsUp: false });
  return { missing };
}
