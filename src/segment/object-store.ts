/**
 * Where segments live for ever: whole objects under keys, read by range, never overwritten. Engines are a
 * directory (`file-object-store.ts`) and S3; one suite runs over all (`test/segment/object-store-suite.ts`).
 *
 * A key is 1 to 1,024 bytes: parts between slashes, each of 1 to 200 letters, digits and `- _ . = + @ ,` that
 * does not begin with a dot. No key is another's directory: `a` and `a/b` never both exist.
 */

import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { RangeSource } from "./archive-source.ts";

/** Keys and whole objects. Every method rejects with `ObjectStoreError`. */
export interface ObjectStore {
  /** What people call it: `file:///…` or `s3://bucket/prefix`; no secrets. */
  readonly name: string;
  /**
   * Writes a whole object; durable when it resolves. A key that exists is never overwritten: the same bytes are a
   * success (a retried answer). @throws ObjectExistsError if there are others
   */
  put(key: string, body: ObjectBody): Promise<void>;
  /** The bytes `[start, end)`, to be kept; fewer only if the object ends before. @throws ObjectMissingError */
  readRange(key: string, start: number, end: number): Promise<Uint8Array>;
  /** Undefined if there is none. */
  stat(key: string): Promise<ObjectStat | undefined>;
  /**
   * Ascending by key (bytes); `startAfter` is exclusive. Pages are fetched as they are consumed. Rely on the order of
   * one directory's keys only: SeaweedFS lists `a/x` before `a-x/x`.
   */
  list(prefix: string, options?: { readonly startAfter?: string }): AsyncIterable<ObjectStat>;
  /** Missing keys are no error. */
  delete(keys: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export interface ObjectStat {
  readonly key: string;
  readonly sizeBytes: number;
  /** Milliseconds since 1970-01-01 UTC, by the store's clock. */
  readonly modifiedMs: number;
}

/** Bytes at hand, or a source of known length: read by range, and again when a request is repeated. */
export type ObjectBody = Uint8Array | { readonly source: RangeSource; readonly sizeBytes: number };

/** The store could not do it; what it holds is as it was, or as it was to become. */
export class ObjectStoreError extends KafkaError {
  constructor(message: string, options?: ErrorOptions) {
    super(ErrorCode.kafkaStorageError, message, options);
  }
}

/** There is no such object. */
export class ObjectMissingError extends ObjectStoreError {
  constructor(storeName: string, key: string) {
    super(`There is no object ${key} in ${storeName}.`);
  }
}

/** The key is taken by other bytes, which stay. */
export class ObjectExistsError extends ObjectStoreError {
  constructor(storeName: string, key: string) {
    super(`The object ${key} in ${storeName} exists with other bytes; nothing was overwritten.`);
  }
}

/** No store could keep an object under this key. */
export class ObjectKeyError extends ObjectStoreError {
  constructor(key: string) {
    super(`${JSON.stringify(key.slice(0, KEY_BYTES_MAX))} can't be the key of an object.`);
  }
}

/** What S3 allows. */
const KEY_BYTES_MAX = 1_024;
const KEY_PART = /^[\w\-=+@,][\w\-.=+@,]{0,199}$/;

/** @throws ObjectKeyError */
export function checkObjectKey(key: string): void {
  if (!isObjectKey(key)) throw new ObjectKeyError(key);
}

/** Whether an object can have this key. ASCII only, so the order of strings is that of their bytes. */
export function isObjectKey(key: string): boolean {
  return key.length <= KEY_BYTES_MAX && key.split("/").every((part) => KEY_PART.test(part));
}
