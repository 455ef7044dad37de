/**
 * A search as a client writes it, URL parameters and body together, made into what the search Worker does.
 * Parameters win over the body, as in Elasticsearch. What is not known here is a 400, never ignored.
 */

import type { ShimQuery, ShimSearchAfter, ShimSort } from "../core/shim-query.ts";
import type { AggregationSet } from "./aggregation.ts";
import { aggregationsOf } from "./aggregation-request.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { type Highlight, highlightOf } from "./highlight-request.ts";
import { booleanOf, countOf, type JsonObject, kindOf, objectOf } from "./json-reader.ts";
import { ALL_FIELDS, fieldOf, type QueryContext } from "./leaf-query.ts";
import { CLAUSES_MAX, operatorOf, queryOf } from "./query-dsl.ts";
import { parseQueryString } from "./query-string.ts";
import { searchAfterOf } from "./search-after.ts";
import { sortsOf } from "./search-sort.ts";
import { createSourceFilter, type SourceFilter } from "./source-filter.ts";

/** What is to be done, and how the answer is to look. */
export interface SearchRequest {
  readonly query: ShimQuery;
  readonly from: number;
  readonly size: number;
  /** Undefined: by score. */
  readonly sort: readonly ShimSort[] | undefined;
  readonly searchAfter: ShimSearchAfter | undefined;
  readonly sourceFilter: SourceFilter;
  readonly highlight: Highlight | undefined;
  readonly aggregations: AggregationSet | undefined;
  /** False: no total; a number: count no further. The count itself is always exact. */
  readonly trackTotalHits: boolean | number;
  /** Whether hits are wanted where a part of the index cannot be searched. */
  readonly allowsPartialResults: boolean;
  readonly isPretty: boolean;
  /** The total as a bare number, as Elasticsearch 6 gave it. */
  readonly hasTotalAsNumber: boolean;
}

export interface SearchRequestOptions extends QueryContext {
  /** Largest from + size. */
  readonly resultWindowMax: number;
  /** Buckets of all aggregations. */
  readonly bucketsMax: number;
}

/** What is counted. */
export interface CountRequest {
  readonly query: ShimQuery;
  readonly isPretty: boolean;
}

const SIZE_DEFAULT = 10;
const BODY_KEYS = [
  ...["query", "size", "from", "sort", "search_after", "_source", "track_total_hits"],
  ...["aggs", "aggregations", "highlight"],
];
/** Read where they matter: by the index position and by `refresh`. */
const TOPIC_PARAMETERS = ["ignore_unavailable", "allow_no_indices", "refresh"];
const COUNT_PARAMETERS = ["q", "df", "default_operator", "pretty", ...TOPIC_PARAMETERS];
const PARAMETERS = [
  ...COUNT_PARAMETERS,
  ...["size", "from", "sort", "_source", "track_total_hits", "rest_total_hits_as_int"],
  "allow_partial_search_results",
];

interface RequestInput {
  readonly parameters: string;
  readonly body: Uint8Array;
}

/** @throws SearchError 400 */
export function searchRequestOf(input: RequestInput, options: SearchRequestOptions): SearchRequest {
  const parameters = parametersOf(input.parameters);
  const body = bodyOf(input.body, BODY_KEYS);
  const from = countOf(parameters.get("from") ?? body["from"] ?? 0, "[from]");
  const size = countOf(parameters.get("size") ?? body["size"] ?? SIZE_DEFAULT, "[size]");
  if (from + size > options.resultWindowMax) {
    throw argumentError(
      `Result window is too large, from + size must be less than or equal to: ` +
        `[${options.resultWindowMax}] but was [${from + size}]`,
    );
  }
  const sort = sortsOf(parameters.get("sort"), body["sort"]);
  const searchAfter = searchAfterOf(body["search_after"], sort, options);
  if (searchAfter !== undefined && from > 0) {
    throw argumentError("`from` parameter must be set to 0 when `search_after` is used");
  }
  return {
    query: queryIn(parameters, body, options),
    from,
    size,
    sort,
    searchAfter,
    sourceFilter: createSourceFilter(parameters.get("_source") ?? body["_source"]),
    highlight: highlightOf(body["highlight"], options),
    aggregations: aggregationsIn(body, options),
    trackTotalHits: trackTotalOf(parameters.get("track_total_hits") ?? body["track_total_hits"]),
    allowsPartialResults: flagOf(parameters, "allow_partial_search_results", true),
    isPretty: flagOf(parameters, "pretty", false),
    hasTotalAsNumber: flagOf(parameters, "rest_total_hits_as_int", false),
  };
}

/** A request that only counts: a query and nothing else. @throws SearchError 400 */
export function countRequestOf(input: RequestInput, context: QueryContext): CountRequest {
  const parameters = parametersOf(input.parameters, COUNT_PARAMETERS);
  const body = bodyOf(input.body, ["query"]);
  return {
    query: queryIn(parameters, body, context),
    isPretty: flagOf(parameters, "pretty", false),
  };
}

/** The parameters of a search URL. @throws SearchError 400 for an unknown or repeated one. */
export function parametersOf(
  text: string,
  allowed: readonly string[] = PARAMETERS,
): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (!allowed.includes(name)) {
      throw argumentError(`request contains unrecognized parameter: [${name.slice(0, 100)}]`);
    }
    if (parameters.has(name)) throw argumentError(`parameter [${name}] is given twice`);
    parameters.set(name, value);
  }
  return parameters;
}

/** A boolean parameter; present without a value means true. @throws SearchError 400 */
export function flagOf(
  parameters: ReadonlyMap<string, string>,
  name: string,
  defaultValue: boolean,
): boolean {
  return booleanOf(parameters.get(name) ?? defaultValue, `[${name}]`);
}

/** The JSON of a body, which may be empty. @throws SearchError 400 */
export function bodyOf(bytes: Uint8Array, allowed: readonly string[]): JsonObject {
  if (bytes.length === 0) return {};
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), wellFormed);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw parsingError(`the body is not valid JSON: ${reason}`);
  }
  const body = objectOf(json, "the body");
  for (const key of Object.keys(body)) {
    if (!allowed.includes(key)) {
      throw parsingError(`Unknown key for ${kindOf(body[key])} in [${key.slice(0, 100)}]`);
    }
  }
  return body;
}

/** Half a character, which JSON may hold as an escape, becomes what it is in records too: a replacement. */
function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === "string" ? value.toWellFormed() : value;
}

function queryIn(
  parameters: ReadonlyMap<string, string>,
  body: JsonObject,
  context: QueryContext,
): ShimQuery {
  const text = parameters.get("q");
  if (text !== undefined) {
    return parseQueryString(text, {
      nowMs: context.nowMs,
      defaultFields: [fieldOf(parameters.get("df") ?? ALL_FIELDS)],
      defaultOperator: operatorOf(parameters.get("default_operator") ?? "or", "q"),
      clausesMax: CLAUSES_MAX,
    });
  }
  for (const name of ["df", "default_operator"]) {
    if (parameters.has(name)) throw argumentError(`parameter [${name}] needs [q]`);
  }
  return body["query"] === undefined ? { kind: "all" } : queryOf(body["query"], context);
}

function aggregationsIn(
  body: JsonObject,
  options: SearchRequestOptions,
): AggregationSet | undefined {
  const { aggs, aggregations } = body;
  if (aggs !== undefined && aggregations !== undefined) {
    throw parsingError("the body has both [aggs] and [aggregations]");
  }
  const json = aggs ?? aggregations;
  if (json === undefined) return undefined;
  const set = aggregationsOf(json, options);
  return Object.keys(set.request).length === 0 ? undefined : set;
}

function trackTotalOf(value: unknown): boolean | number {
  if (value === undefined || value === null) return true;
  if (value === true || value === false || value === "true" || value === "false" || value === "") {
    return booleanOf(value, "[track_total_hits]");
  }
  return countOf(value, "[track_total_hits]");
}
