/**
 * `_field_caps`: which fields topics have, of which types, and what can be done with them (source: Elasticsearch
 * reference, "Field capabilities API").
 */

import { argumentError } from "./elasticsearch-error.ts";
import {
  type FieldType,
  fieldTypesOf,
  hasWholeValues,
  KEYWORD_SUFFIX,
  RECORD_FIELDS,
  type TopicFields,
} from "./field-types.ts";
import { stringOf } from "./json-reader.ts";
import { bodyOf, flagOf, parametersOf } from "./search-request.ts";
import type { Shards } from "./shards.ts";
import { isPatternMatch } from "./source-filter.ts";

/** Which fields are asked for. */
export interface FieldCapsRequest {
  readonly patterns: readonly string[];
  /** Undefined: all. */
  readonly types: readonly string[] | undefined;
  readonly isPretty: boolean;
}

/** `expand_wildcards` and `include_empty_fields` change nothing: no topic is hidden, and each field has a value. */
export const FIELD_CAPS_PARAMETERS: readonly string[] = [
  ...["fields", "types", "include_unmapped", "include_empty_fields", "expand_wildcards"],
  ...["ignore_unavailable", "allow_no_indices", "pretty"],
];
const PATTERNS_MAX = 1_000;

/** @throws SearchError 400 */
export function fieldCapsRequestOf(input: {
  readonly parameters: string;
  readonly body: Uint8Array;
}): FieldCapsRequest {
  const parameters = parametersOf(input.parameters, FIELD_CAPS_PARAMETERS);
  const inBody = bodyOf(input.body, ["fields"])["fields"];
  const patterns = parameters.get("fields")?.split(",") ?? patternsOf(inBody);
  if (patterns.length === 0) throw argumentError("no fields specified: name some, or [*]");
  if (patterns.length > PATTERNS_MAX) throw argumentError(`more than ${PATTERNS_MAX} fields`);
  if (flagOf(parameters, "include_unmapped", false)) {
    throw argumentError("[include_unmapped] is not supported");
  }
  return {
    patterns,
    types: parameters.get("types")?.split(","),
    isPretty: flagOf(parameters, "pretty", false),
  };
}

function patternsOf(json: unknown): readonly string[] {
  if (json === undefined) return [];
  const list = Array.isArray(json) ? json : [json];
  return list.map((one) => stringOf(one, "[fields]"));
}

/** The answer. */
export function fieldCapsOf(
  request: FieldCapsRequest,
  topics: readonly TopicFields[],
  shards: Shards,
): object {
  const caps = new Map<string, Map<FieldType, string[]>>();
  const add = (name: string, type: FieldType, topic: string): void => {
    if (!request.patterns.some((pattern) => isPatternMatch(pattern, name))) return;
    if (request.types !== undefined && !request.types.includes(type)) return;
    const types = caps.get(name) ?? new Map<FieldType, string[]>();
    caps.set(name, types);
    const owners = types.get(type);
    if (owners === undefined) types.set(type, [topic]);
    else if (owners.at(-1) !== topic) owners.push(topic);
  };
  for (const { topic, fields } of topics) {
    for (const [name, type] of RECORD_FIELDS)
      addWithKeyword(add, { name, type, topic: topic.name });
    for (const [path, types] of Object.entries(fields)) {
      for (const type of fieldTypesOf(types)) {
        addWithKeyword(add, { name: path, type, topic: topic.name });
      }
      for (const parent of parentsOf(path)) add(parent, "object", topic.name);
    }
  }
  const names = [...caps.keys()].sort();
  const { failed, failures = [] } = shards;
  return {
    indices: topics.map(({ topic }) => topic.name),
    fields: Object.fromEntries(names.map((name) => [name, shownTypes(name, caps.get(name))])),
    ...(failed === 0
      ? {}
      : {
          failed_indices: failed,
          failures: failures.map(({ index, reason }) => ({
            indices: [index],
            failure: { error: reason },
          })),
        }),
  };
}

function addWithKeyword(
  add: (name: string, type: FieldType, topic: string) => void,
  {
    name,
    type,
    topic,
  }: { readonly name: string; readonly type: FieldType; readonly topic: string },
): void {
  add(name, type, topic);
  if (type === "text" && hasWholeValues(name)) add(`${name}${KEYWORD_SUFFIX}`, "keyword", topic);
}

function shownTypes(name: string, types: ReadonlyMap<FieldType, string[]> = new Map()): object {
  const hasConflict = types.size > 1;
  const shown = [...types].map(([type, topics]) => {
    const isValue = type !== "object";
    const capabilities = {
      type,
      metadata_field: false,
      searchable: isValue,
      aggregatable: isValue && hasWholeValues(name),
      ...(hasConflict ? { indices: topics } : {}),
    };
    return [type, capabilities] as const;
  });
  return Object.fromEntries(shown);
}

function* parentsOf(path: string): Generator<string> {
  for (let end = path.indexOf("."); end >= 0; end = path.indexOf(".", end + 1)) {
    yield path.slice(0, end);
  }
}
