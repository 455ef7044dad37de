/** Which fields the JSON values in indexes have; `ffi/src/fields.rs` is the other side. */

import { nativeJson } from "./native.ts";
import type { ShimFailure } from "./shim-query.ts";

/** Whole numbers that fit 63 bits are integers, larger ones are natural. */
export type ShimFieldType = "integer" | "natural" | "fraction" | "date" | "boolean" | "string";

export interface ShimFieldsRequest {
  /** Numbers. */
  readonly indexes: readonly number[];
  /** Whose fields are wanted. */
  readonly topicIds: readonly string[];
  /** Of one topic: the first ones in their order are kept. */
  readonly fieldsMax: number;
  /** Of all topics: with more it is a `NativeError`. */
  readonly fieldsTotalMax: number;
  /** A request that takes longer is given up with a `NativeError`. */
  readonly timeoutMs: number;
}

export interface ShimFields {
  /** By topic id, then by path with dots between its steps. */
  readonly topics: Readonly<Record<string, Readonly<Record<string, readonly ShimFieldType[]>>>>;
  /** Indexes in archives that turned out to be damaged: the fields are those of the others. */
  readonly failures?: readonly ShimFailure[];
}

/** The fields that records of topics have in any of the indexes. */
export function indexFields(request: ShimFieldsRequest): ShimFields {
  return nativeJson("chronik_index_fields", request);
}
