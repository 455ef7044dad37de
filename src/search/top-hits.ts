/**
 * `top_hits`: the first records of a bucket (source: Elasticsearch reference, "Top hits aggregation"), the newest
 * unless a sort is given. There is no score in buckets. A hit is what it is in a search.
 */

import type { ShimSort } from "../core/shim-query.ts";
import type { AggregationNode, AggregationResult, ShownBucket } from "./aggregation.ts";
import { argumentError } from "./elasticsearch-error.ts";
import { checkKeys, countOf, isObject, type JsonObject } from "./json-reader.ts";
import { kindOfField } from "./leaf-query.ts";
import { sortsOf } from "./search-sort.ts";
import { createSourceFilter, type SourceFilter } from "./source-filter.ts";

const SIZE_DEFAULT = 3;
/** Of from + size, as in Elasticsearch. */
const WINDOW_MAX = 100;
const NEWEST_FIRST: readonly ShimSort[] = [{ by: "timestamp", order: "desc" }];
/** What places a record; every record has them. */
const PLACE_FIELDS = ["_topic_id", "_topic", "_partition", "_offset"];
/** Makes the order total; the shim leaves these out of the values that it shows. */
const TIE_BREAKS = [{ "sort:topic": "asc" }, sourceOf("_partition"), sourceOf("_offset")];

export function parseTopHits(body: JsonObject): AggregationNode {
  checkKeys(body, ["size", "from", "sort", "_source"], "[top_hits]");
  const size = countOf(body["size"] ?? SIZE_DEFAULT, "[top_hits] size");
  const from = countOf(body["from"] ?? 0, "[top_hits] from");
  if (from + size > WINDOW_MAX) {
    throw argumentError(
      `Top hits result window is too large, from + size must be less than or equal to: ` +
        `[${WINDOW_MAX}] but was [${from + size}]`,
    );
  }
  const sorts = sortsOf(undefined, body["sort"]) ?? NEWEST_FIRST;
  const sourceFilter = createSourceFilter(body["_source"]);
  const request = {
    size: Math.max(from + size, 1),
    sort: [...sorts.map(sortRequest), ...TIE_BREAKS],
    docvalue_fields: PLACE_FIELDS,
  };
  const page = { from, size, sourceFilter };
  return {
    requests: [{ top_hits: request }],
    show: ([result], bucket) => show(result, bucket, page),
  };
}

function sourceOf(field: string, order: "asc" | "desc" = "asc"): JsonObject {
  return { [`sort:${order}:${field}`]: order };
}

function sortRequest({ by, field = `_${by}`, order, isMissingFirst }: ShimSort): JsonObject {
  if (by === "score") throw argumentError("[top_hits] has no score to sort by");
  if (kindOfField(field) === "exact") {
    throw argumentError(`[top_hits] sorts by numbers and dates, not by [${field}]`);
  }
  if (isMissingFirst) throw argumentError("[top_hits] sorts missing values last only");
  return sourceOf(field, order);
}

function show(
  result: AggregationResult,
  { documentCount, shown }: ShownBucket,
  page: { readonly from: number; readonly size: number; readonly sourceFilter: SourceFilter },
): object {
  const hits: object[] = [];
  const found = Array.isArray(result?.["hits"]) ? result["hits"].filter(isObject) : [];
  for (const { docvalue_fields: fields } of found.slice(page.from, page.from + page.size)) {
    if (!isObject(fields)) continue;
    const place = placeOf(fields);
    const hit: Record<string, unknown> = {
      _index: place.topic,
      _id: `${place.topic}/${place.partition}/${place.offset}`,
      _score: null,
    };
    if (page.sourceFilter !== undefined) hit["_source"] = undefined;
    hit["sort"] = fields["sort"];
    shown.addTopHit({ place, sourceFilter: page.sourceFilter, hit, among: hits });
    hits.push(hit);
  }
  return {
    hits: { total: { value: documentCount, relation: "eq" }, max_score: null, hits },
  };
}

function placeOf(fields: JsonObject) {
  const [topicId, topic, partition, offset] = PLACE_FIELDS.map((name) => {
    const values = fields[name];
    return Array.isArray(values) ? values[0] : values;
  });
  return {
    topicId: String(topicId),
    topic: String(topic),
    partition: Number(partition),
    offset: Number(offset),
  };
}
