/** Errors of the paths under `/api`: `{ "error": a name, "reason": a sentence }`, with the names that searches use. */

import { SearchError } from "../search/elasticsearch-error.ts";

/** The JSON of an error answer. */
export function apiErrorBodyOf({ type, message }: SearchError): object {
  return { error: type, reason: message };
}

/** A topic in the path does not exist: 404. */
export function noSuchTopic(name: string): SearchError {
  return new SearchError(404, "resource_not_found_exception", `no such topic [${name}]`);
}
