/**
 * Fields of topics in Elasticsearch's types (source: Elasticsearch reference, "Field data types"). A string is `text`,
 * and whole as `<field>.keyword`. Numbers of one field are one kind of number, as searches read them.
 */

import type { ShimFieldType } from "../core/native-fields.ts";
import type { NamedTopic } from "./indexer-messages.ts";

export type FieldType =
  | "text"
  | "keyword"
  | "long"
  | "unsigned_long"
  | "double"
  | "date"
  | "boolean"
  | "object";

/** What the JSON values of one topic have, by path. */
export interface TopicFields {
  readonly topic: NamedTopic;
  readonly fields: Readonly<Record<string, readonly ShimFieldType[]>>;
}

/** The suffix under which a string is known as a whole. */
export const KEYWORD_SUFFIX = ".keyword";

/** What every record has. */
export const RECORD_FIELDS: readonly (readonly [name: string, type: FieldType])[] = [
  ["_headers", "text"],
  ["_key", "text"],
  ["_offset", "long"],
  ["_partition", "long"],
  ["_timestamp", "date"],
  ["_topic", "keyword"],
  ["_value", "text"],
];

/** Those of them that are words and nothing else. */
const WORDS_ONLY: readonly string[] = ["_headers", "_value"];

/** Whether aggregations, sorts or `.keyword` know its whole values. */
export function hasWholeValues(name: string): boolean {
  return !WORDS_ONLY.includes(name);
}

/** The types of a field; more than one where its values differ. The first is the one that fits most queries. */
export function fieldTypesOf(types: readonly ShimFieldType[]): readonly FieldType[] {
  const has = (type: ShimFieldType) => types.includes(type);
  const found: FieldType[] = [];
  if (has("string")) found.push("text");
  if (has("fraction") || (has("integer") && has("natural"))) found.push("double");
  else if (has("integer")) found.push("long");
  else if (has("natural")) found.push("unsigned_long");
  if (has("date")) found.push("date");
  if (has("boolean")) found.push("boolean");
  return found;
}
