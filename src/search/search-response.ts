/** The answer to a search, in Elasticsearch's shape (source: Elasticsearch reference, "Search API"). */

import type { ShimHit } from "../core/shim-query.ts";
import { argumentError } from "./elasticsearch-error.ts";
import { sortValuesOf } from "./search-after.ts";
import type { CountRequest, SearchRequest } from "./search-request.ts";
import type { Shards } from "./shards.ts";

/** A hit, and the JSON of its parts where they are wanted. */
export interface ShownHit {
  readonly hit: ShimHit;
  readonly sourceJson: string | undefined;
  readonly highlightJson: string | undefined;
}

export interface ResponseOptions {
  readonly request: SearchRequest;
  readonly total: number;
  readonly hits: readonly ShownHit[];
  readonly aggregations: object | undefined;
  readonly shards: Shards;
  readonly tookMs: number;
  readonly responseBytesMax: number;
}

/** The permanent address of a record. */
function hitIdOf(hit: Pick<ShimHit, "topic" | "partition" | "offset">): string {
  return `${hit.topic}/${hit.partition}/${hit.offset}`;
}

/** The JSON of the answer. @throws SearchError 400 if it would be larger than allowed */
export function encodeResponse(options: ResponseOptions): Uint8Array {
  const { request, total, hits, aggregations, shards, tookMs, responseBytesMax } = options;
  const isScored = request.sort?.some(({ by }) => by === "score") ?? true;
  const scores = hits.map(({ hit }) => hit.score ?? 0);
  const parts: string[] = [];
  let length = 0;
  for (const shown of hits) {
    const text = hitJsonOf(shown, request, isScored);
    length += text.length;
    if (length > responseBytesMax) throw responseTooLarge(responseBytesMax);
    parts.push(text);
  }
  const head = { took: Math.max(0, Math.round(tookMs)), timed_out: false, _shards: shards };
  const outer = {
    ...totalOf(request, total),
    max_score: isScored && scores.length > 0 ? Math.max(...scores) : null,
  };
  const found = `"hits":{${membersOf(outer)},"hits":[${parts.join(",")}]}`;
  const more = aggregations === undefined ? "" : `,"aggregations":${JSON.stringify(aggregations)}`;
  return encoded(`{${membersOf(head)},${found}${more}}`, request.isPretty, responseBytesMax);
}

/** The JSON of the answer to a request that only counts. */
export function encodeCount(request: CountRequest, count: number, shards: Shards): Uint8Array {
  return encoded(JSON.stringify({ count, _shards: shards }), request.isPretty, Infinity);
}

/** The answer would be larger than allowed: 400. */
export function responseTooLarge(responseBytesMax: number): Error {
  return argumentError(
    `the answer exceeds ${responseBytesMax} bytes: ask for fewer hits with [size], ` +
      'or leave the values out with ["_source": {"excludes": "value"}]',
  );
}

function encoded(body: string, isPretty: boolean, bytesMax: number): Uint8Array {
  const text = isPretty ? JSON.stringify(JSON.parse(body), undefined, 2) : body;
  const bytes = new TextEncoder().encode(`${text}\n`);
  if (bytes.length > bytesMax) throw responseTooLarge(bytesMax);
  return bytes;
}

/** The JSON of an object without its braces. */
function membersOf(object: object): string {
  return JSON.stringify(object).slice(1, -1);
}

function hitJsonOf(shown: ShownHit, request: SearchRequest, isScored: boolean): string {
  const { hit, sourceJson, highlightJson } = shown;
  const head = {
    _index: hit.topic,
    _id: hitIdOf(hit),
    _score: isScored ? hit.score : null,
  };
  const { sort } = request;
  const parts = [
    membersOf(head),
    ...(sourceJson === undefined ? [] : [`"_source":${sourceJson}`]),
    ...(highlightJson === undefined ? [] : [`"highlight":${highlightJson}`]),
    ...(sort === undefined ? [] : [`"sort":${JSON.stringify(sortValuesOf(hit, sort))}`]),
  ];
  return `{${parts.join(",")}}`;
}

function totalOf(request: SearchRequest, count: number): object {
  const { trackTotalHits, hasTotalAsNumber } = request;
  if (trackTotalHits === false) return hasTotalAsNumber ? { total: -1 } : {};
  if (hasTotalAsNumber) return { total: count };
  if (trackTotalHits !== true && count > trackTotalHits) {
    return { total: { value: trackTotalHits, relation: "gte" } };
  }
  return { total: { value: count, relation: "eq" } };
}
