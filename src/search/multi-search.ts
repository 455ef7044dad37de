/**
 * Several searches in one request (source: Elasticsearch reference, "Multi search API"): lines of JSON, for each
 * search a header that says where to look, and a body. They run one after the other; one that fails leaves its
 * error in its place.
 */

import type { Clock } from "../core/clock.ts";
import { argumentError, errorBodyOf, parsingError, SearchError } from "./elasticsearch-error.ts";
import {
  booleanOf,
  checkKeys,
  isObject,
  type JsonObject,
  objectOf,
  stringOf,
} from "./json-reader.ts";
import type { SearchInput, SearchOutput } from "./search-input.ts";
import { flagOf, parametersOf } from "./search-request.ts";

interface MultiSearchOptions {
  readonly search: (input: SearchInput) => Promise<SearchOutput>;
  readonly clock: Clock;
}

/** Of one request. */
const SEARCHES_MAX = 100;
/** Of all answers together; searches beyond it get an error. */
const RESPONSES_BYTES_MAX = 64 * 2 ** 20;
const HEADER_FLAGS = ["ignore_unavailable", "allow_no_indices", "allow_partial_search_results"];
const HEADER_KEYS = ["index", "search_type", ...HEADER_FLAGS];
const NEWLINE = 10;

/** @throws SearchError 400 for lines that are no searches */
export async function multiSearch(
  input: SearchInput,
  { search, clock }: MultiSearchOptions,
): Promise<SearchOutput> {
  const startMs = clock.monotonicMs();
  const shared = ["pretty", "rest_total_hits_as_int", "max_concurrent_searches"];
  const parameters = parametersOf(input.parameters, shared);
  const searches = searchesOf(input);
  const encoder = new TextEncoder();
  const responses: string[] = [];
  let leftBytes = RESPONSES_BYTES_MAX;
  for (const { header, body } of searches) {
    const response = await answered(
      () => searchInputOf({ header, body, parameters, topics: input.topics }),
      search,
    );
    leftBytes -= response.length;
    const isTooMuch = leftBytes < 0;
    responses.push(isTooMuch ? errorText(tooMuch()) : response);
    if (isTooMuch) leftBytes += response.length;
  }
  const took = Math.round(clock.monotonicMs() - startMs);
  const text = `{"took":${took},"responses":[${responses.join(",")}]}`;
  const isPretty = flagOf(parameters, "pretty", false);
  const shown = isPretty ? JSON.stringify(JSON.parse(text), undefined, 2) : text;
  return { status: 200, body: encoder.encode(`${shown}\n`) };
}

/** The JSON of one search's answer, with its status. */
async function answered(
  inputOf: () => SearchInput,
  search: MultiSearchOptions["search"],
): Promise<string> {
  try {
    const { status, body } = await search(inputOf());
    const text = new TextDecoder().decode(body).trimEnd();
    // An error's body says its status itself.
    return status === 200 ? `${text.slice(0, -1)},"status":200}` : text;
  } catch (thrown) {
    if (thrown instanceof SearchError) return errorText(thrown);
    throw thrown;
  }
}

function errorText(error: SearchError): string {
  return JSON.stringify(errorBodyOf(error));
}

function tooMuch(): SearchError {
  return argumentError(`the answers exceed ${RESPONSES_BYTES_MAX} bytes: ask for fewer hits`);
}

interface Lines {
  readonly header: JsonObject;
  readonly body: Uint8Array;
}

function searchInputOf({
  header,
  body,
  parameters,
  topics,
}: Lines & {
  readonly parameters: ReadonlyMap<string, string>;
  readonly topics: string | undefined;
}): SearchInput {
  checkKeys(header, HEADER_KEYS, "[_msearch] header");
  if ((header["search_type"] ?? "query_then_fetch") !== "query_then_fetch") {
    throw argumentError("[_msearch] search_type is [query_then_fetch]");
  }
  const own = new URLSearchParams();
  for (const name of HEADER_FLAGS) {
    if (header[name] !== undefined) own.set(name, String(booleanOf(header[name], `[${name}]`)));
  }
  const hasTotalAsNumber = parameters.get("rest_total_hits_as_int");
  if (hasTotalAsNumber !== undefined) own.set("rest_total_hits_as_int", hasTotalAsNumber);
  return { topics: indexOf(header["index"]) ?? topics, parameters: own.toString(), body };
}

function indexOf(json: unknown): string | undefined {
  if (json === undefined || json === null) return undefined;
  const names = Array.isArray(json) ? json : [json];
  return names.map((name) => stringOf(name, "[_msearch] index")).join(",") || undefined;
}

function searchesOf({ body }: SearchInput): readonly Lines[] {
  const lines = linesOf(body);
  if (lines.length === 0) throw parsingError("no requests added: the body has no lines");
  if (lines.length % 2 !== 0) throw parsingError("a header without a search follows the last one");
  if (lines.length / 2 > SEARCHES_MAX) {
    throw argumentError(`[_msearch] takes at most ${SEARCHES_MAX} searches`);
  }
  const searches: Lines[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const [header, search] = [lines[index], lines[index + 1]];
    if (header === undefined || search === undefined) break;
    searches.push({ header: headerOf(header, index + 1), body: search.slice() });
  }
  return searches;
}

function headerOf(line: Uint8Array, lineNumber: number): JsonObject {
  if (line.length === 0) return {};
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(line));
    if (isObject(json)) return json;
    return objectOf(json, `line ${lineNumber}`);
  } catch (thrown) {
    if (thrown instanceof SearchError) throw thrown;
    throw parsingError(`line ${lineNumber} is not valid JSON`);
  }
}

/** The lines of `bytes`; what follows the last newline counts if there is anything. */
function linesOf(bytes: Uint8Array): readonly Uint8Array[] {
  const lines: Uint8Array[] = [];
  let start = 0;
  while (start < bytes.length) {
    const found = bytes.indexOf(NEWLINE, start);
    const end = found < 0 ? bytes.length : found;
    const isCarriage = end > start && bytes[end - 1] === 13;
    lines.push(bytes.subarray(start, isCarriage ? end - 1 : end));
    start = end + 1;
  }
  return lines;
}
