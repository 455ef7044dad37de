/**
 * A search as a client writes it, URL parameters and body together, made into what the search Worker does.
 * Parameters win over the body, as in Elasticsearch. What is not known here is a 400, never ignored.
 */

import type { ShimQuery, ShimSort } from "../core/shim-query.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import {
  booleanOf,
  checkKeys,
  countOf,
  isObject,
  type JsonObject,
  kindOf,
  objectOf,
  soleEntryOf,
  stringOf,
} from "./json-reader.ts";
import { ALL_FIELDS, fieldOf, type QueryContext } from "./leaf-query.ts";
import { CLAUSES_MAX, operatorOf, queryOf } from "./query-dsl.ts";
import { parseQueryString } from "./query-string.ts";
import { createSourceFilter, type SourceFilter } from "./source-filter.ts";

/** What is to be done, and how the answer is to look. */
export interface SearchRequest {
  readonly query: ShimQuery;
  readonly from: number;
  readonly size: number;
  /** Undefined: by score. */
  readonly sort: readonly ShimSort[] | undefined;
  readonly sourceFilter: SourceFilter;
  /** False: no total; a number: count no further. The count itself is always exact. */
  readonly trackTotalHits: boolean | number;
  readonly isPretty: boolean;
  /** The total as a bare number, as Elasticsearch 6 gave it. */
  readonly hasTotalAsNumber: boolean;
}

export interface SearchRequestOptions extends QueryContext {
  /** Largest from + size. */
  readonly resultWindowMax: number;
}

const SIZE_DEFAULT = 10;
const BODY_KEYS = ["query", "size", "from", "sort", "_source", "track_total_hits"];
const BODY_KEYS_LATER = ["aggs", "aggregations", "highlight", "search_after"];
/** Read where they matter: by the index position and by `refresh`. */
const TOPIC_PARAMETERS = ["ignore_unavailable", "allow_no_indices", "refresh"];
const PARAMETERS = [
  ...["q", "df", "default_operator", "size", "from", "sort", "_source", "track_total_hits"],
  ...["pretty", "rest_total_hits_as_int", ...TOPIC_PARAMETERS],
];

/** @throws SearchError 400 */
export function searchRequestOf(
  input: { readonly parameters: string; readonly body: Uint8Array },
  options: SearchRequestOptions,
): SearchRequest {
  const parameters = parametersOf(input.parameters);
  const body = bodyOf(input.body);
  const from = countOf(parameters.get("from") ?? body["from"] ?? 0, "[from]");
  const size = countOf(parameters.get("size") ?? body["size"] ?? SIZE_DEFAULT, "[size]");
  if (from + size > options.resultWindowMax) {
    throw argumentError(
      `Result window is too large, from + size must be less than or equal to: ` +
        `[${options.resultWindowMax}] but was [${from + size}]`,
    );
  }
  return {
    query: queryIn(parameters, body, options),
    from,
    size,
    sort: sortOf(parameters, body["sort"]),
    sourceFilter: createSourceFilter(parameters.get("_source") ?? body["_source"]),
    trackTotalHits: trackTotalOf(parameters.get("track_total_hits") ?? body["track_total_hits"]),
    isPretty: flagOf(parameters, "pretty", false),
    hasTotalAsNumber: flagOf(parameters, "rest_total_hits_as_int", false),
  };
}

/** The parameters of a search URL. @throws SearchError 400 for an unknown or repeated one. */
export function parametersOf(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (!PARAMETERS.includes(name)) {
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

function bodyOf(bytes: Uint8Array): JsonObject {
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
    if (BODY_KEYS_LATER.includes(key)) throw parsingError(`[${key}] is not supported yet`);
  }
  for (const key of Object.keys(body)) {
    if (!BODY_KEYS.includes(key)) {
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
  options: SearchRequestOptions,
): ShimQuery {
  const text = parameters.get("q");
  if (text !== undefined) {
    return parseQueryString(text, {
      nowMs: options.nowMs,
      defaultFields: [fieldOf(parameters.get("df") ?? ALL_FIELDS)],
      defaultOperator: operatorOf(parameters.get("default_operator") ?? "or", "q"),
      clausesMax: CLAUSES_MAX,
    });
  }
  for (const name of ["df", "default_operator"]) {
    if (parameters.has(name)) throw argumentError(`parameter [${name}] needs [q]`);
  }
  return body["query"] === undefined ? { kind: "all" } : queryOf(body["query"], options);
}

const SORT_KEYS: ReadonlyMap<string, ShimSort["by"]> = new Map([
  ["_score", "score"],
  ["_timestamp", "timestamp"],
  ["timestamp", "timestamp"],
  ["_offset", "offset"],
  ["offset", "offset"],
]);

/** `?sort=_timestamp:desc,_offset`, or the body's string, object, or array of them. */
function sortOf(
  parameters: ReadonlyMap<string, string>,
  body: unknown,
): readonly ShimSort[] | undefined {
  const text = parameters.get("sort");
  if (text !== undefined) {
    return uniqueSorts(
      text.split(",").map((entry) => {
        const [name = "", order, ...rest] = entry.split(":");
        if (rest.length > 0) throw argumentError(`[sort] does not understand [${entry}]`);
        return sortEntryOf(name, order);
      }),
    );
  }
  if (body === undefined) return undefined;
  const entries = Array.isArray(body) ? body : [body];
  return uniqueSorts(entries.map(sortEntryIn));
}

function sortEntryIn(entry: unknown): ShimSort {
  if (typeof entry === "string") return sortEntryOf(entry, undefined);
  const [name, value] = soleEntryOf(entry, "[sort]");
  if (!isObject(value)) return sortEntryOf(name, value);
  // `unmapped_type` says what to do where the field does not exist; these exist everywhere.
  checkKeys(value, ["order", "unmapped_type"], "[sort]");
  return sortEntryOf(name, value["order"]);
}

function sortEntryOf(name: string, order: unknown): ShimSort {
  const by = SORT_KEYS.get(name);
  if (by === undefined) {
    const names = [...SORT_KEYS.keys()].join(", ");
    throw argumentError(`sorting by [${name.slice(0, 100)}] is not supported, only by: ${names}`);
  }
  const defaultOrder = by === "score" ? "desc" : "asc";
  const text = order === undefined ? defaultOrder : stringOf(order, "[sort] order").toLowerCase();
  if (text !== "asc" && text !== "desc") {
    throw argumentError(`[sort] order is [asc] or [desc], not [${text}]`);
  }
  return { by, order: text };
}

function uniqueSorts(sorts: readonly ShimSort[]): readonly ShimSort[] | undefined {
  if (new Set(sorts.map(({ by }) => by)).size < sorts.length) {
    throw argumentError("[sort] names the same field twice");
  }
  return sorts.length === 0 ? undefined : sorts;
}

function trackTotalOf(value: unknown): boolean | number {
  if (value === undefined || value === null) return true;
  if (value === true || value === false || value === "true" || value === "false" || value === "") {
    return booleanOf(value, "[track_total_hits]");
  }
  return countOf(value, "[track_total_hits]");
}
