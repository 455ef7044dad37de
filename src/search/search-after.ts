/**
 * Paging from where the page before ended (source: Elasticsearch reference, "search_after").
 *
 * The `sort` of a hit ends with the record's place, `topic id/partition/offset`, as Elasticsearch's ends with a
 * tie-break for a point in time: with it, pages neither skip nor repeat hits that are sorted equally. A client
 * that leaves it out goes on behind all of these.
 */

import type { ShimHit, ShimSearchAfter, ShimSort, ShimSortValue } from "../core/shim-query.ts";
import { dateMsOf } from "./date-math.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { kindOf, numberOf } from "./json-reader.ts";
import type { QueryContext } from "./leaf-query.ts";

const PLACE = /^([^/]{1,100})\/(\d{1,10})\/(\d{1,16})$/;
const TEXT_LENGTH_MAX = 1_000;

/** @throws SearchError 400 */
export function searchAfterOf(
  json: unknown,
  sort: readonly ShimSort[] | undefined,
  context: QueryContext,
): ShimSearchAfter | undefined {
  if (json === undefined) return undefined;
  if (!Array.isArray(json)) {
    throw parsingError(`[search_after] expects an array but found ${kindOf(json)}`);
  }
  if (sort === undefined) throw argumentError("Sort must contain at least one field.");
  const hasPlace = json.length === sort.length + 1;
  if (json.length !== sort.length && !hasPlace) {
    throw argumentError(
      `search_after has ${json.length} value(s) but sort has ${sort.length}; ` +
        "a hit's own [sort] fits",
    );
  }
  const values = sort.map((entry, index) => valueAfter(entry, json[index], context));
  if (!hasPlace) return { values };
  const place = PLACE.exec(String(json[sort.length]));
  if (place === null) throw argumentError("the last value of [search_after] is no record's place");
  const [, topicId = "", partition, offset] = place;
  return { values, topicId, partition: Number(partition), offset: Number(offset) };
}

function valueAfter(sort: ShimSort, value: unknown, { nowMs }: QueryContext): ShimSortValue {
  switch (sort.by) {
    case "timestamp":
      return dateMsOf(value, { nowMs, roundsUp: false });
    case "score":
    case "offset":
      return numberOf(value, "[search_after]");
    case "field":
      if (value === null || typeof value === "number") return value;
      if (typeof value === "string" && value.length <= TEXT_LENGTH_MAX) return value;
      throw parsingError(`[search_after] expects values but found ${kindOf(value)}`);
  }
}

/** The `sort` of a hit. */
export function sortValuesOf(hit: ShimHit, sort: readonly ShimSort[]): readonly ShimSortValue[] {
  const { score, timestampMs: timestamp, offset } = hit;
  const values = sort.map(({ by }, index) =>
    by === "field" ? (hit.sortValues?.[index] ?? null) : { score, timestamp, offset }[by],
  );
  return [...values, `${hit.topicId}/${hit.partition}/${hit.offset}`];
}
