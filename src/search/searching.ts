/**
 * Carries out searches; runs in the search Worker. A search is parsed, planned by the main thread (which
 * knows what the index consists of), run by the shim, and its hits are read back through the main
 * thread, decoded here and shown.
 */

import type { Clock } from "../core/clock.ts";
import { NativeError, searchIndexes } from "../core/native.ts";
import type { ShimFailure, ShimSearchRequest, ShimSearchResult } from "../core/shim-query.ts";
import { type AggregationSet, ShownAggregations } from "./aggregation.ts";
import { errorBodyOf, SearchError } from "./elasticsearch-error.ts";
import { HitReader, type WantedHit } from "./hit-source.ts";
import { boundsOf, type QueryBounds } from "./query-bounds.ts";
import type { PlannedSegment, SearchPlan, SegmentFailure } from "./search-plan.ts";
import { countRequestOf, type SearchRequest, searchRequestOf } from "./search-request.ts";
import { encodeCount, encodeResponse, type ShownHit } from "./search-response.ts";
import type { SearcherCommand, SearcherReport } from "./searcher-messages.ts";
import { SegmentOpener } from "./segment-opener.ts";
import { checkShards, type Shards, shardsOf } from "./shards.ts";

type SearchCommand = Extract<SearcherCommand, { kind: "search" }>;
type Reply = Exclude<SearcherCommand, SearchCommand | { kind: "forget" }>;

/** A plan may be outdated when it arrives: an index was closed, or a segment was removed meanwhile. */
const PLANS_MAX = 10;
const OUTDATED = /is not open|No such file/;
/** The process has too many files open, or too little memory: the index may be as it should be. */
const TRANSIENT = /os error (12|23|24)\b/;

export interface SearchingOptions {
  readonly clock: Clock;
  readonly report: (report: SearcherReport, transfer?: readonly ArrayBuffer[]) => void;
}

interface Found {
  readonly result: ShimSearchResult;
  readonly shards: Shards;
}

/** Nobody waits for the answer any more. */
class Cancelled extends Error {}

/** Owns the searches of this Worker. `receive` never throws. */
export class Searching {
  readonly #options: SearchingOptions;
  /** What each search waits for, by its id. */
  readonly #waits = new Map<number, (reply: Reply) => void>();

  /** Indexes of segments are opened when a search first looks into them. */
  readonly #segments: SegmentOpener;

  constructor(options: SearchingOptions) {
    this.#options = options;
    this.#segments = new SegmentOpener((indexNumbers) =>
      options.report({ kind: "open", indexNumbers }),
    );
  }

  receive(command: SearcherCommand): void {
    switch (command.kind) {
      case "search":
        // It never rejects.
        void this.#answer(command);
        return;
      case "forget":
        this.#segments.forget(command.segmentIds);
        return;
      default:
        this.#waits.get(command.id)?.(command);
    }
  }

  async #answer(command: SearchCommand): Promise<void> {
    const { id } = command;
    try {
      const body = await (command.api === "count" ? this.#count(command) : this.#search(command));
      const buffer = body.buffer instanceof ArrayBuffer ? [body.buffer] : [];
      this.#options.report({ kind: "answer", id, status: 200, body }, buffer);
    } catch (thrown) {
      if (thrown instanceof Cancelled) return;
      const error = searchErrorOf(thrown, command);
      const body = new TextEncoder().encode(`${JSON.stringify(errorBodyOf(error))}\n`);
      this.#options.report({ kind: "answer", id, status: error.status, body });
    } finally {
      this.#waits.delete(id);
    }
  }

  async #count(command: SearchCommand): Promise<Uint8Array> {
    const request = countRequestOf(command, { nowMs: this.#options.clock.nowMs() });
    const { result, shards } = await this.#find(command, { query: request.query, size: 0 });
    checkShards(shards, true);
    return encodeCount(request, result.total, shards);
  }

  async #search(command: SearchCommand): Promise<Uint8Array> {
    const { clock } = this.#options;
    const { responseBytesMax } = command.limits;
    const request = searchRequestOf(command, { nowMs: clock.nowMs(), ...command.limits });
    const { result: found, shards } = await this.#find(command, shimRequestOf(request, command));
    checkShards(shards, request.allowsPartialResults);
    const shown = aggregationsShown(request.aggregations, found, command);
    const wanted = found.hits.map((hit) => wantedOf(hit, request));
    const topHits = shown.gathered.topHits.filter((hit) => hit.sourceFilter !== undefined);
    const reader = new HitReader([...wanted.filter(isRead), ...topHits], responseBytesMax);
    await this.#read(command.id, reader);
    const hits = found.hits.flatMap((hit, index): ShownHit[] => {
      const own = wanted[index];
      if (own === undefined || !isRead(own)) {
        return [{ hit, sourceJson: undefined, highlightJson: undefined }];
      }
      const read = reader.read(own);
      return read === undefined ? [] : [{ hit, ...read }];
    });
    for (const topHit of topHits) {
      const json = reader.read(topHit)?.sourceJson;
      if (json === undefined) topHit.among.splice(topHit.among.indexOf(topHit.hit), 1);
      else topHit.hit["_source"] = JSON.parse(json);
    }
    return encodeResponse({
      request,
      // What cannot be read back is gone: its topic was deleted between search and reading.
      total: found.total - (found.hits.length - hits.length),
      hits,
      aggregations: shown.aggregations,
      shards,
      tookMs: clock.nowMs() - command.startMs,
      responseBytesMax,
    });
  }

  async #find(command: SearchCommand, request: ShimSearchRequest): Promise<Found> {
    const bounds = boundsOf(request.query);
    for (let attempt = 1; ; attempt += 1) {
      const plan = await this.#plan(command.id, bounds);
      const timeoutMs = Math.max(1, Math.round(command.deadlineMs - this.#options.clock.nowMs()));
      try {
        const toleratesMissing = attempt === PLANS_MAX;
        const { segments, failures } = this.#segments.open(plan.segments, { toleratesMissing });
        const { filter } = plan;
        const result = searchIndexes([...segments.keys(), ...plan.indexNumbers], {
          ...request,
          timeoutMs,
          ...(filter === undefined ? {} : { filter }),
        });
        const met = [...failures, ...failuresOf(result.failures, segments)];
        this.#tellDamage(met);
        return { result, shards: shardsOf(plan, [...plan.failures, ...met]) };
      } catch (thrown) {
        const isOutdated = thrown instanceof NativeError && OUTDATED.test(thrown.message);
        if (!isOutdated || attempt === PLANS_MAX) throw thrown;
      }
    }
  }

  #tellDamage(failures: readonly SegmentFailure[]): void {
    for (const { segment, reason } of failures) {
      if (TRANSIENT.test(reason)) continue;
      const { segmentId, lengthBytes } = segment;
      this.#options.report({ kind: "damaged", damage: { segmentId, lengthBytes, reason } });
    }
  }

  async #read(id: number, reader: HitReader): Promise<void> {
    let places = reader.places();
    while (places.length > 0) {
      this.#options.report({ kind: "read", id, places });
      const reply = await this.#reply(id);
      if (reply.kind !== "batches") throw new Cancelled();
      reader.add(reply.batches);
      places = places.slice(reply.placeCount);
    }
  }

  async #plan(id: number, bounds: QueryBounds): Promise<SearchPlan> {
    this.#options.report({ kind: "plan", id, bounds });
    const reply = await this.#reply(id);
    if (reply.kind !== "plan") throw new Cancelled();
    return reply.plan;
  }

  #reply(id: number): Promise<Reply> {
    return new Promise((resolve) => this.#waits.set(id, resolve));
  }
}

/** Failures of the shim, which knows indexes by their numbers. */
function failuresOf(
  failures: readonly ShimFailure[] | undefined,
  segments: ReadonlyMap<number, PlannedSegment>,
): SegmentFailure[] {
  return (failures ?? []).flatMap(({ index, reason }) => {
    const segment = segments.get(index);
    return segment === undefined ? [] : [{ segment, reason }];
  });
}

function shimRequestOf(request: SearchRequest, { limits }: SearchCommand): ShimSearchRequest {
  const { query, from, size, sort, searchAfter, aggregations } = request;
  return {
    query,
    from,
    size,
    ...(sort === undefined ? {} : { sort }),
    ...(searchAfter === undefined ? {} : { searchAfter }),
    ...(aggregations === undefined
      ? {}
      : {
          aggregations: aggregations.request,
          aggregationBytesMax: limits.aggregationBytesMax,
        }),
  };
}

function aggregationsShown(
  aggregations: AggregationSet | undefined,
  found: ShimSearchResult,
  { limits }: SearchCommand,
): { readonly aggregations: object | undefined; readonly gathered: ShownAggregations } {
  const fieldTypes = found.fieldTypes ?? {};
  const gathered = new ShownAggregations({ fieldTypes, bucketsMax: limits.bucketsMax });
  const bucket = { documentCount: found.total, shown: gathered };
  return { aggregations: aggregations?.show(found.aggregations, bucket), gathered };
}

function wantedOf(hit: WantedHit["place"], request: SearchRequest): WantedHit {
  const { sourceFilter, highlight: rules, query } = request;
  return {
    place: hit,
    sourceFilter,
    highlight: rules === undefined ? undefined : { rules, query },
  };
}

function isRead({ sourceFilter, highlight }: WantedHit): boolean {
  return sourceFilter !== undefined || highlight !== undefined;
}

/** The error for the client: what the shim refuses is a query that cannot be, unless it failed itself. */
function searchErrorOf(thrown: unknown, { limits }: SearchCommand): SearchError {
  if (thrown instanceof SearchError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  if (!(thrown instanceof NativeError) || reason.startsWith("panic")) {
    return new SearchError(500, "search_phase_execution_exception", reason);
  }
  if (/^The search took longer/.test(reason)) {
    return new SearchError(504, "search_timeout_exception", reason);
  }
  if (/^The aggregations need more|memory limit was exceeded/.test(reason)) {
    return new SearchError(
      400,
      "circuit_breaking_exception",
      `[aggregations] Data too large: ${reason} Ask for fewer buckets, or with a query for fewer records.`,
      { bytes_limit: String(limits.aggregationBytesMax) },
    );
  }
  return new SearchError(400, "query_shard_exception", `failed to create query: ${reason}`);
}
