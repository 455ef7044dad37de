/**
 * Carries out searches; runs in the search Worker. A search is parsed, planned by the main thread (which
 * knows what the index consists of), run by the shim, and its hits are read back through the main
 * thread, decoded here and shown.
 */

import type { Clock } from "../core/clock.ts";
import { NativeError, searchIndexes } from "../core/native.ts";
import { indexFields } from "../core/native-fields.ts";
import type { ShimFailure, ShimSearchRequest, ShimSearchResult } from "../core/shim-query.ts";
import { type AggregationSet, ShownAggregations } from "./aggregation.ts";
import { argumentError, errorBodyOf, SearchError } from "./elasticsearch-error.ts";
import { fieldCapsOf, fieldCapsRequestOf } from "./field-caps.ts";
import { MAPPING_PARAMETERS, mappingsOf } from "./field-mapping.ts";
import type { TopicFields } from "./field-types.ts";
import { HitReader, type WantedHit } from "./hit-source.ts";
import { boundsOf, type QueryBounds } from "./query-bounds.ts";
import type { PlannedSegment, SearchPlan, SegmentFailure } from "./search-plan.ts";
import {
  countRequestOf,
  flagOf,
  parametersOf,
  type SearchRequest,
  searchRequestOf,
} from "./search-request.ts";
import { encodeCount, encodeResponse, type ShownHit } from "./search-response.ts";
import type { RecordPlace, SearcherCommand, SearcherReport } from "./searcher-messages.ts";
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

/** Fields of one topic that are told, and of all topics of a request. */
const FIELDS_MAX = 10_000;
const FIELDS_TOTAL_MAX = 50_000;

interface Planned extends Pick<SearchCommand, "id" | "deadlineMs"> {
  readonly bounds: QueryBounds;
}

interface RunOptions extends Pick<SearchPlan, "filter"> {
  readonly timeoutMs: number;
}

interface Found<Result> {
  readonly result: Result;
  readonly shards: Shards;
}

interface FoundFields {
  readonly topics: readonly TopicFields[];
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
      const body = await this.#bodyOf(command);
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

  #bodyOf(command: SearchCommand): Promise<Uint8Array> {
    switch (command.api) {
      case "search":
        return this.#search(command);
      case "count":
        return this.#count(command);
      case "fieldCaps":
        return this.#fieldCaps(command);
      case "mapping":
        return this.#mapping(command);
    }
  }

  async #fieldCaps(command: SearchCommand): Promise<Uint8Array> {
    const request = fieldCapsRequestOf(command);
    const { topics, shards } = await this.#fields(command);
    return encodedFields(fieldCapsOf(request, topics, shards), request.isPretty, command.limits);
  }

  async #mapping(command: SearchCommand): Promise<Uint8Array> {
    const parameters = parametersOf(command.parameters, MAPPING_PARAMETERS);
    const { topics } = await this.#fields(command);
    return encodedFields(mappingsOf(topics), flagOf(parameters, "pretty", false), command.limits);
  }

  async #fields({ id, topics, deadlineMs }: SearchCommand): Promise<FoundFields> {
    const topicIds = topics.map(({ topicId }) => topicId);
    const limits = { fieldsMax: FIELDS_MAX, fieldsTotalMax: FIELDS_TOTAL_MAX };
    const { result, shards } = await this.#over(
      { id, deadlineMs, bounds: {} },
      (indexes, options) =>
        indexFields({ indexes, topicIds, ...limits, timeoutMs: options.timeoutMs }),
    );
    checkShards(shards, true);
    const found = topics.map((topic) => ({ topic, fields: result.topics[topic.topicId] ?? {} }));
    return { topics: found, shards };
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

  #find(
    { id, deadlineMs }: SearchCommand,
    request: ShimSearchRequest,
  ): Promise<Found<ShimSearchResult>> {
    const bounds = boundsOf(request.query);
    return this.#over({ id, deadlineMs, bounds }, (indexes, { filter, timeoutMs }) =>
      searchIndexes(indexes, {
        ...request,
        timeoutMs,
        ...(filter === undefined ? {} : { filter }),
      }),
    );
  }

  /** Runs `run` over the indexes that are planned, again if the plan turns out to be outdated. */
  async #over<Result extends { readonly failures?: readonly ShimFailure[] }>(
    { id, deadlineMs, bounds }: Planned,
    run: (indexes: readonly number[], options: RunOptions) => Result,
  ): Promise<Found<Result>> {
    for (let attempt = 1; ; attempt += 1) {
      const plan = await this.#plan(id, bounds);
      const timeoutMs = Math.max(1, Math.round(deadlineMs - this.#options.clock.nowMs()));
      try {
        const toleratesMissing = attempt === PLANS_MAX;
        const { segments, failures } = this.#segments.open(plan.segments, { toleratesMissing });
        const indexes = [...segments.keys(), ...plan.indexNumbers];
        const result = run(indexes, { filter: plan.filter, timeoutMs });
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
    let places: readonly RecordPlace[] = reader.places();
    while (places.length > 0) {
      this.#options.report({ kind: "read", id, places });
      const reply = await this.#reply(id);
      if (reply.kind !== "batches") throw new Cancelled();
      reader.add(reply.batches);
      places = reply.pending;
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

function encodedFields(
  body: object,
  isPretty: boolean,
  { responseBytesMax }: SearchCommand["limits"],
): Uint8Array {
  const bytes = new TextEncoder().encode(`${JSON.stringify(body, undefined, isPretty ? 2 : 0)}\n`);
  if (bytes.length <= responseBytesMax) return bytes;
  throw argumentError(`the answer exceeds ${responseBytesMax} bytes: name fewer topics`);
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
  if (/^The topics have more than/.test(reason)) {
    return argumentError(`${reason} Name fewer topics.`);
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
