/**
 * Carries out searches; runs in the search Worker. A search is parsed, planned by the main thread (which
 * knows what the index consists of), run by the shim, and its hits are read back through the main
 * thread, decoded here and shown.
 */

import type { Clock } from "../core/clock.ts";
import { NativeError, searchIndexes } from "../core/native.ts";
import type { ShimSearchResult } from "../core/shim-query.ts";
import { errorBodyOf, SearchError } from "./elasticsearch-error.ts";
import { placeKeyOf, SourceCollector } from "./hit-source.ts";
import type { SearchPlan } from "./search-plan.ts";
import { type SearchRequest, searchRequestOf } from "./search-request.ts";
import { encodeResponse, type ShownHit } from "./search-response.ts";
import type { RecordPlace, SearcherCommand, SearcherReport } from "./searcher-messages.ts";

type SearchCommand = Extract<SearcherCommand, { kind: "search" }>;
type Reply = Exclude<SearcherCommand, SearchCommand>;

/** A plan may be outdated when it arrives: an index was frozen and closed meanwhile. */
const PLANS_MAX = 10;

export interface SearchingOptions {
  readonly clock: Clock;
  readonly report: (report: SearcherReport, transfer?: readonly ArrayBuffer[]) => void;
}

/** Nobody waits for the answer any more. */
class Cancelled extends Error {}

/** Owns the searches of this Worker. `receive` never throws. */
export class Searching {
  readonly #options: SearchingOptions;
  /** What each search waits for, by its id. */
  readonly #waits = new Map<number, (reply: Reply) => void>();

  constructor(options: SearchingOptions) {
    this.#options = options;
  }

  receive(command: SearcherCommand): void {
    if (command.kind !== "search") {
      this.#waits.get(command.id)?.(command);
      return;
    }
    // It never rejects.
    void this.#answer(command);
  }

  async #answer(command: SearchCommand): Promise<void> {
    const { id } = command;
    try {
      const body = await this.#search(command);
      const buffer = body.buffer instanceof ArrayBuffer ? [body.buffer] : [];
      this.#options.report({ kind: "answer", id, status: 200, body }, buffer);
    } catch (thrown) {
      if (thrown instanceof Cancelled) return;
      const error = searchErrorOf(thrown);
      const body = new TextEncoder().encode(`${JSON.stringify(errorBodyOf(error))}\n`);
      this.#options.report({ kind: "answer", id, status: error.status, body });
    } finally {
      this.#waits.delete(id);
    }
  }

  async #search(command: SearchCommand): Promise<Uint8Array> {
    const { clock } = this.#options;
    const { resultWindowMax, responseBytesMax } = command;
    const request = searchRequestOf(command, { nowMs: clock.nowMs(), resultWindowMax });
    const found = await this.#find(command.id, request);
    const sources = await this.#sourcesOf(command, request, found);
    const hits = found.hits.flatMap((hit): ShownHit[] => {
      if (sources === undefined) return [{ hit, sourceJson: undefined }];
      const sourceJson = sources.get(placeKeyOf(hit));
      return sourceJson === undefined ? [] : [{ hit, sourceJson }];
    });
    return encodeResponse({
      request,
      // What cannot be read back is gone: its topic was deleted between search and reading.
      total: found.total - (found.hits.length - hits.length),
      hits,
      tookMs: clock.nowMs() - command.startMs,
      responseBytesMax,
    });
  }

  async #find(id: number, request: SearchRequest): Promise<ShimSearchResult> {
    for (let attempt = 1; ; attempt += 1) {
      const { indexNumbers, filter } = await this.#plan(id);
      if (indexNumbers.length === 0) return { total: 0, hits: [] };
      try {
        return searchIndexes(indexNumbers, {
          query: request.query,
          from: request.from,
          size: request.size,
          ...(request.sort === undefined ? {} : { sort: request.sort }),
          ...(filter === undefined ? {} : { filter }),
        });
      } catch (thrown) {
        const isOutdated = thrown instanceof NativeError && /is not open/.test(thrown.message);
        if (!isOutdated || attempt === PLANS_MAX) throw thrown;
      }
    }
  }

  /** The JSON of the hits' sources, by `placeKeyOf`; undefined if none are wanted. */
  async #sourcesOf(
    command: SearchCommand,
    request: SearchRequest,
    found: ShimSearchResult,
  ): Promise<ReadonlyMap<string, string> | undefined> {
    if (request.sourceFilter === undefined) return undefined;
    const collector = new SourceCollector(found.hits, {
      filter: request.sourceFilter,
      lengthMax: command.responseBytesMax,
    });
    let places = found.hits
      .map(({ topicId, partition, offset }) => ({ topicId, partition, offset }))
      .sort(byPlace);
    while (places.length > 0) {
      this.#options.report({ kind: "read", id: command.id, places });
      const reply = await this.#reply(command.id);
      if (reply.kind !== "batches") throw new Cancelled();
      collector.add(reply.batches);
      places = places.slice(reply.placeCount);
    }
    return collector.sources;
  }

  async #plan(id: number): Promise<SearchPlan> {
    this.#options.report({ kind: "plan", id });
    const reply = await this.#reply(id);
    if (reply.kind !== "plan") throw new Cancelled();
    return reply.plan;
  }

  #reply(id: number): Promise<Reply> {
    return new Promise((resolve) => this.#waits.set(id, resolve));
  }
}

/** Places that lie together are read together. */
function byPlace(left: RecordPlace, right: RecordPlace): number {
  if (left.topicId !== right.topicId) return left.topicId < right.topicId ? -1 : 1;
  return left.partition - right.partition || left.offset - right.offset;
}

/** The error for the client: what the shim refuses is a query that cannot be, unless it failed itself. */
function searchErrorOf(thrown: unknown): SearchError {
  if (thrown instanceof SearchError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof NativeError && !reason.startsWith("panic")) {
    return new SearchError(400, "query_shard_exception", `failed to create query: ${reason}`);
  }
  return new SearchError(500, "search_phase_execution_exception", reason);
}
