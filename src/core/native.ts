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

export type { ShimQuery, ShimSearchRequest, ShimSearchResult } from "./shim-query.ts";

/** Compared with the library's own number, so that a stale build is told at once. */
const ABI_VERSION = 1;
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
} as const;

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

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

function lastError(native: Library): string {
  const text = new Uint8Array(ERROR_BYTES_LIMIT);
  const length = native.chronik_last_error(text, text.length);
  return new TextDecoder().decode(text.subarray(0, length));
}
