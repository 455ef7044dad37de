/**
 * Which parts of `_source` a client wants: `_source` of a search, as Elasticsearch understands it
 * (true, false, a name or pattern, several of them, or includes and excludes).
 */

import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { checkKeys, isObject, kindOf, stringOf } from "./json-reader.ts";

/** The parts of `_source`, in their order. */
const SOURCE_FIELDS = [
  "topic",
  "partition",
  "offset",
  "timestamp",
  "key",
  "value",
  "headers",
] as const;
type SourceField = (typeof SOURCE_FIELDS)[number];

/** The parts to give; undefined: no `_source` at all. */
export type SourceFilter = ReadonlySet<SourceField> | undefined;

const PATTERNS_MAX = 64;

/** @param value of "_source"; undefined means everything. @throws SearchError 400 */
export function createSourceFilter(value: unknown): SourceFilter {
  if (value === undefined || value === true || value === "true") return new Set(SOURCE_FIELDS);
  if (value === false || value === "false") return undefined;
  if (!isObject(value)) return fieldsMatching(patternsOf(value), []);
  checkKeys(value, ["includes", "excludes", "include", "exclude"], "[_source]");
  const includes = patternsOf(value["includes"] ?? value["include"] ?? "*");
  return fieldsMatching(includes, patternsOf(value["excludes"] ?? value["exclude"] ?? []));
}

function patternsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return value.split(",");
  if (!Array.isArray(value)) throw parsingError(`[_source] does not understand ${kindOf(value)}`);
  return value.map((entry) => stringOf(entry, "[_source]"));
}

function fieldsMatching(includes: readonly string[], excludes: readonly string[]): SourceFilter {
  if (includes.length + excludes.length > PATTERNS_MAX) {
    throw argumentError(`[_source] takes at most ${PATTERNS_MAX} patterns`);
  }
  const isNamed = (patterns: readonly string[], field: string) =>
    patterns.some((pattern) => isPatternMatch(pattern, field));
  return new Set(
    SOURCE_FIELDS.filter((field) => isNamed(includes, field) && !isNamed(excludes, field)),
  );
}

/** Whether `text` is what `pattern` describes, in which * is any run of characters. Linear for any input. */
export function isPatternMatch(pattern: string, text: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return text === pattern;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  if (text.length < first.length + last.length) return false;
  let position = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, position);
    if (found < 0) return false;
    position = found + part.length;
  }
  return position <= text.length - last.length;
}
