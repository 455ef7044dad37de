/**
 * Merges one message's definitions of several releases. Each version is described by the newest
 * release that has it; older releases add the versions that newer ones dropped.
 */

import {
  type FieldDefinition,
  hasVersion,
  type MessageDefinition,
  parseVersions,
  rangeOf,
  type VersionRange,
  versionsIn,
} from "./definition.ts";
import {
  camelCase,
  type Field,
  type FieldDefault,
  type FieldType,
  type Message,
  type PrimitiveName,
  type Struct,
} from "./model.ts";

/** A message as one release defines it. */
export interface ReleaseDefinition {
  readonly release: string;
  readonly definition: MessageDefinition;
}

/** One release's definition and the versions that it is asked about. */
interface Source extends ReleaseDefinition {
  readonly versions: readonly number[];
  readonly structs: ReadonlyMap<string, readonly FieldDefinition[]>;
}

const PRIMITIVES = new Set<string>(
  "bool int8 int16 uint16 int32 uint32 int64 float64 uuid string bytes records".split(" "),
);

/** Merges `releases`, newest first. @returns undefined if none of them has a version. */
export function mergeDefinitions(releases: readonly ReleaseDefinition[]): Message | undefined {
  const sources = sourcesOf(releases);
  const newest = sources[0];
  if (newest === undefined) return undefined;
  const { name, type, apiKey, latestVersionUnstable } = newest.definition;
  const versions = rangeOf(
    sources.flatMap((source) => source.versions),
    name,
  );
  if (versions === undefined) return undefined;
  const structs: Struct[] = [];
  collectStruct(name, name, sources, versions, structs);
  return {
    name,
    type,
    apiKey,
    versions,
    flexible: mergedRange(sources, name, (source) => source.definition.flexibleVersions),
    lastStableVersion: latestVersionUnstable === true ? versions.highest - 1 : versions.highest,
    releases: sources.map((source) => source.release),
    structs: withPrefixedNames(structsWithUse(structs, name, versions), name),
  };
}

/** The releases that supply at least one version, with a struct table each. */
function sourcesOf(releases: readonly ReleaseDefinition[]): Source[] {
  const taken = new Set<number>();
  const sources: Source[] = [];
  for (const { release, definition } of releases) {
    const all = versionsIn(parseVersions(definition.validVersions));
    const versions = all.filter((version) => !taken.has(version));
    for (const version of versions) taken.add(version);
    if (versions.length === 0) continue;
    sources.push({ release, definition, versions, structs: structTable(definition) });
  }
  return sources;
}

/** The fields of every struct of `definition`, the message itself among them. */
function structTable(definition: MessageDefinition): Map<string, readonly FieldDefinition[]> {
  const table = new Map<string, readonly FieldDefinition[]>();
  const add = (name: string, fields: readonly FieldDefinition[]): void => {
    table.set(name, fields);
    for (const field of fields) {
      if (field.fields !== undefined) add(elementName(field.type), field.fields);
    }
  };
  add(definition.name, definition.fields ?? []);
  for (const struct of definition.commonStructs ?? []) add(struct.name, struct.fields);
  return table;
}

/** Adds the struct `name` to `structs`, after those that its fields need. */
function collectStruct(
  message: string,
  name: string,
  sources: readonly Source[],
  versions: VersionRange,
  structs: Struct[],
): void {
  if (structs.some((struct) => struct.name === name)) return;
  const fields: Field[] = [];
  for (const fieldName of mergedFieldNames(name, sources)) {
    const field = mergeField(name, fieldName, sources);
    if (field === undefined) continue;
    fields.push(field);
    const used = structName(field.type);
    if (used !== undefined) collectStruct(message, used, sources, versions, structs);
  }
  structs.push({ name, versions, fields });
}

/** The field names of all sources in an order that keeps each source's own. */
function mergedFieldNames(struct: string, sources: readonly Source[]): string[] {
  const merged: string[] = [];
  for (const source of sources) {
    let position = 0;
    for (const { name } of source.structs.get(struct) ?? []) {
      const found = merged.indexOf(name);
      if (found >= 0 && found < position) throw new Error(`${struct}.${name}: order differs`);
      if (found < 0) merged.splice(position, 0, name);
      position = found < 0 ? position + 1 : found + 1;
    }
  }
  return merged;
}

/** One field over all sources. @returns undefined if no version has it. */
function mergeField(struct: string, name: string, sources: readonly Source[]): Field | undefined {
  const subject = `${struct}.${name}`;
  const find = (source: Source): FieldDefinition | undefined =>
    source.structs.get(struct)?.find((field) => field.name === name);
  const versions = mergedRange(sources, subject, (source) => find(source)?.versions);
  if (versions === undefined) return undefined;
  const owners = sources.filter((source) =>
    source.versions.some((version) => hasVersion(parseVersions(find(source)?.versions), version)),
  );
  const [newest, ...older] = owners.flatMap((source) => find(source) ?? []);
  if (newest === undefined) return undefined;
  for (const other of older) checkSame(subject, newest, other);
  const nullable = mergedRange(owners, subject, (source) => find(source)?.nullableVersions);
  const tagged = mergedRange(owners, subject, (source) => find(source)?.taggedVersions);
  if (tagged !== undefined && tagged.lowest !== versions.lowest) {
    throw new Error(`${subject}: is tagged in a part of its versions`);
  }
  const type = typeOf(newest.type);
  return {
    name: camelCase(name),
    type,
    versions,
    nullable,
    tagged,
    tag: Number(newest.tag ?? -1),
    canBeFlexible: newest.flexibleVersions !== "none",
    isIgnorable: String(newest.ignorable ?? false) === "true",
    default: defaultOf(type, newest.default),
    hasExplicitDefault: newest.default !== undefined,
  };
}

/** The versions for which the source that describes them names them in `versionsOf`. */
function mergedRange(
  sources: readonly Source[],
  subject: string,
  versionsOf: (source: Source) => string | undefined,
): VersionRange | undefined {
  const versions = sources.flatMap((source) => {
    const range = parseVersions(versionsOf(source));
    return source.versions.filter((version) => hasVersion(range, version));
  });
  return rangeOf(versions, subject);
}

function checkSame(subject: string, a: FieldDefinition, b: FieldDefinition): void {
  const isSame = a.type === b.type && String(a.tag) === String(b.tag);
  if (!isSame) throw new Error(`${subject}: type or tag differs between releases`);
  if (String(a.default) !== String(b.default)) throw new Error(`${subject}: default differs`);
}

/** Narrows each struct to the versions in which something uses it, from the message downwards. */
function structsWithUse(
  structs: readonly Struct[],
  message: string,
  versions: VersionRange,
): Struct[] {
  const uses = new Map<string, number[]>([[message, versionsIn(versions)]]);
  for (const struct of [...structs].reverse()) {
    const live = uses.get(struct.name) ?? [];
    for (const field of struct.fields) {
      const used = structName(field.type);
      if (used === undefined) continue;
      const added = live.filter((version) => hasVersion(field.versions, version));
      uses.set(used, [...(uses.get(used) ?? []), ...added]);
    }
  }
  return structs.map((struct) => {
    const range = rangeOf(uses.get(struct.name) ?? [], `${message}: ${struct.name}`);
    if (range === undefined) throw new Error(`${message}: ${struct.name} is never used`);
    return { ...struct, versions: range };
  });
}

/** Puts the message's name in front of its structs' names, so that files can import several messages. */
function withPrefixedNames(structs: readonly Struct[], message: string): Struct[] {
  const prefixed = (name: string): string => (name.startsWith(message) ? name : message + name);
  const prefixedType = (type: FieldType): FieldType => {
    if (type.kind === "array") return { kind: "array", element: prefixedType(type.element) };
    return type.kind === "struct" ? { kind: "struct", name: prefixed(type.name) } : type;
  };
  const names = new Set(structs.map((struct) => prefixed(struct.name)));
  if (names.size < structs.length) throw new Error(`${message}: two structs get the same name`);
  return structs.map((struct) => ({
    ...struct,
    name: prefixed(struct.name),
    fields: struct.fields.map((field) => ({
      ...field,
      type: prefixedType(field.type),
      default:
        field.default.kind === "struct"
          ? { kind: "struct", name: prefixed(field.default.name) }
          : field.default,
    })),
  }));
}

function elementName(type: string): string {
  return type.replace(/^\[\]/, "");
}

function typeOf(text: string): FieldType {
  if (text.startsWith("[]")) return { kind: "array", element: typeOf(text.slice(2)) };
  if (PRIMITIVES.has(text)) return { kind: "primitive", name: text as PrimitiveName };
  return { kind: "struct", name: text };
}

/** The struct that `type` is or has as elements. */
function structName(type: FieldType): string | undefined {
  if (type.kind === "array") return structName(type.element);
  return type.kind === "struct" ? type.name : undefined;
}

function defaultOf(type: FieldType, given: FieldDefinition["default"]): FieldDefault {
  if (given === null || given === "null") return { kind: "null" };
  const text = given === undefined ? "" : String(given);
  if (type.kind === "array") return { kind: "empty" };
  if (type.kind === "struct") return { kind: "struct", name: type.name };
  return primitiveDefault(type.name, text);
}

function primitiveDefault(name: PrimitiveName, text: string): FieldDefault {
  switch (name) {
    case "bool":
      return { kind: "literal", text: text === "true" ? "true" : "false" };
    case "string":
      return { kind: "literal", text: JSON.stringify(text) };
    case "uuid":
      return { kind: "literal", text: "ZERO_UUID" };
    case "bytes":
      return { kind: "empty" };
    case "records":
      return { kind: "null" };
    default:
      return { kind: "literal", text: numberText(text) };
  }
}

/** A number's source text. The one value beyond 2^53 that stands for "none", 2^63-1, becomes 2 ** 63. */
function numberText(text: string): string {
  const value = Number(text === "" ? "0" : text);
  if (Number.isSafeInteger(value)) return String(value);
  if (value !== 2 ** 63) throw new Error(`the default ${text} is beyond 2^53`);
  return "2 ** 63";
}
