/**
 * Errors of the search API, in the shape and with the names that Elasticsearch gives them (source:
 * Elasticsearch reference, "REST API conventions"), so that its clients know them.
 */

/** Elasticsearch's names for what can go wrong here. */
export type SearchErrorType =
  | "parsing_exception"
  | "illegal_argument_exception"
  | "query_shard_exception"
  | "index_not_found_exception"
  | "es_rejected_execution_exception"
  | "search_timeout_exception"
  | "too_many_buckets_exception"
  | "circuit_breaking_exception"
  | "content_too_long_exception"
  | "content_type_header_exception"
  | "method_not_allowed_exception"
  | "resource_not_found_exception"
  | "service_unavailable_exception"
  | "search_phase_execution_exception";

/** An answer with an error status. The message is the `reason`. */
export class SearchError extends Error {
  override readonly name = "SearchError";
  readonly status: number;
  readonly type: SearchErrorType;
  /** Further fields of the cause, as Elasticsearch adds them for some types. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    status: number,
    type: SearchErrorType,
    reason: string,
    details: Readonly<Record<string, unknown>> = {},
  ) {
    super(reason);
    this.status = status;
    this.type = type;
    this.details = details;
  }
}

/** The request's JSON is not what it should be: 400. */
export function parsingError(reason: string): SearchError {
  return new SearchError(400, "parsing_exception", reason);
}

/** A value is out of place or out of bounds: 400. */
export function argumentError(reason: string): SearchError {
  return new SearchError(400, "illegal_argument_exception", reason);
}

/** A topic in the index position does not exist: 404. */
export function topicNotFoundError(topic: string): SearchError {
  return new SearchError(404, "index_not_found_exception", `no such index [${topic}]`, {
    "resource.type": "index_or_alias",
    "resource.id": topic,
    index: topic,
  });
}

/** A topic in the index position has no index: 400. */
export function topicNotIndexedError(topic: string): SearchError {
  const reason = `topic [${topic}] is not indexed for search: its config search.index.enable is false`;
  return new SearchError(400, "illegal_argument_exception", reason, { index: topic });
}

/** The JSON of an error answer. */
export function errorBodyOf(error: SearchError): object {
  const cause = { type: error.type, reason: error.message, ...error.details };
  return { error: { root_cause: [cause], ...cause }, status: error.status };
}
