/**
 * Buffers for what comes and goes: requests that arrive in pieces, batches that are read from files. Most are about
 * as large as the one before, so they are used again instead of being allocated, faulted in and collected each time.
 * What the pool keeps is bounded.
 */

import { uninitializedBytes } from "./uninitialized-bytes.ts";

const SIZE_MIN = 128 * 1024;
const SIZE_MAX = 2 * 1024 * 1024;
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** Powers of two from `SIZE_MIN` to `SIZE_MAX`; other sizes come and go. */
export class BufferPool {
  readonly #bySize = new Map<number, Uint8Array[]>();
  readonly #keptBytesMax: number;
  #keptBytes = 0;

  constructor(keptBytesMax = KEPT_BYTES_MAX) {
    this.#keptBytesMax = keptBytesMax;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** A buffer of at least `sizeBytes`. What it holds is arbitrary. */
  take(sizeBytes: number): Uint8Array {
    const pooledBytes = pooledSizeOf(sizeBytes);
    if (pooledBytes === undefined) return uninitializedBytes(sizeBytes);
    const kept = this.#bySize.get(pooledBytes)?.pop();
    if (kept === undefined) return uninitializedBytes(pooledBytes);
    this.#keptBytes -= pooledBytes;
    return kept;
  }

  /** Gives back a buffer that nobody uses any more, and that came from `take`. */
  give(buffer: Uint8Array): void {
    const sizeBytes = buffer.length;
    const isPooled = pooledSizeOf(sizeBytes) === sizeBytes;
    if (!isPooled || this.#keptBytes + sizeBytes > this.#keptBytesMax) return;
    const kept = this.#bySize.get(sizeBytes);
    if (kept === undefined) this.#bySize.set(sizeBytes, [buffer]);
    else kept.push(buffer);
    this.#keptBytes += sizeBytes;
  }
}

/** What `take` gives for a need. */
export function takenBytesOf(sizeBytes: number): number {
  return pooledSizeOf(sizeBytes) ?? sizeBytes;
}

/** The size to take for a need; undefined if it is not one to keep. */
function pooledSizeOf(sizeBytes: number): number | undefined {
  if (sizeBytes <= SIZE_MIN / 2 || sizeBytes > SIZE_MAX) return undefined;
  let pooledBytes = SIZE_MIN;
  while (pooledBytes < sizeBytes) pooledBytes *= 2;
  return pooledBytes;
}
