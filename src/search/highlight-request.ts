/**
 * What is to be highlighted (source: Elasticsearch reference, "Highlighting"): the fields `value`, `key` and
 * `headers` of a record, also with an underscore, or `*`. A query on a path into JSON values shows in `value`.
 */

import type { ShimQuery } from "../core/shim-query.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import {
  booleanOf,
  checkKeys,
  countOf,
  type JsonObject,
  kindOf,
  objectOf,
  stringOf,
} from "./json-reader.ts";
import type { QueryContext } from "./leaf-query.ts";
import { queryOf } from "./query-dsl.ts";
import { isPatternMatch } from "./source-filter.ts";

export type HighlightField = "_value" | "_key" | "_headers";

/** How one field is highlighted. */
export interface HighlightRule {
  /** Under which the fragments are shown. */
  readonly name: string;
  readonly field: HighlightField;
  readonly preTag: string;
  readonly postTag: string;
  /** Characters of a fragment, about. */
  readonly fragmentSize: number;
  /** 0: the whole text as one. */
  readonly fragmentCount: number;
  readonly isByScore: boolean;
  /** Whether queries on other fields count too. */
  readonly isAnyField: boolean;
  /** Characters of its beginning to show where nothing matches. */
  readonly noMatchSize: number;
  /** Undefined: the query of the search. */
  readonly query: ShimQuery | undefined;
}

export interface Highlight {
  readonly rules: readonly HighlightRule[];
  /** Whether what means something in HTML is escaped. */
  readonly isHtml: boolean;
}

const FIELDS: readonly HighlightField[] = ["_value", "_key", "_headers"];
const RULE_KEYS = [
  ...["pre_tags", "post_tags", "fragment_size", "number_of_fragments", "order", "type"],
  ...["require_field_match", "no_match_size", "highlight_query"],
];
const SIZE_MAX = 1_000_000;
const TAG_LENGTH_MAX = 1_000;

/** @throws SearchError 400 */
export function highlightOf(json: unknown, context: QueryContext): Highlight | undefined {
  if (json === undefined) return undefined;
  const options = objectOf(json, "[highlight]");
  checkKeys(options, [...RULE_KEYS, "fields", "encoder"], "[highlight]");
  const { fields, encoder = "default" } = options;
  if (encoder !== "default" && encoder !== "html") {
    throw parsingError("[highlight] encoder is [default] or [html]");
  }
  const named = Array.isArray(fields)
    ? fields.flatMap((entry) => Object.entries(objectOf(entry, "[highlight] fields")))
    : Object.entries(objectOf(fields ?? {}, "[highlight] fields"));
  const rules = named.flatMap(([name, own]) => {
    const ruleOptions = objectOf(own, `[highlight] [${name}]`);
    checkKeys(ruleOptions, RULE_KEYS, `[highlight] [${name}]`);
    return rulesOf(name, { ...options, ...ruleOptions }, context);
  });
  return { rules, isHtml: encoder === "html" };
}

function rulesOf(name: string, options: JsonObject, context: QueryContext): HighlightRule[] {
  const shownNames = FIELDS.flatMap((field) =>
    name.startsWith("_") ? [{ shown: field, field }] : [{ shown: field.slice(1), field }],
  ).filter(({ shown }) => isPatternMatch(name, shown));
  if (shownNames.length === 0) {
    throw argumentError(
      `[highlight] is possible for [value], [key] and [headers], not for [${name.slice(0, 100)}]`,
    );
  }
  if ((options["type"] ?? "unified") !== "unified") {
    throw argumentError("[highlight] has the type [unified] only");
  }
  const order = options["order"] ?? "none";
  if (order !== "none" && order !== "score") {
    throw argumentError("[highlight] order is [none] or [score]");
  }
  const query = options["highlight_query"];
  const rule = {
    preTag: tagOf(options["pre_tags"], "<em>", "pre_tags"),
    postTag: tagOf(options["post_tags"], "</em>", "post_tags"),
    fragmentSize: sizeOf(options["fragment_size"], 100, "fragment_size"),
    fragmentCount: sizeOf(options["number_of_fragments"], 5, "number_of_fragments"),
    noMatchSize: sizeOf(options["no_match_size"], 0, "no_match_size"),
    isByScore: order === "score",
    isAnyField: !booleanOf(options["require_field_match"] ?? true, "[highlight]"),
    query: query === undefined ? undefined : queryOf(query, context),
  };
  return shownNames.map(({ shown, field }) => ({ ...rule, name: shown, field }));
}

/** One tag for all: the first. */
function tagOf(json: unknown, defaultTag: string, name: string): string {
  const [first = defaultTag] = Array.isArray(json) ? json : json === undefined ? [] : [json];
  const tag = stringOf(first, `[highlight] ${name}`);
  if (tag.length > TAG_LENGTH_MAX) throw argumentError(`[highlight] ${name} is too long`);
  return tag;
}

function sizeOf(json: unknown, defaultSize: number, name: string): number {
  const size = countOf(json ?? defaultSize, `[highlight] ${name}`);
  if (size > SIZE_MAX) {
    throw argumentError(`[highlight] ${name} is at most ${SIZE_MAX}, not ${kindOf(size)}`);
  }
  return size;
}
