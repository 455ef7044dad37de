/** A message as the generator writes it: the definitions of all releases merged into one. */

import type { VersionRange } from "./definition.ts";

/** Kafka's primitive types. */
export type PrimitiveName =
  | "bool"
  | "int8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "float64"
  | "uuid"
  | "string"
  | "bytes"
  | "records";

export type FieldType =
  | { readonly kind: "primitive"; readonly name: PrimitiveName }
  | { readonly kind: "struct"; readonly name: string }
  | { readonly kind: "array"; readonly element: FieldType };

/** What a field is where nothing was sent. */
export type FieldDefault =
  | { readonly kind: "null" }
  | { readonly kind: "empty" }
  /** Source text of a number, a boolean or a string. */
  | { readonly kind: "literal"; readonly text: string }
  /** A struct all of whose fields have their defaults. */
  | { readonly kind: "struct"; readonly name: string };

export interface Field {
  /** In camelCase. */
  readonly name: string;
  readonly type: FieldType;
  readonly versions: VersionRange;
  readonly nullable: VersionRange | undefined;
  readonly tagged: VersionRange | undefined;
  readonly tag: number;
  /** False for the few fields that keep the fixed-size length in flexible versions. */
  readonly canBeFlexible: boolean;
  /** Left out silently in versions that do not have it. */
  readonly isIgnorable: boolean;
  readonly default: FieldDefault;
  readonly hasExplicitDefault: boolean;
}

export interface Struct {
  readonly name: string;
  /** The versions in which something uses it. */
  readonly versions: VersionRange;
  readonly fields: readonly Field[];
}

export interface Message {
  readonly name: string;
  readonly type: "request" | "response" | "header" | "data";
  readonly apiKey: number | undefined;
  readonly versions: VersionRange;
  readonly flexible: VersionRange | undefined;
  /** The last version whose form Kafka promises to keep. */
  readonly lastStableVersion: number;
  /** Releases that supplied versions, newest first. */
  readonly releases: readonly string[];
  /** The message itself comes last; a struct comes after those that it uses. */
  readonly structs: readonly Struct[];
}

/** `ProduceRequest` as a file name: `produce-request`. */
export function kebabCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

/** `ErrorCode` as a field name: `errorCode`. */
export function camelCase(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

/** `ReplicaState` as part of a constant's name: `REPLICA_STATE`. */
export function upperSnakeCase(name: string): string {
  return kebabCase(name).replaceAll("-", "_").toUpperCase();
}
