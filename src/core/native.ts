/**
 * The only user of `bun:ffi`: checksums, block codecs and the search indexes of the Rust shim (`ffi/`).
 *
 * The library is loaded once per process. The main thread must load it before Workers start: a Worker then finds
 * the loaded one by its own name (SONAME), and so shares the indexes that are known by number. No pointer crosses
 * the boundary: a result waits in a buffer of the calling thread until it is copied out here.
 */

import { dlopen } from "bun:ffi";
import libraryPath from "../../ffi/target/release/libchronik_ffi.so" with { type: "file" };
import { assert } from "./assert.ts";

import type { ShimFilter, ShimQuery, ShimSearchRequest, ShimSearchResult } from "./shim-query.ts";

/** Compared with the library's own number, so that a stale build is told at once. */
const ABI_VERSION = 2;
/** The name that `ffi/build.rs` gives the library. */
const LIBRARY_NAME = "libchronik_ffi.so.1";
const ERROR_BYTES_LIMIT = 4096;

const SYMBOLS = {
  chronik_abi_version: { args: [], returns: "i32" },
  chronik_last_error: { args: ["ptr", "u32"], returns: "i32" },
  chronik_take_result: { args: ["ptr", "u32"], returns: "i32" },
  chronik_test_panic: { args: ["ptr", "u32"], returns: "i32" },
  chronik_crc32c: { args: ["ptr", "u32", "u32", "u32"], returns: "u32" },
  chronik_lz4_compress: { args: ["ptr", "u32"], returns: "i32" },
  chronik_lz4_decompress: { args: ["ptr", "u32", "u32"], returns: "i32" },
  chronik_snappy_compress: { args: ["ptr", "u32"], returns: "i32" },
  chronik_snappy_decompress: { args: ["ptr", "u32", "u32"], returns: "i32" },
  chronik_lower_thread_priority: { args: ["i32"], returns: "i32" },
  chronik_index_create: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_add: { args: ["u32", "ptr", "u32"], returns: "i32" },
  chronik_index_commit: { args: ["u32"], returns: "i32" },
  chronik_index_stats: { args: ["u32"], returns: "i32" },
  chronik_index_freeze: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_merge: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_fields: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_open: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_open_archived: { args: ["ptr", "u32"], returns: "i32" },
  chronik_index_close: { args: ["u32"], returns: "i32" },
  chronik_index_numbers: { args: [], returns: "i32" },
  chronik_archive_stats: { args: ["ptr", "u32"], returns: "i32" },
  chronik_archive_set_cache: { args: ["ptr", "u32"], returns: "i32" },
  chronik_search: { args: ["ptr", "u32"], returns: "i32" },
  chronik_highlight: { args: ["ptr", "u32", "ptr", "u32"], returns: "i32" },
} as const;

/** Functions whose one argument is JSON; what they take and give is said in `ffi/src/index_functions.rs`. */
type JsonFunction =
  | "chronik_archive_set_cache"
  | "chronik_archive_stats"
  | "chronik_index_create"
  | "chronik_index_freeze"
  | "chronik_index_merge"
  | "chronik_index_open"
  | "chronik_index_open_archived"
  | "chronik_index_fields"
  | "chronik_search";
type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

/** An open index, known by its number in every thread of this process. */
export interface SearchIndex {
  readonly number: number;
}

export interface LiveIndexOptions {
  /** Of the one writer thread, at least 15 MB; a full one becomes a segment. 20 MB unless given. */
  readonly writerMemoryBytes?: number;
  /** Distinct JSON paths that one topic may bring in; leaves at others are found by their words only. 1,000. */
  readonly topicJsonPathsMax?: number;
  /** The same over all topics: 10,000. */
  readonly jsonPathsMax?: number;
}

export interface IndexStats {
  /** Searchable records. */
  readonly documentCount: number;
  readonly segmentCount: number;
  /** Null for an index that is not live. */
  readonly live: {
    /** Of the index's files in memory; the writer's own memory comes on top. */
    readonly sizeBytes: number;
    /** Records added, committed or not. */
    readonly addedCount: number;
    readonly jsonPathCount: number;
  } | null;
}

export interface FrozenStats {
  readonly documentCount: number;
  readonly sizeBytes: number;
  /** Null without a record. */
  readonly times: IndexedTimes | null;
}

/** The least and the largest `_timestamp` of records, as they are indexed. */
export interface IndexedTimes {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What the shim refused, in its own words. */
export class NativeError extends Error {
  override readonly name = "NativeError";
}

let loaded: Library | undefined;

/**
 * Loads the library if this thread has not done so. Needed only on the main thread of the executable: where the
 * embedded file cannot be unpacked (no temp directory, or a read-only one), a copy is written to
 * `fallbackDirectory`, opened and deleted again. Elsewhere the first use loads it.
 * @throws NativeError if the library can't be opened or is of another build.
 */
export async function loadNative(
  options: { readonly fallbackDirectory?: string } = {},
): Promise<void> {
  if (loaded !== undefined) return;
  try {
    library();
  } catch (thrown) {
    if (options.fallbackDirectory === undefined) throw thrown;
    const copy = Bun.file(`${options.fallbackDirectory}/.${LIBRARY_NAME}.${process.pid}`);
    await Bun.write(copy, await Bun.file(libraryPath).bytes());
    try {
      loaded = openLibrary(copy.name ?? "");
    } finally {
      await copy.delete();
    }
  }
}

/**
 * The CRC-32C of `bytes[start, end)`, as an unsigned number. `seed` is the CRC of what came before.
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  assert(start >= 0 && start <= end && end <= bytes.length, "crc32c: the range is outside");
  return (loaded ?? library()).chronik_crc32c(bytes, start, end - start, seed);
}

/** One LZ4 frame of independent 64 KiB blocks. */
export function lz4FrameCompress(bytes: Uint8Array): Uint8Array {
  const native = library();
  return takeResult(native, native.chronik_lz4_compress(bytes, bytes.length));
}

/** @throws NativeError if the frame is corrupt or holds more than `limitBytes`. */
export function lz4FrameDecompress(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const native = library();
  return takeResult(native, native.chronik_lz4_decompress(bytes, bytes.length, limitBytes));
}

/** One raw Snappy block. */
export function snappyCompress(bytes: Uint8Array): Uint8Array {
  const native = library();
  return takeResult(native, native.chronik_snappy_compress(bytes, bytes.length));
}

/** @throws NativeError if the block is corrupt or holds more than `limitBytes`. */
export function snappyDecompress(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const native = library();
  return takeResult(native, native.chronik_snappy_decompress(bytes, bytes.length, limitBytes));
}

/** Lowers the priority of the calling thread, and of the threads that it starts from now on. */
export function lowerThreadPriority(nice: number): void {
  const native = library();
  checkCode(native, native.chronik_lower_thread_priority(nice));
}

/**
 * An index in memory to which one thread adds records. It belongs to the process, not to the thread: a Worker
 * that dies leaves it open, and another may close it by number (`openIndexNumbers`, `closeIndex`).
 */
export class LiveIndex implements SearchIndex {
  readonly number: number;

  /** Starts the writer's threads; they take on the calling thread's priority. */
  constructor(options: LiveIndexOptions = {}) {
    this.number = nativeNumber("chronik_index_create", options);
  }

  /**
   * Adds the batches of a `RecordPack`; waits while too much is queued. They are hits after `commit`.
   * After an error the index may hold some of them: close it and make another.
   * @returns the count of records.
   */
  add(pack: Uint8Array): number {
    const native = library();
    return checkCode(native, native.chronik_index_add(this.number, pack, pack.length));
  }

  /** Makes all added records searchable, in every thread. Costs tens of milliseconds: batch by time. */
  commit(): void {
    const native = library();
    checkCode(native, native.chronik_index_commit(this.number));
  }

  stats(): IndexStats {
    return indexStats(this.number);
  }

  close(): void {
    closeIndex(this.number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** An index on disk that nobody writes. */
export class OpenedIndex implements SearchIndex {
  readonly number: number;

  constructor(number: number) {
    this.number = number;
  }

  stats(): IndexStats {
    return indexStats(this.number);
  }

  close(): void {
    closeIndex(this.number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A directory that `freezeIndexes` (or `mergeIndexes`) wrote, mapped into memory. */
export class FrozenIndex extends OpenedIndex {
  /**
   * Opens `directory`; with `isVerified` every file's checksum is compared first.
   * @throws NativeError if it is damaged, incomplete or of another schema.
   */
  constructor(directory: string, options: { readonly isVerified?: boolean } = {}) {
    super(nativeNumber("chronik_index_open", { directory, ...options }));
  }
}

/**
 * Writes the committed records of `indexes` (numbers) that pass `filter` to `directory`, as one segment, synced;
 * the directory appears whole or not at all. The indexes stay open.
 * @throws NativeError if the directory exists or no record is kept.
 */
export function freezeIndexes(
  indexes: readonly number[],
  directory: string,
  filter?: ShimFilter,
): FrozenStats {
  return nativeJson("chronik_index_freeze", { indexes, directory, filter });
}

/**
 * Searches several indexes (numbers) at once; the hits are merged, the totals added up. One in an archive that turns
 * out to be damaged is left out and told in the result.
 */
export function searchIndexes(
  indexes: readonly number[],
  request: ShimSearchRequest,
): ShimSearchResult {
  const json = { ...request, indexes };
  if (request.aggregations === undefined) return nativeJson("chronik_search", json);
  return JSON.parse(new TextDecoder().decode(nativeBytes("chronik_search", json)), exactInteger);
}

/** For `JSON.parse`: integers that no number holds are kept as they are written. */
function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }) {
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return /^-?\d+$/.test(source) ? rawJson(source) : value;
}

/** In the runtime; TypeScript does not know it yet. */
const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (text: string) => object };

/**
 * The parts of `text` (UTF-8) that a query matches, by the rules by which it was found: pairs of start and end in
 * bytes, in order and apart from each other. `field` says where the text is from; unless `isAnyField`, only
 * queries on it count, and for `_value` those on paths into JSON values.
 */
export function highlightMarks(
  text: Uint8Array,
  request: {
    readonly query: ShimQuery;
    readonly field: "_key" | "_value" | "_headers";
    readonly isAnyField?: boolean;
  },
): Uint32Array {
  const native = library();
  const json = jsonBytes(request);
  const code = native.chronik_highlight(json, json.length, text, text.length);
  return new Uint32Array(takeResult(native, code).buffer);
}

function indexStats(number: number): IndexStats {
  const native = library();
  return parsed(takeResult(native, native.chronik_index_stats(number)));
}

/** Forgets an index. Calls that use it in other threads finish first; later ones fail. */
export function closeIndex(number: number): void {
  const native = library();
  checkCode(native, native.chronik_index_close(number));
}

/** The numbers of all open indexes of this process. */
export function openIndexNumbers(): number[] {
  const native = library();
  return parsed(takeResult(native, native.chronik_index_numbers()));
}

/** Calls a function that takes JSON and gives a number. For the files of this folder. @throws NativeError */
export function nativeNumber(name: JsonFunction, request: unknown): number {
  const native = library();
  const json = jsonBytes(request);
  return checkCode(native, native[name](json, json.length));
}

/** The same for a function that gives JSON. */
export function nativeJson<T>(name: JsonFunction, request: unknown): T {
  return parsed(nativeBytes(name, request));
}

function nativeBytes(name: JsonFunction, request: unknown): Uint8Array {
  const native = library();
  const json = jsonBytes(request);
  return takeResult(native, native[name](json, json.length));
}

/** Makes the shim panic with `message`, so that a test can see it arrive as an error. */
export function panicForTest(message: string): void {
  const native = library();
  const text = new TextEncoder().encode(message);
  checkCode(native, native.chronik_test_panic(text, text.length));
}

function library(): Library {
  loaded ??= findLibrary();
  return loaded;
}

function findLibrary(): Library {
  if (!Bun.isMainThread) {
    try {
      return openLibrary(LIBRARY_NAME);
    } catch {
      // The main thread has not loaded it: this thread is the first.
    }
  }
  return openLibrary(libraryPath);
}

function openLibrary(path: string): Library {
  let symbols: Library;
  try {
    symbols = dlopen(path, SYMBOLS).symbols;
  } catch (cause) {
    throw new NativeError(`The native library can't be opened: ${String(cause)}`, { cause });
  }
  const version = symbols.chronik_abi_version();
  if (version !== ABI_VERSION) {
    throw new NativeError(`The native library has version ${version}, not ${ABI_VERSION}.`);
  }
  return symbols;
}

function checkCode(native: Library, code: number): number {
  if (code < 0) throw new NativeError(lastError(native));
  return code;
}

function takeResult(native: Library, code: number): Uint8Array {
  const result = new Uint8Array(checkCode(native, code));
  const copied = native.chronik_take_result(result, result.length);
  assert(copied === result.length, "the native result changed its size");
  return result;
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The value of the shim's JSON, whose shape `ffi/src/index_functions.rs` states. */
function parsed<T>(json: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(json));
}

function lastError(native: Library): string {
  const text = new Uint8Array(ERROR_BYTES_LIMIT);
  const length = native.chronik_last_error(text, text.length);
  return new TextDecoder().decode(text.subarray(0, length));
}
