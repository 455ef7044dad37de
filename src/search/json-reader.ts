/** Steps down into parsed JSON of a client; every surprise is a 400 that says where. */

import { parsingError } from "./elasticsearch-error.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** `value` as an object. @param where for the reason: "[match]". @throws SearchError 400 */
export function objectOf(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw parsingError(`${where} expects an object but found ${kindOf(value)}`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The only entry of an object such as `{ "field": … }`. @throws SearchError 400 */
export function soleEntryOf(value: unknown, where: string): readonly [string, unknown] {
  const [entry, ...rest] = Object.entries(objectOf(value, where));
  if (entry === undefined) throw parsingError(`${where} malformed query, empty clause found`);
  const [second] = rest;
  if (second !== undefined) {
    throw parsingError(`${where} expects one name but found [${entry[0]}] and [${second[0]}]`);
  }
  return entry;
}

/** @throws SearchError 400 for the first key of `object` that is not allowed: nothing is ignored. */
export function checkKeys(object: JsonObject, allowed: readonly string[], where: string): void {
  for (const key of Object.keys(object)) {
    if (!allowed.includes(key)) throw parsingError(`${where} does not support [${key}]`);
  }
}

/** @throws SearchError 400 */
export function stringOf(value: unknown, where: string): string {
  if (typeof value !== "string") {
    throw parsingError(`${where} expects a string but found ${kindOf(value)}`);
  }
  return value;
}

/** A number, also as a string, as Elasticsearch takes it. @throws SearchError 400 */
export function numberOf(value: unknown, where: string): number {
  const isText = typeof value === "string" && value.trim() !== "";
  const number = isText ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) {
    throw parsingError(`${where} expects a number but found ${kindOf(value)}`);
  }
  return number;
}

/** A whole number >= 0. @throws SearchError 400 */
export function countOf(value: unknown, where: string): number {
  const count = numberOf(value, where);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw parsingError(`${where} expects a whole number of at least 0 but found [${count}]`);
  }
  return count;
}

/** A boolean, also as a string. @throws SearchError 400 */
export function booleanOf(value: unknown, where: string): boolean {
  if (value === true || value === "true" || value === "") return true;
  if (value === false || value === "false") return false;
  throw parsingError(`${where} expects true or false but found ${kindOf(value)}`);
}

/** What a client sees of an unexpected value. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return `[${String(value).slice(0, 100)}]`;
}
