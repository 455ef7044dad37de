/**
 * `terms`: a bucket for each value of a field (source: Elasticsearch reference, "Terms aggregation").
 *
 * Counts are exact as long as no part of the index has more than `EXACT_TERMS_MAX` different values; beyond that
 * each part gives its best ones, and `doc_count_error_upper_bound` says by how much a count may be short. Keys
 * longer than 1,024 bytes have no bucket; the strings of JSON values that are prose (`ffi/src/words.rs`) have one
 * in common, `…`.
 */

import {
  type AggregationContext,
  type AggregationNode,
  type AggregationOrder,
  type AggregationResult,
  type AggregationSet,
  bucketsOf,
  documentCountOf,
  type ShownBucket,
  valuesFieldOf,
  withChildren,
} from "./aggregation.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import {
  checkKeys,
  countOf,
  isObject,
  type JsonObject,
  kindOf,
  soleEntryOf,
  stringOf,
} from "./json-reader.ts";
import { kindOfField } from "./leaf-query.ts";

/** Different values of a field that one part of the index reports at least. */
const EXACT_TERMS_MAX = 65_536;
const SIZE_DEFAULT = 10;
const KEYS = ["field", "size", "shard_size", "min_doc_count", "order", "missing"];
const KEYS_MORE = ["include", "exclude", "show_term_doc_count_error"];
const FILTER_VALUES_MAX = 10_000;
const FILTER_LENGTH_MAX = 1_000;

interface TermsOptions {
  readonly field: string;
  readonly size: number;
  /** Undefined: the shim's own order by count or by key is the one that is wanted. */
  readonly order: (AggregationOrder & { readonly isDescending: boolean }) | undefined;
}

export function parseTerms(
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  checkKeys(body, [...KEYS, ...KEYS_MORE], "[terms]");
  const field = valuesFieldOf(body["field"], "terms");
  const size = countOf(body["size"] ?? SIZE_DEFAULT, "[terms] size");
  if (size === 0 || size > context.bucketsMax) {
    throw argumentError(
      `[terms] size must be between 1 and ${context.bucketsMax} but was [${size}]`,
    );
  }
  if ((body["show_term_doc_count_error"] ?? false) !== false) {
    throw argumentError(
      "[terms] show_term_doc_count_error is not supported: see the aggregation's",
    );
  }
  const order = orderOf(body["order"], children);
  const ownSize = order.bySubAggregation === undefined ? size : Math.max(size, EXACT_TERMS_MAX);
  const shardSize = countOf(body["shard_size"] ?? 0, "[terms] shard_size");
  const request = {
    field: `values:${field}`,
    size: ownSize,
    segment_size: Math.min(Math.max(ownSize, shardSize, EXACT_TERMS_MAX), 2 ** 32 - 1),
    min_doc_count: minimumOf(body["min_doc_count"]),
    order: order.request,
    show_term_doc_count_error: true,
    ...missingOf(body["missing"], field),
    ...filtersOf(body, field),
  };
  checkOfKeys(field, body, order.request);
  const options = { field, size, order: order.bySubAggregation };
  return {
    requests: [withChildren({ terms: request }, children)],
    show: ([result], bucket) => show(result, bucket, { options, children }),
  };
}

/** Whole keys are in no column: they are counted, but neither sorted out nor put in their order. */
function checkOfKeys(field: string, body: JsonObject, order: JsonObject): void {
  if (field !== "_key") return;
  for (const option of ["include", "exclude", "missing"]) {
    if (body[option] !== undefined)
      throw argumentError(`[terms] on [_key] does not support [${option}]`);
  }
  if (order["_key"] !== undefined) throw argumentError("[terms] on [_key] has no order by [_key]");
}

function minimumOf(value: unknown): number {
  const minimum = countOf(value ?? 1, "[terms] min_doc_count");
  if (minimum === 0) {
    throw argumentError("[terms] min_doc_count of 0 is not supported: values without records");
  }
  return minimum;
}

function missingOf(value: unknown, field: string): { readonly missing?: string | number } {
  if (value === undefined) return {};
  const kind = kindOfField(field);
  if (kind !== "json") throw argumentError(`[terms] no record misses [${field}]`);
  if (typeof value === "string" || typeof value === "number") return { missing: value };
  throw parsingError(`[terms] missing expects a value but found ${kindOf(value)}`);
}

/** `include` and `exclude`: a regular expression, or strings. */
function filtersOf(body: JsonObject, field: string): JsonObject {
  const filters: Record<string, unknown> = {};
  for (const name of ["include", "exclude"]) {
    const value = body[name];
    if (value === undefined) continue;
    const kind = kindOfField(field);
    if (kind === "integer" || kind === "date") {
      throw argumentError(`[terms] ${name} is only possible on strings, not on [${field}]`);
    }
    if (Array.isArray(value) && value.length <= FILTER_VALUES_MAX) {
      filters[name] = value.map((entry) => stringOf(entry, `[terms] ${name}`));
    } else if (typeof value === "string" && value.length <= FILTER_LENGTH_MAX) {
      filters[name] = value;
    } else {
      throw parsingError(`[terms] ${name} expects a pattern or some strings`);
    }
  }
  return filters;
}

function orderOf(
  value: unknown,
  children: AggregationSet,
): {
  readonly request: JsonObject;
  readonly bySubAggregation: TermsOptions["order"];
} {
  const [first = { _count: "desc" }, ...others] = Array.isArray(value)
    ? value
    : value === undefined
      ? []
      : [value];
  // Equal ones follow by their keys anyway.
  const isTieBreak = (entry: unknown) => isObject(entry) && entry["_key"] === "asc";
  if (others.length > 1 || (others.length === 1 && !isTieBreak(others[0]))) {
    throw argumentError('[terms] order takes one criterion, and {"_key": "asc"} behind it');
  }
  const [path, direction] = soleEntryOf(first, "[terms] order");
  if (direction !== "asc" && direction !== "desc") {
    throw parsingError(`Unknown order direction: ${kindOf(direction)}`);
  }
  if (path === "_count" || path === "_key") {
    return { request: { [path]: direction }, bySubAggregation: undefined };
  }
  const order = children.orderOf(path);
  return {
    request: { [order.path]: direction },
    bySubAggregation: { ...order, isDescending: direction === "desc" },
  };
}

function show(
  result: AggregationResult,
  { shown }: ShownBucket,
  { options, children }: { readonly options: TermsOptions; readonly children: AggregationSet },
): object {
  const found = sorted(bucketsOf(result), options.order);
  const buckets = found.slice(0, options.size);
  const cutCount = found.slice(options.size).reduce((sum, cut) => sum + documentCountOf(cut), 0);
  shown.countBuckets(buckets.length);
  return {
    doc_count_error_upper_bound: Number(result?.["doc_count_error_upper_bound"] ?? 0),
    sum_other_doc_count: Number(result?.["sum_other_doc_count"] ?? 0) + cutCount,
    buckets: buckets.map((bucket) => ({
      ...keyOf(bucket, options.field),
      doc_count: documentCountOf(bucket),
      ...children.show(bucket, { documentCount: documentCountOf(bucket), shown }),
    })),
  };
}

/** Ordered by a value of theirs; those without one come last, and equal ones by their keys. */
function sorted(
  buckets: readonly JsonObject[],
  order: TermsOptions["order"],
): readonly JsonObject[] {
  if (order === undefined) return buckets;
  const sign = order.isDescending ? -1 : 1;
  return buckets
    .map((bucket) => ({ bucket, value: order.valueOf(bucket) }))
    .sort((left, right) => {
      if (left.value !== right.value) {
        if (left.value === null) return 1;
        if (right.value === null) return -1;
        return sign * (left.value - right.value);
      }
      return compareKeys(left.bucket["key"], right.bucket["key"]);
    })
    .map(({ bucket }) => bucket);
}

function compareKeys(left: unknown, right: unknown): number {
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : 1;
  if (typeof left === "string" || typeof right === "string")
    return typeof left === "string" ? 1 : -1;
  return Number(left) - Number(right);
}

/** Dates are shown as numbers with their text beside them. The shim gives them as texts in RFC 3339. */
function keyOf(bucket: JsonObject, field: string): object {
  const { key, key_as_string: text } = bucket;
  const kind = kindOfField(field);
  const isDate =
    kind === "date" ||
    // A string of JSON that could be a date has been indexed as one.
    (kind === "json" && typeof key === "string" && RFC_3339.test(key));
  if (isDate) {
    const ms = Date.parse(String(key));
    if (!Number.isNaN(ms)) return { key: ms, key_as_string: new Date(ms).toISOString() };
  }
  return text === undefined ? { key } : { key, key_as_string: text };
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
