/**
 * One preallocated ring of bytes that mirrors the newest stretch of a log: the byte at address A lies at
 * A modulo the ring's size. So it is write buffer and read cache in one, and nothing is copied twice.
 *
 * The operating system gives it memory page by page, as it is first written to.
 */

import { assert } from "./assert.ts";

/** A ring whose size is a power of two. */
export class Slab {
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;
  readonly #mask: number;

  constructor(sizeBytes: number) {
    const isPowerOfTwo = Number.isInteger(Math.log2(sizeBytes)) && sizeBytes <= 2 ** 31;
    assert(isPowerOfTwo, `a slab of ${sizeBytes} bytes`);
    this.bytes = new Uint8Array(sizeBytes);
    this.sizeBytes = sizeBytes;
    this.#mask = sizeBytes - 1;
  }

  /** Where the byte at `address` lies in `bytes`. */
  positionOf(address: number): number {
    // `>>> 0` takes the address modulo 2^32, of which the size is a divisor.
    return (address >>> 0) & this.#mask;
  }

  /** How many bytes follow `address` before the ring starts again: at least one. */
  bytesToEnd(address: number): number {
    return this.sizeBytes - this.positionOf(address);
  }
}
