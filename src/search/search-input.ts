/** A search between the HTTP edge and the search Worker: nothing of it is parsed on the main thread. */

/** What is asked of a search: hits and aggregations, only how many there are, or which fields records have. */
export type SearchApi = "search" | "count" | "fieldCaps" | "mapping";

/** A search as it came in. */
export interface SearchInput {
  /** "search" unless given. */
  readonly api?: SearchApi;
  /** The index position, percent-decoded; undefined for all topics. */
  readonly topics: string | undefined;
  /** The query string without "?", still percent-encoded. */
  readonly parameters: string;
  /** JSON, or empty. Given away: it may be transferred to a Worker. */
  readonly body: Uint8Array;
}

/** The answer to a search: JSON, also for errors of the client. */
export interface SearchOutput {
  readonly status: number;
  readonly body: Uint8Array;
}
