/**
 * What a query says of all its hits: times, topics and partitions outside of which it finds nothing. So an index
 * that lies outside need not be opened. Only what is required counts (`must`, `filter`), never what may match
 * (`should`) or what must not.
 */

import type { ShimQuery, ShimRangeQuery } from "../core/shim-query.ts";

/** Bounds that are not there are no bounds. They may be wider than the query, and are never narrower. */
export interface QueryBounds {
  /** Of `_timestamp` as it is indexed, inclusive. */
  readonly minMs?: number;
  readonly maxMs?: number;
  /** Names; none of them means no hit. */
  readonly topics?: readonly string[];
  readonly partitions?: readonly number[];
}

/** Times beyond are indexed, and looked for, as this one: `ffi/src/document.rs`. */
const TIME_MS_MAX = 9_223_372_036_854;
/** More values than this are no bound: they would have to be copied for every search. */
const VALUES_MAX = 1_000;

/** The bounds of all hits of `query`. */
export function boundsOf(query: ShimQuery): QueryBounds {
  switch (query.kind) {
    case "bool":
      return [...(query.must ?? []), ...(query.filter ?? [])].map(boundsOf).reduce(both, {});
    case "constant_score":
      return boundsOf(query.query);
    case "term":
      return valueBounds(query.field, [query.value]);
    case "terms":
      return valueBounds(query.field, query.values);
    case "range":
      return query.field === "_timestamp" ? timeBounds(query) : {};
    default:
      return {};
  }
}

function valueBounds(field: string, values: readonly unknown[]): QueryBounds {
  if (values.length > VALUES_MAX) return {};
  if (field === "_topic") return { topics: values.map(String) };
  const numbers = values.filter((value) => typeof value === "number");
  if (field !== "_partition" || numbers.length < values.length) return {};
  return { partitions: numbers };
}

/** Fractions are cut off where the query is built: towards zero, which is never farther than a whole millisecond. */
function timeBounds({ gt, gte, lt, lte }: ShimRangeQuery): QueryBounds {
  const lower = gt ?? gte;
  const upper = lt ?? lte;
  return {
    ...(typeof lower === "number" ? { minMs: Math.min(Math.floor(lower), TIME_MS_MAX) } : {}),
    ...(typeof upper === "number" ? { maxMs: Math.max(Math.ceil(upper), -TIME_MS_MAX) } : {}),
  };
}

/** What two queries say that both have to match. */
function both(one: QueryBounds, other: QueryBounds): QueryBounds {
  const minMs = Math.max(one.minMs ?? -Infinity, other.minMs ?? -Infinity);
  const maxMs = Math.min(one.maxMs ?? Infinity, other.maxMs ?? Infinity);
  const topics = common(one.topics, other.topics);
  const partitions = common(one.partitions, other.partitions);
  return {
    ...(minMs === -Infinity ? {} : { minMs }),
    ...(maxMs === Infinity ? {} : { maxMs }),
    ...(topics === undefined ? {} : { topics }),
    ...(partitions === undefined ? {} : { partitions }),
  };
}

function common<Value>(
  one: readonly Value[] | undefined,
  other: readonly Value[] | undefined,
): readonly Value[] | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const values = new Set(other);
  return one.filter((value) => values.has(value));
}
