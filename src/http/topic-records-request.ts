/** What a request for records or a table asks for: the parameters of its URL. What is not known is a 400. */

import { argumentError } from "../search/elasticsearch-error.ts";
import { type LogPosition, logPositionOf } from "./log-position.ts";
import {
  decodeRecordsCursor,
  decodeTableCursor,
  type RecordsCursor,
  type TableCursor,
} from "./topic-records-cursor.ts";

export interface RecordsRequest {
  readonly from: LogPosition;
  readonly to: LogPosition;
  /** Undefined: all. */
  readonly partitions: readonly number[] | undefined;
  readonly limit: number;
  readonly cursor: RecordsCursor | undefined;
}

export interface TableRequest {
  /** Undefined: now. */
  readonly atMs: number | undefined;
  readonly key: Uint8Array | undefined;
  readonly partitions: readonly number[] | undefined;
  readonly limit: number;
  readonly cursor: TableCursor | undefined;
}

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 10_000;
/** Partitions of one request: their next records are compared with each other. */
export const PARTITIONS_MAX = 1_000;

/** @throws SearchError 400 */
export function recordsRequestOf(parameters: string, nowMs: number): RecordsRequest {
  const values = valuesOf(parameters, ["from", "to", "partition", "limit", "cursor"]);
  const cursor = values.get("cursor");
  return {
    from: logPositionOf(values.get("from") ?? "beginning", nowMs),
    to: logPositionOf(values.get("to") ?? "end", nowMs),
    partitions: partitionsOf(values.get("partition")),
    limit: limitOf(values.get("limit")),
    cursor: cursor === undefined ? undefined : decodeRecordsCursor(cursor),
  };
}

/** @throws SearchError 400 */
export function tableRequestOf(parameters: string, nowMs: number): TableRequest {
  const names = ["at", "key", "key_base64", "partition", "limit", "cursor"];
  const values = valuesOf(parameters, names);
  const cursor = values.get("cursor");
  const key = keyOf(values);
  if (key !== undefined && cursor !== undefined) {
    throw argumentError("[cursor] is for whole tables, not for one [key]");
  }
  return {
    atMs: timeOf(values.get("at"), nowMs),
    key,
    partitions: partitionsOf(values.get("partition")),
    limit: limitOf(values.get("limit")),
    cursor: cursor === undefined ? undefined : decodeTableCursor(cursor),
  };
}

function valuesOf(parameters: string, names: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(parameters)) {
    if (!names.includes(name)) {
      throw argumentError(`request contains unrecognized parameter: [${name.slice(0, 100)}]`);
    }
    if (values.has(name)) throw argumentError(`parameter [${name}] is given twice`);
    values.set(name, value);
  }
  return values;
}

/** Numbers separated by commas. */
function partitionsOf(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  const partitions = new Set<number>();
  for (const part of text.split(",")) {
    if (!/^\d{1,9}$/.test(part)) throw argumentError("[partition] takes numbers, as in 0,2");
    partitions.add(Number(part));
  }
  return [...partitions].sort((left, right) => left - right);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return LIMIT_DEFAULT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > LIMIT_MAX) throw argumentError(`[limit] must be from 1 to ${LIMIT_MAX}`);
  return limit;
}

function timeOf(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const position = logPositionOf(text, nowMs);
  if (position.kind === "end") return undefined;
  if (position.kind !== "time" || position.timestampMs < 0) {
    throw argumentError("[at] takes a time since 1970");
  }
  return position.timestampMs;
}

function keyOf(values: ReadonlyMap<string, string>): Uint8Array | undefined {
  const [text, base64] = [values.get("key"), values.get("key_base64")];
  if (text !== undefined && base64 !== undefined)
    throw argumentError("either [key] or [key_base64]");
  if (base64 === undefined) return text === undefined ? undefined : Buffer.from(text);
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(base64)) throw argumentError("[key_base64] is no base64");
  return Buffer.from(base64, "base64");
}
