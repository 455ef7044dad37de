/**
 * Queries on one field, as the shim wants them: values are made to fit the field's type first.
 *
 * Fields of a record: `_topic` (also `_index`), `_topic_id`, `_partition`, `_offset`, `_timestamp`,
 * `_key`, `_value`, `_headers`. `_all` stands for the last three. Any other name is a path into JSON values.
 */

import type { ShimQuery, ShimRangeQuery, ShimValue } from "../core/shim-query.ts";
import { dateMsOf, isDateMath } from "./date-math.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { kindOf, numberOf } from "./json-reader.ts";

/** Where a query without a field looks. */
const DEFAULT_FIELDS: readonly string[] = ["_value", "_key", "_headers"];

/** Stands for `DEFAULT_FIELDS` wherever a field is named. */
export const ALL_FIELDS = "_all";

/** What queries may need to know beside their own text. */
export interface QueryContext {
  readonly nowMs: number;
}

export interface Bounds {
  readonly gt?: unknown;
  readonly gte?: unknown;
  readonly lt?: unknown;
  readonly lte?: unknown;
}

export interface MatchOptions {
  readonly operator?: "or" | "and";
  readonly minimumShouldMatch?: number | string;
  readonly boost?: number;
}

type FieldKind = "exact" | "integer" | "date" | "text" | "json";

const FIELD_KINDS: ReadonlyMap<string, FieldKind> = new Map([
  ["_topic", "exact"],
  ["_topic_id", "exact"],
  ["_partition", "integer"],
  ["_offset", "integer"],
  ["_timestamp", "date"],
  ["_key", "text"],
  ["_value", "text"],
  ["_headers", "text"],
]);

/** Elasticsearch's fields that have no counterpart: a JSON path of that name is not what was meant. */
const REFUSED_FIELDS = ["_id", "_source", "_score", "_type", "_routing", "_field_names"];
const FIELD_NAME_BYTES_LIMIT = 1024;
const PATTERN_LENGTH_MAX = 1000;
const INTEGER_MAX = Number.MAX_SAFE_INTEGER;

/** The field that `name` means. @throws SearchError 400 for names that cannot be searched. */
export function fieldOf(name: string): string {
  if (name === "_index") return "_topic";
  if (REFUSED_FIELDS.includes(name)) throw argumentError(`field [${name}] is not searchable`);
  if (name === "" || name.length > FIELD_NAME_BYTES_LIMIT) {
    throw argumentError("a field name is empty or too long");
  }
  if (name.includes("*")) throw argumentError(`field name patterns are not supported: [${name}]`);
  return name.toWellFormed();
}

/** Words of `value` in `field`, in any order. */
export function matchQuery(
  field: string,
  value: ShimValue,
  options: MatchOptions & QueryContext,
): ShimQuery {
  const kind = kindOfField(field);
  if (kind !== "text" && kind !== "json") return termQuery(field, value, options);
  const { operator, minimumShouldMatch, boost } = options;
  return {
    kind: "match",
    field,
    text: String(value),
    ...(operator === undefined ? {} : { operator }),
    ...(minimumShouldMatch === undefined ? {} : { minimumShouldMatch }),
    ...boostOf(boost),
  };
}

/** Words of `value` in `field`, one after the other. */
export function phraseQuery(
  field: string,
  value: ShimValue,
  options: QueryContext & {
    readonly slop?: number;
    readonly isPrefix?: boolean;
    readonly boost?: number;
  },
): ShimQuery {
  const kind = kindOfField(field);
  if (kind !== "text" && kind !== "json") {
    if (options.isPrefix) return prefixQuery(field, String(value), options);
    return termQuery(field, value, options);
  }
  return {
    kind: "match_phrase",
    field,
    text: String(value),
    ...(options.slop ? { slop: options.slop } : {}),
    ...(options.isPrefix ? { isPrefix: true } : {}),
    ...boostOf(options.boost),
  };
}

/** Exactly `value`; a date that is cut short means its whole span. */
export function termQuery(
  field: string,
  value: ShimValue,
  options: QueryContext & { readonly boost?: number },
): ShimQuery {
  switch (kindOfField(field)) {
    case "date":
      return rangeQuery(field, { gte: value, lte: value }, options);
    case "integer":
      return { kind: "term", field, value: integerOf(field, value), ...boostOf(options.boost) };
    case "exact":
      return { kind: "term", field, value: String(value), ...boostOf(options.boost) };
    default:
      return { kind: "term", field, value, ...boostOf(options.boost) };
  }
}

/** Any of `values` exactly. */
export function termsQuery(
  field: string,
  values: readonly ShimValue[],
  options: QueryContext & { readonly boost?: number },
): ShimQuery {
  if (values.length === 0) return { kind: "none" };
  const kind = kindOfField(field);
  if (kind === "date") {
    const should = values.map((value) => termQuery(field, value, { nowMs: options.nowMs }));
    return { kind: "constant_score", query: { kind: "bool", should }, ...boostOf(options.boost) };
  }
  const fitted = values.map((value) => {
    if (kind === "integer") return integerOf(field, value);
    return kind === "json" ? value : String(value);
  });
  return { kind: "terms", field, values: fitted, ...boostOf(options.boost) };
}

/** Values between bounds, of which there is at least one. */
export function rangeQuery(
  field: string,
  bounds: Bounds,
  options: QueryContext & { readonly boost?: number },
): ShimQuery {
  const kind = kindOfField(field);
  if (field === "_value" || field === "_headers") {
    throw argumentError(`[range] is not possible on [${field}]: its words have no order`);
  }
  const fitted: {
    gt?: number | string;
    gte?: number | string;
    lt?: number | string;
    lte?: number | string;
  } = {};
  for (const name of ["gt", "gte", "lt", "lte"] as const) {
    const bound = bounds[name];
    if (bound === undefined || bound === null) continue;
    fitted[name] = boundOf(field, { kind, name, bound, nowMs: options.nowMs });
  }
  const types = new Set(Object.values(fitted).map((bound) => typeof bound));
  if (types.size === 0) throw parsingError(`[range] on [${field}] needs a bound`);
  if (types.size > 1) throw argumentError(`[range] on [${field}] mixes numbers and strings`);
  const query: ShimRangeQuery = { kind: "range", field, ...fitted, ...boostOf(options.boost) };
  return query;
}

/** Values that start with `value`. */
export function prefixQuery(
  field: string,
  value: string,
  options: { readonly isCaseInsensitive?: boolean; readonly boost?: number },
): ShimQuery {
  checkPattern(field, value, "prefix");
  return {
    kind: "prefix",
    field,
    value,
    ...(options.isCaseInsensitive ? { isCaseInsensitive: true } : {}),
    ...boostOf(options.boost),
  };
}

/** Values that `pattern` describes. */
export function wildcardQuery(
  field: string,
  pattern: string,
  options: { readonly isCaseInsensitive?: boolean; readonly boost?: number },
): ShimQuery {
  checkPattern(field, pattern, "wildcard");
  return {
    kind: "wildcard",
    field,
    pattern,
    ...(options.isCaseInsensitive ? { isCaseInsensitive: true } : {}),
    ...boostOf(options.boost),
  };
}

/** `build` for the one field, or for each default field: the best of them counts. */
export function overFields(
  fields: readonly string[],
  build: (field: string) => ShimQuery,
): ShimQuery {
  const expanded = fields.flatMap((field) => (field === ALL_FIELDS ? DEFAULT_FIELDS : [field]));
  const [first, ...rest] = [...new Set(expanded)].map(build);
  if (first === undefined) return { kind: "none" };
  return rest.length === 0 ? first : { kind: "dis_max", queries: [first, ...rest] };
}

/** `{ boost }` where it says something. */
export function boostOf(boost: number | undefined): { readonly boost?: number } {
  return boost === undefined || boost === 1 ? {} : { boost };
}

/** What kind of values `field`, as `fieldOf` gives it, has. */
export function kindOfField(field: string): FieldKind {
  return FIELD_KINDS.get(field) ?? "json";
}

function integerOf(field: string, value: ShimValue): number {
  const number = numberOf(value, `field [${field}]`);
  if (!Number.isSafeInteger(number)) {
    throw argumentError(`field [${field}] expects a whole number but found [${value}]`);
  }
  return number;
}

function boundOf(
  field: string,
  options: {
    readonly kind: FieldKind;
    readonly name: keyof Bounds;
    readonly bound: unknown;
    readonly nowMs: number;
  },
): number | string {
  const { kind, name, bound, nowMs } = options;
  const roundsUp = name === "gt" || name === "lte";
  if (kind === "date") return clamped(dateMsOf(bound, { nowMs, roundsUp }));
  if (kind === "integer") {
    const number = numberOf(bound, `[range] on [${field}]`);
    return clamped(roundsUp ? Math.floor(number) : Math.ceil(number));
  }
  if (typeof bound === "number" && kind === "json") return bound;
  if (typeof bound !== "string" && typeof bound !== "number") {
    throw parsingError(
      `[range] on [${field}] expects numbers or strings but found ${kindOf(bound)}`,
    );
  }
  const text = String(bound);
  // Leaves of JSON that are dates are compared by time; math on them is done here.
  if (kind !== "json" || !isDateMath(text)) return text;
  return new Date(dateMsOf(text, { nowMs, roundsUp })).toISOString();
}

function clamped(value: number): number {
  return Math.min(Math.max(value, -INTEGER_MAX), INTEGER_MAX);
}

function checkPattern(field: string, pattern: string, queryName: string): void {
  const kind = kindOfField(field);
  if (kind === "integer" || kind === "date") {
    throw argumentError(`[${queryName}] is only possible on text, not on [${field}]`);
  }
  if (pattern.length > PATTERN_LENGTH_MAX) {
    throw argumentError(`[${queryName}] takes at most ${PATTERN_LENGTH_MAX} characters`);
  }
}
