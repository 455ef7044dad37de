/**
 * What the parts of aggregations share: nodes of a request's tree, and what is gathered while results are shown.
 *
 * A node of the request becomes one or more of the shim's aggregations (`ffi/src/aggregate.rs`), whose results it
 * shows in Elasticsearch's shape. Names are ours on the way, so that a client's name can never be mistaken for a
 * member of a bucket.
 */

import { argumentError, SearchError } from "./elasticsearch-error.ts";
import { isObject, type JsonObject } from "./json-reader.ts";
import { fieldOf, kindOfField, type QueryContext } from "./leaf-query.ts";
import type { RecordPlace } from "./searcher-messages.ts";
import type { SourceFilter } from "./source-filter.ts";

/** What a request may ask for. */
export interface AggregationContext extends QueryContext {
  /** Buckets of one answer, all levels together. */
  readonly bucketsMax: number;
}

/** A result of the shim; undefined where there is none: an empty bucket. */
export type AggregationResult = JsonObject | undefined;

/** One aggregation of a request. */
export interface AggregationNode {
  /** What the shim runs, without sub-aggregations' names: Tantivy's JSON. */
  readonly requests: readonly JsonObject[];
  /** Shows what the shim found for `requests`, in their order. */
  show(results: readonly AggregationResult[], bucket: ShownBucket): object;
  /** Values that buckets can be ordered by: `value`, or `avg`, `max`, …; none for others. */
  readonly orderedBy?: readonly string[];
}

/** A bucket's aggregations. */
export interface AggregationSet {
  /** For the shim; empty where there are none. */
  readonly request: JsonObject;
  show(results: AggregationResult, bucket: ShownBucket): JsonObject;
  /**
   * Where the shim keeps the value that `path` (`name` or `name.value`) means.
   * @throws SearchError 400 if it means none
   */
  orderOf(path: string): AggregationOrder;
}

export interface AggregationOrder {
  /** The name of the shim's aggregation and its value, for the shim. */
  readonly path: string;
  valueOf(bucket: JsonObject): number | null;
}

/** The records over which something is shown. */
export interface ShownBucket {
  readonly documentCount: number;
  readonly shown: ShownAggregations;
}

/** A hit of `top_hits`, on its way to its source. */
export interface TopHit {
  readonly place: RecordPlace & { readonly topic: string };
  readonly sourceFilter: SourceFilter;
  /** What is shown; `_source` is set when it has been read. */
  readonly hit: Record<string, unknown>;
  /** The hits among which it is shown, and which it leaves if it is gone. */
  readonly among: object[];
}

const TOP_HITS_MAX = 10_000;

/** Gathers what is known only when all results are shown. */
export class ShownAggregations {
  readonly topHits: TopHit[] = [];
  readonly #fieldTypes: Readonly<Record<string, readonly string[]>>;
  readonly #bucketsMax: number;
  #bucketCount = 0;

  constructor(options: {
    readonly fieldTypes: Readonly<Record<string, readonly string[]>>;
    readonly bucketsMax: number;
  }) {
    this.#fieldTypes = options.fieldTypes;
    this.#bucketsMax = options.bucketsMax;
  }

  /** @throws SearchError 400 when there are too many in all */
  countBuckets(count: number): void {
    this.#bucketCount += count;
    if (this.#bucketCount <= this.#bucketsMax) return;
    const reason =
      "Trying to create too many buckets. " +
      `Must be less than or equal to: [${this.#bucketsMax}] but was [${this.#bucketCount}]. ` +
      "This limit can be set by changing the [search-buckets-max] setting.";
    const details = { max_buckets: String(this.#bucketsMax) };
    throw new SearchError(400, "too_many_buckets_exception", reason, details);
  }

  /** @throws SearchError 400 when there are too many in all */
  addTopHit(hit: TopHit): void {
    if (this.topHits.length >= TOP_HITS_MAX) {
      throw argumentError(`[top_hits] would return more than ${TOP_HITS_MAX} hits in all`);
    }
    this.topHits.push(hit);
  }

  /** Whether all values that there are of a field are dates. */
  isDate(field: string): boolean {
    if (kindOfField(field) === "date") return true;
    const types = this.#fieldTypes[field] ?? [];
    return types.length > 0 && types.every((type) => type === "date");
  }

  /** @throws SearchError 400 if all values that there are of a field are strings */
  checkNumeric(field: string, name: string): void {
    const types = this.#fieldTypes[field] ?? [];
    if (types.length > 0 && types.every((type) => type === "string")) {
      throw typeError(field, "keyword", name);
    }
  }
}

/** The field that an aggregation of single values names. @throws SearchError 400 for one without a column */
export function valuesFieldOf(value: unknown, name: string): string {
  const field = namedFieldOf(value, name);
  const hasKeys = name === "terms" || name === "cardinality";
  if (kindOfField(field) === "text" && !(field === "_key" && hasKeys)) {
    throw argumentError(
      `[${name}] is not possible on [${field}]: it is text, of which there is no column`,
    );
  }
  return field;
}

/** The field that an aggregation of numbers names. @throws SearchError 400 for one that has none */
export function numbersFieldOf(value: unknown, name: string): string {
  const field = valuesFieldOf(value, name);
  if (kindOfField(field) === "exact") throw typeError(field, "keyword", name);
  return field;
}

function namedFieldOf(value: unknown, name: string): string {
  if (typeof value !== "string") throw argumentError(`[${name}] needs a [field]`);
  if (value === "_all") throw argumentError(`[${name}] needs one field, not [_all]`);
  return fieldOf(value);
}

function typeError(field: string, type: string, name: string): SearchError {
  return argumentError(
    `Field [${field}] of type [${type}] is not supported for aggregation [${name}]`,
  );
}

/** A request of the shim with the sub-aggregations of its buckets. */
export function withChildren(request: JsonObject, children: AggregationSet): JsonObject {
  return Object.keys(children.request).length === 0
    ? request
    : { ...request, aggs: children.request };
}

/** The buckets of a result, each an object. */
export function bucketsOf(result: AggregationResult): readonly JsonObject[] {
  const buckets = result?.["buckets"];
  return Array.isArray(buckets) ? buckets.filter(isObject) : [];
}

/** The records in a bucket of the shim's. */
export function documentCountOf(bucket: AggregationResult): number {
  return Number(bucket?.["doc_count"] ?? 0);
}

/** A number as Elasticsearch writes it in keys: with a fraction. */
export function decimalOf(number: number): string {
  return Number.isInteger(number) ? number.toFixed(1) : String(number);
}
