/**
 * Kafka's message definitions as they stand in the kafka-clients jars: JSON with comment lines (source:
 * `clients/src/main/resources/common/message/README.md` of Apache Kafka).
 */

/** One field, as written there. */
export interface FieldDefinition {
  readonly name: string;
  /** A primitive, a struct's name, or either with `[]` in front. */
  readonly type: string;
  readonly versions?: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly flexibleVersions?: string;
  readonly tag?: number | string;
  readonly ignorable?: boolean | string;
  readonly default?: string | number | boolean | null;
  readonly fields?: readonly FieldDefinition[];
}

/** A struct that several fields of one message use. */
export interface StructDefinition {
  readonly name: string;
  readonly fields: readonly FieldDefinition[];
}

/** One message of one release. */
export interface MessageDefinition {
  readonly name: string;
  readonly type: "request" | "response" | "header" | "data";
  readonly apiKey?: number;
  /** `none` for a message that the release no longer has. */
  readonly validVersions: string;
  readonly flexibleVersions?: string;
  readonly latestVersionUnstable?: boolean;
  readonly fields?: readonly FieldDefinition[];
  readonly commonStructs?: readonly StructDefinition[];
}

/** A set of versions without gaps; both ends inclusive. */
export interface VersionRange {
  readonly lowest: number;
  readonly highest: number;
}

/** Reads one definition file. */
export function parseDefinition(text: string): MessageDefinition {
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, "")) as MessageDefinition;
}

/** Reads `3`, `3-5`, `3+` or `none`; the latter and nothing at all are undefined. */
export function parseVersions(text: string | undefined): VersionRange | undefined {
  if (text === undefined || text === "none") return undefined;
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text.trim());
  if (match === null) throw new Error(`"${text}" is no range of versions`);
  const [, lowest, plus, highest] = match;
  const end = plus === undefined ? Number(highest ?? lowest) : Number.MAX_SAFE_INTEGER;
  return { lowest: Number(lowest), highest: end };
}

/** Whether `range` has `version`. */
export function hasVersion(range: VersionRange | undefined, version: number): boolean {
  return range !== undefined && version >= range.lowest && version <= range.highest;
}

/** The versions of a range that ends, one by one. */
export function versionsIn(range: VersionRange | undefined): number[] {
  if (range === undefined) return [];
  return Array.from({ length: range.highest - range.lowest + 1 }, (_, i) => range.lowest + i);
}

/** The range that holds exactly `versions`. @throws Error if they leave a gap. */
export function rangeOf(versions: readonly number[], subject: string): VersionRange | undefined {
  if (versions.length === 0) return undefined;
  const sorted = [...new Set(versions)].sort((a, b) => a - b);
  const lowest = sorted[0] ?? 0;
  const highest = lowest + sorted.length - 1;
  if (sorted.at(-1) !== highest) throw new Error(`${subject}: versions ${sorted} leave a gap`);
  return { lowest, highest };
}
