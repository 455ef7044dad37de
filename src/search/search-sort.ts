/**
 * What hits are sorted by (source: Elasticsearch reference, "Sort search results"): `_score`, `_timestamp`,
 * `_offset`, `_partition`, `_topic`, and leaves of JSON values. Of several values the least counts for an
 * ascending order, else the greatest; numbers (dates and booleans among them) come before strings, and what has
 * no value comes last, or first where `missing` says so.
 */

import type { ShimSort } from "../core/shim-query.ts";
import { argumentError } from "./elasticsearch-error.ts";
import { checkKeys, isObject, soleEntryOf, stringOf } from "./json-reader.ts";
import { ALL_FIELDS, fieldOf, kindOfField } from "./leaf-query.ts";

/** The shim takes no more. */
const SORTS_MAX = 3;
const NAMED: ReadonlyMap<string, ShimSort["by"]> = new Map([
  ["_score", "score"],
  ["_timestamp", "timestamp"],
  ["timestamp", "timestamp"],
  ["_offset", "offset"],
  ["offset", "offset"],
]);

/**
 * `?sort=_timestamp:desc,_offset`, or the body's string, object, or array of them; undefined for none.
 * @throws SearchError 400
 */
export function sortsOf(
  parameter: string | undefined,
  body: unknown,
): readonly ShimSort[] | undefined {
  if (parameter !== undefined) {
    return checkedSorts(
      parameter.split(",").map((entry) => {
        const [, name = entry, order] = /^(.*):([^:]*)$/.exec(entry) ?? [];
        return sortOf(name, order);
      }),
    );
  }
  if (body === undefined) return undefined;
  return checkedSorts((Array.isArray(body) ? body : [body]).map(sortIn));
}

function sortIn(entry: unknown): ShimSort {
  if (typeof entry === "string") return sortOf(entry, undefined);
  const [name, value] = soleEntryOf(entry, "[sort]");
  if (!isObject(value)) return sortOf(name, value);
  // `unmapped_type` says what to do where no record has the field: here it is missing.
  checkKeys(value, ["order", "missing", "unmapped_type"], "[sort]");
  const missing = value["missing"] ?? "_last";
  if (missing !== "_last" && missing !== "_first") {
    throw argumentError("[sort] missing is [_last] or [_first]");
  }
  const sort = sortOf(name, value["order"]);
  return missing === "_first" ? { ...sort, isMissingFirst: true } : sort;
}

function sortOf(name: string, order: unknown): ShimSort {
  const by = NAMED.get(name);
  const defaultOrder = by === "score" ? "desc" : "asc";
  const text = order === undefined ? defaultOrder : stringOf(order, "[sort] order").toLowerCase();
  if (text !== "asc" && text !== "desc") {
    throw argumentError(`[sort] order is [asc] or [desc], not [${text}]`);
  }
  if (by !== undefined) return { by, order: text };
  const field = fieldOf(name);
  if (field === ALL_FIELDS || kindOfField(field) === "text") {
    throw argumentError(
      `sorting by [${field}] is not possible: it is text, of which there is no column`,
    );
  }
  return { by: "field", field, order: text };
}

function checkedSorts(sorts: readonly ShimSort[]): readonly ShimSort[] | undefined {
  if (new Set(sorts.map(({ by, field }) => field ?? by)).size < sorts.length) {
    throw argumentError("[sort] names the same field twice");
  }
  if (sorts.length > SORTS_MAX) throw argumentError(`[sort] takes at most ${SORTS_MAX} fields`);
  return sorts.length === 0 ? undefined : sorts;
}
