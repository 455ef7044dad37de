/** Parts of a request's path as they were meant. */

import { argumentError } from "../search/elasticsearch-error.ts";

/** @throws SearchError 400 */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw argumentError(`[${text}] is not percent-encoded correctly`);
  }
}
