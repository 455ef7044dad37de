/** Pieces of source text that the emitters share: conditions on the version, types, defaults. */

import type { VersionRange } from "./definition.ts";
import type { Field, FieldDefault, FieldType, Message, PrimitiveName, Struct } from "./model.ts";

/** The struct whose text is being written, and the message it belongs to. */
export interface StructContext {
  readonly message: Message;
  readonly struct: Struct;
}

const TYPE_TEXT: Readonly<Record<PrimitiveName, string>> = {
  bool: "boolean",
  int8: "number",
  int16: "number",
  uint16: "number",
  int32: "number",
  uint32: "number",
  int64: "number",
  float64: "number",
  uuid: "string",
  string: "string",
  bytes: "Uint8Array",
  records: "Uint8Array",
};

/**
 * The test whether `version`, known to be in `live`, is in `range`: source text, or a boolean where
 * the answer is always the same.
 */
export function versionTest(range: VersionRange | undefined, live: VersionRange): string | boolean {
  if (range === undefined || range.lowest > live.highest || range.highest < live.lowest)
    return false;
  const tests: string[] = [];
  if (range.lowest > live.lowest) tests.push(`version >= ${range.lowest}`);
  if (range.highest < live.highest) tests.push(`version <= ${range.highest}`);
  return tests.length === 0 ? true : tests.join(" && ");
}

/** The versions that are in both ranges; `a` must overlap `b`. */
function overlapOf(a: VersionRange, b: VersionRange): VersionRange {
  return { lowest: Math.max(a.lowest, b.lowest), highest: Math.min(a.highest, b.highest) };
}

/** The versions in which both the struct and its field exist. */
export function liveRange({ struct }: StructContext, field: Field): VersionRange {
  return overlapOf(field.versions, struct.versions);
}

/** The last argument of a call that reads or writes a length. */
export function flexibleArgument({ message, struct }: StructContext, field: Field): string {
  if (!field.canBeFlexible) return "false";
  const test = versionTest(message.flexible, struct.versions);
  return typeof test === "boolean" ? String(test) : "flexible";
}

/** The line that computes `flexible`, if the struct's functions need it. */
export function flexibleLine(
  { message, struct }: StructContext,
  body: readonly string[],
): readonly string[] {
  const test = versionTest(message.flexible, struct.versions);
  if (typeof test === "boolean" || !body.some((line) => /\bflexible\b/.test(line))) return [];
  return [`const flexible = ${test};`];
}

/** The TypeScript type of a field: as it is read, or as it may be given for writing. */
export function typeText(field: Field, form: "read" | "input"): string {
  const text = plainTypeText(field.type, form);
  return field.nullable === undefined ? text : `${text} | null`;
}

/** The same without null. */
export function plainTypeText(type: FieldType, form: "read" | "input"): string {
  if (type.kind === "array") return `readonly ${plainTypeText(type.element, form)}[]`;
  if (type.kind === "struct") return form === "input" ? `${type.name}Input` : type.name;
  if (type.name === "records" && form === "input") return "Uint8Array | readonly Uint8Array[]";
  return TYPE_TEXT[type.name];
}

/** The source text of a field's default. */
export function defaultText(message: Message, field: Field): string {
  const { kind } = field.default;
  if (kind === "null" && field.nullable === undefined) return "EMPTY_BYTES";
  if (kind === "empty") return field.type.kind === "array" ? "EMPTY_ARRAY" : "EMPTY_BYTES";
  return plainDefaultText(message, field.default);
}

function plainDefaultText(message: Message, value: FieldDefault): string {
  if (value.kind === "literal") return value.text;
  if (value.kind !== "struct") return "null";
  const struct = structOf(message, value.name);
  const fields = struct.fields.map((field) => `${field.name}: ${defaultText(message, field)}`);
  if (message.flexible !== undefined) fields.push("unknownTaggedFields: undefined");
  return `{ ${fields.join(", ")} }`;
}

/** The struct called `name`. */
export function structOf(message: Message, name: string): Struct {
  const struct = message.structs.find((candidate) => candidate.name === name);
  if (struct === undefined) throw new Error(`${message.name}: there is no struct ${name}`);
  return struct;
}

/** Names that the functions use themselves. */
const RESERVED = new Set(
  "version reader writer message flexible count tag end start left element".split(" "),
);

/** The variable that holds a field's value. */
export function localName(field: Field): string {
  return RESERVED.has(field.name) ? `${field.name}Value` : field.name;
}

/** Whether a writer may leave the field out. */
export function isOptional({ struct }: StructContext, field: Field): boolean {
  const isEverywhere = versionTest(field.versions, struct.versions) === true;
  if (field.name === "throttleTimeMs") return true;
  return field.hasExplicitDefault || field.tagged !== undefined || !isEverywhere;
}

/** Whether some version of the struct ends in tagged fields. */
export function hasTaggedFields({ message, struct }: StructContext): boolean {
  return versionTest(message.flexible, struct.versions) !== false;
}

/** Known tagged fields, by tag. */
export function taggedFields(struct: Struct): Field[] {
  return struct.fields.filter((field) => field.tagged !== undefined).sort((a, b) => a.tag - b.tag);
}

/** `lines`, each moved in by one level. */
export function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

/** `lines` under `if (test)`; as they are where it always holds, nothing where it never does. */
export function under(test: string | boolean, lines: readonly string[]): string[] {
  if (test === true) return [...lines];
  if (test === false) return [];
  const [only = ""] = lines;
  if (lines.length === 1 && only.length + test.length < 80) return [`if (${test}) ${only}`];
  return [`if (${test}) {`, ...indented(lines), "}"];
}

/** The name of the version's parameter, which starts with an underscore where `body` has no use for it. */
export function versionParameter(body: readonly string[]): string {
  return body.some((line) => /\bversion\b/.test(line)) ? "version" : "_version";
}
