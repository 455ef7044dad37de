/**
 * Buckets of what a query matches: `filter`, `filters`, `missing` (source: Elasticsearch reference, "Bucket
 * aggregations"). The queries are those of searches.
 */

import type { ShimQuery } from "../core/shim-query.ts";
import {
  type AggregationContext,
  type AggregationNode,
  type AggregationResult,
  type AggregationSet,
  documentCountOf,
  type ShownBucket,
  valuesFieldOf,
  withChildren,
} from "./aggregation.ts";
import { parsingError } from "./elasticsearch-error.ts";
import { booleanOf, checkKeys, isObject, type JsonObject, stringOf } from "./json-reader.ts";
import { queryOf } from "./query-dsl.ts";

const OTHER_KEY = "_other_";

export function parseFilter(
  body: unknown,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  return {
    requests: [filterRequest(queryOf(body, context), children)],
    show: ([result], { shown }) => showFilter(result, shown, children),
  };
}

export function parseFilters(
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
): AggregationNode {
  checkKeys(body, ["filters", "other_bucket", "other_bucket_key"], "[filters]");
  const filters = body["filters"];
  if (!isObject(filters) && !Array.isArray(filters)) {
    throw parsingError("[filters] needs [filters]: an object or an array of queries");
  }
  const names = isObject(filters) ? Object.keys(filters) : undefined;
  const queries = Object.values(filters).map((filter) => queryOf(filter, context));
  if (queries.length === 0) throw parsingError("[filters] needs at least one filter");
  const otherKey = body["other_bucket_key"];
  if (
    otherKey !== undefined ||
    booleanOf(body["other_bucket"] ?? false, "[filters] other_bucket")
  ) {
    names?.push(otherKey === undefined ? OTHER_KEY : stringOf(otherKey, "[filters]"));
    queries.push({ kind: "bool", mustNot: [...queries] });
  }
  return {
    requests: queries.map((query) => filterRequest(query, children)),
    show: (results, { shown }) => {
      shown.countBuckets(results.length);
      const buckets = results.map((result) => showFilter(result, shown, children));
      return {
        buckets: names
          ? Object.fromEntries(names.map((name, index) => [name, buckets[index]]))
          : buckets,
      };
    },
  };
}

export function parseMissing(body: JsonObject, children: AggregationSet): AggregationNode {
  checkKeys(body, ["field"], "[missing]");
  const name = body["field"];
  const field = name === "_key" || name === "_value" ? name : valuesFieldOf(name, "missing");
  const query: ShimQuery = { kind: "bool", mustNot: [{ kind: "exists", field }] };
  return {
    requests: [filterRequest(query, children)],
    show: ([result], { shown }) => showFilter(result, shown, children),
  };
}

/** The shim's aggregation of what a query matches. */
export function filterRequest(query: ShimQuery, children: AggregationSet): JsonObject {
  return withChildren({ filter: { type: "FilterQuery", query: JSON.stringify(query) } }, children);
}

/** One bucket. */
export function showFilter(
  result: AggregationResult,
  shown: ShownBucket["shown"],
  children: AggregationSet,
): JsonObject {
  const documentCount = documentCountOf(result);
  return { doc_count: documentCount, ...children.show(result, { documentCount, shown }) };
}
