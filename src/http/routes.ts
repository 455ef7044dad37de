/**
 * What the HTTP port answers:
 *
 *   GET  /                      what is served here
 *   GET  /health                the process answers
 *   GET  /ready                 200 when clients can be served, else 503
 *   GET  /metrics               Prometheus text
 *   GET  /api/…                 topics and their records (`api-routes.ts`)
 *   GET|POST /_search           search over all topics
 *   GET|POST /{topics}/_search  search over some: names and patterns, separated by commas
 *   GET|POST /_count, /{topics}/_count      how many records match
 *   GET|POST /_msearch, /{topics}/_msearch  several searches at once
 *   GET|POST /_field_caps, /{topics}/_field_caps  which fields records have, and their types
 *   GET  /_mapping, /{topics}/_mapping      the same as a tree
 *   GET  /_cat/indices, /_cat/indices/{topics}  the topics
 *
 * Errors have Elasticsearch's shape on every path but those under /api.
 */

import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { METRICS_CONTENT_TYPE } from "../core/metric-registry.ts";
import type { Metrics } from "../core/metrics.ts";
import { errorBodyOf, SearchError, type SearchErrorType } from "../search/elasticsearch-error.ts";
import { multiSearch } from "../search/multi-search.ts";
import type { SearchInput, SearchOutput } from "../search/search-input.ts";
import { apiErrorBodyOf } from "./api-error.ts";
import { type ApiOwners, type ApiRoute, apiRouteOf } from "./api-routes.ts";
import { catIndices, type TopicSummary } from "./cat-indices.ts";
import type { HttpResponse, RequestHandler } from "./connection.ts";
import { percentDecoded } from "./percent-decoding.ts";
import type { HttpRequest } from "./request-parser.ts";

/** Who answers searches. Rejects with `SearchError` at most. */
export interface SearchBackend {
  search(input: SearchInput): Promise<SearchOutput>;
}

export interface RouteOptions {
  readonly search: SearchBackend;
  readonly api: ApiOwners;
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Searches at a time, waiting ones included. Above it: 429. */
  readonly searchConcurrencyMax: number;
  readonly version: string;
  /** All topics, to list them. */
  readonly topics: () => Iterable<TopicSummary>;
}

const JSON_CONTENT_TYPE = "application/json";
/** Clients of Elasticsearch refuse to talk to a server that does not say this. */
const PRODUCT_HEADERS = { "X-Elastic-Product": "Elasticsearch" };
const READ_METHODS = ["GET", "HEAD"];
const SEARCH_METHODS = ["GET", "POST"];

interface Route {
  /** Its label in the metrics. */
  readonly name: string;
  readonly methods: readonly string[];
  readonly answer: (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;
}

/** The handler for all paths. It never rejects. */
export function createRoutes(options: RouteOptions): RequestHandler {
  const routeOf = createRouteTable(options);
  return async (request) => {
    const [path = "", parameters = ""] = splitTarget(request.target);
    let name = "other";
    let response: HttpResponse;
    try {
      const route = routeOf(path, parameters);
      name = route.name;
      if (!route.methods.includes(request.method)) throw methodError(request, path, route.methods);
      response = await route.answer(request);
    } catch (thrown) {
      response = responseOfError(thrown, { logger: options.logger, isApi: isApiPath(path) });
    }
    options.metrics.httpRequestsTotal.with(name, String(response.status)).increment();
    return response;
  };
}

/** The answer to an error of any kind. */
function responseOfError(
  thrown: unknown,
  { logger, isApi }: { readonly logger: Logger; readonly isApi: boolean },
): HttpResponse {
  const bodyOf = isApi ? apiErrorBodyOf : errorBodyOf;
  if (thrown instanceof SearchError) {
    const response = jsonResponse(thrown.status, bodyOf(thrown));
    const allow = thrown.details["allow"];
    return typeof allow === "string" ? { ...response, headers: { Allow: allow } } : response;
  }
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  logger.error("http_request_failed", { stack });
  const error = new SearchError(500, "search_phase_execution_exception", "the request failed");
  return jsonResponse(500, bodyOf(error));
}

/** The answer to bytes that are no HTTP request. */
export function responseOfFault(status: number, reason: string): HttpResponse {
  const type: SearchErrorType =
    status === 413 ? "content_too_long_exception" : "illegal_argument_exception";
  return jsonResponse(status, errorBodyOf(new SearchError(status, type, reason)));
}

function createRouteTable(options: RouteOptions): (path: string, parameters: string) => Route {
  const answers = createSearchAnswers(options);
  const fixed: Readonly<Record<string, Route>> = {
    "/": { name: "/", methods: READ_METHODS, answer: () => welcome(options.version) },
    "/health": {
      name: "/health",
      methods: READ_METHODS,
      answer: () => jsonResponse(200, { status: "ok" }),
    },
    "/ready": {
      name: "/ready",
      methods: READ_METHODS,
      answer: () =>
        options.isReady()
          ? jsonResponse(200, { status: "ready" })
          : jsonResponse(503, { status: "starting" }),
    },
    "/metrics": {
      name: "/metrics",
      methods: READ_METHODS,
      answer: () => ({
        status: 200,
        contentType: METRICS_CONTENT_TYPE,
        body: encode(options.metrics.expose()),
      }),
    },
  };
  return (path, parameters) => {
    const route = Object.hasOwn(fixed, path) ? fixed[path] : undefined;
    if (route !== undefined) return route;
    const found = searchRouteOf(path, parameters, answers) ?? catRouteOf(path, parameters, options);
    if (found !== undefined) return found;
    const apiRoute = apiRouteOf(options.api, path, parameters);
    if (apiRoute !== undefined) return routeOfApi(apiRoute, options.isReady);
    throw new SearchError(404, "resource_not_found_exception", `nothing is served at [${path}]`);
  };
}

function routeOfApi({ name, answer }: ApiRoute, isReady: () => boolean): Route {
  return {
    name,
    methods: READ_METHODS,
    answer: async () => {
      if (!isReady()) throw notReadyError();
      const { status, body } = await answer();
      return { status, contentType: JSON_CONTENT_TYPE, body };
    },
  };
}

/** The route of `/_search` and its like, for all topics or for those that the path begins with. */
function searchRouteOf(
  path: string,
  parameters: string,
  answers: ReadonlyMap<string, SearchAnswer>,
): Route | undefined {
  const [, first = "", second, ...rest] = path.split("/");
  const api = second ?? first;
  const answer = answers.get(api);
  if (answer === undefined || rest.length > 0 || first === "") return undefined;
  const topics = second === undefined ? undefined : percentDecoded(first);
  return {
    name: second === undefined ? `/${api}` : `/{topics}/${api}`,
    methods: api === "_mapping" ? READ_METHODS : SEARCH_METHODS,
    answer: (request) => answer(request, { topics, parameters }),
  };
}

function catRouteOf(path: string, parameters: string, options: RouteOptions): Route | undefined {
  const [, root, name, topics, ...rest] = path.split("/");
  if (root !== "_cat" || name !== "indices" || rest.length > 0) return undefined;
  return {
    name: "/_cat/indices",
    methods: READ_METHODS,
    answer: () => {
      const expression = topics ? percentDecoded(topics) : undefined;
      const { isJson, text } = catIndices(expression, parameters, options.topics());
      const contentType = isJson ? JSON_CONTENT_TYPE : "text/plain; charset=UTF-8";
      return { status: 200, contentType, body: encode(text), headers: PRODUCT_HEADERS };
    },
  };
}

/** Its errors are not Elasticsearch's. A topic may be called "api", too. */
function isApiPath(path: string): boolean {
  return path.startsWith("/api/") && !/\/_(search|count|msearch|field_caps|mapping)$/.test(path);
}

function notReadyError(): SearchError {
  return new SearchError(503, "service_unavailable_exception", "the broker is starting");
}

type SearchAnswer = (
  request: HttpRequest,
  input: Pick<SearchInput, "topics" | "parameters">,
) => Promise<HttpResponse>;

/** What answers each kind of search; one limit counts them all. */
function createSearchAnswers(options: RouteOptions): ReadonlyMap<string, SearchAnswer> {
  const { search: backend, clock } = options;
  const search = (input: SearchInput) => backend.search(input);
  const limited = createSearchAnswer(options);
  return new Map<string, SearchAnswer>([
    ["_search", limited(search)],
    ["_count", limited((input) => search({ ...input, api: "count" }))],
    ["_field_caps", limited((input) => search({ ...input, api: "fieldCaps" }))],
    ["_mapping", limited((input) => search({ ...input, api: "mapping" }))],
    ["_msearch", limited((input) => multiSearch(input, { search, clock }))],
  ]);
}

function createSearchAnswer(options: RouteOptions) {
  let running = 0;
  return (run: (input: SearchInput) => Promise<SearchOutput>): SearchAnswer =>
    async (request, { topics, parameters }) => {
      checkContentType(request);
      if (!options.isReady()) throw notReadyError();
      if (running >= options.searchConcurrencyMax) {
        options.metrics.searchesRejectedTotal.increment();
        const reason = `rejected: ${running} searches are running`;
        throw new SearchError(429, "es_rejected_execution_exception", reason);
      }
      running += 1;
      const startMs = options.clock.monotonicMs();
      try {
        const { status, body } = await run({ topics, parameters, body: request.body });
        return { status, contentType: JSON_CONTENT_TYPE, body, headers: PRODUCT_HEADERS };
      } finally {
        running -= 1;
        const elapsedMs = options.clock.monotonicMs() - startMs;
        options.metrics.searchLatencySeconds.observe(elapsedMs / 1000);
      }
    };
}

/** A body of another type would be misread. */
function checkContentType(request: HttpRequest): void {
  if (request.body.length === 0) return;
  const header = request.headers.get("content-type") ?? "";
  const type = (header.split(";")[0] ?? "").trim().toLowerCase();
  // What curl sends for -d; Elasticsearch's own documentation of old used it.
  if (type === "application/x-www-form-urlencoded" || type === "") return;
  if (/^application\/(json|vnd\.elasticsearch\+json|x-ndjson)$/.test(type)) return;
  const reason = `Content-Type header [${header}] is not supported`;
  throw new SearchError(406, "content_type_header_exception", reason);
}

function welcome(version: string): HttpResponse {
  const names = ["_search", "_count", "_msearch", "_field_caps", "_mapping"];
  const apis = names.flatMap((api) => [`/${api}`, `/{topic}/${api}`]);
  const paths = [...apis, "/_cat/indices", "/api/topics", "/metrics", "/health", "/ready"];
  return jsonResponse(200, { name: "chronik", version, paths });
}

function methodError(request: HttpRequest, path: string, methods: readonly string[]): SearchError {
  const allow = methods.join(", ");
  const reason = `[${request.method}] is not allowed for [${path}], only: ${allow}`;
  return new SearchError(405, "method_not_allowed_exception", reason, { allow });
}

function jsonResponse(status: number, body: object): HttpResponse {
  return {
    status,
    contentType: JSON_CONTENT_TYPE,
    body: encode(`${JSON.stringify(body)}\n`),
    headers: PRODUCT_HEADERS,
  };
}

/** Path and query string of a request target, which may also be a whole URL. */
function splitTarget(target: string): readonly [path: string, parameters: string] {
  const relative = target.replace(/^https?:\/\/[^/?]*/i, "");
  const question = relative.indexOf("?");
  if (question < 0) return [relative || "/", ""];
  return [relative.slice(0, question) || "/", relative.slice(question + 1)];
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
