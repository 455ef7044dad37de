/**
 * Cuts the bytes of one connection into frames: an int32 length, then as many bytes
 * (source: https://kafka.apache.org/protocol, "Protocol Primitive Types" and "Common Request and Response Structure").
 *
 * A frame that came whole in one chunk is a view of the chunk. A cut one is put together in a buffer
 * of our own, which grows with what has arrived, never to what was announced. No chunk is kept:
 * `settle` copies what is left of it.
 */

import type { BufferPool } from "../core/buffer-pool.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";

const LENGTH_BYTES = 4;
/** An own buffer up to this size is kept for the next frame. */
const KEPT_BYTES_MAX = 64 * 1024;
const EMPTY = new Uint8Array(0);

/** The bytes that have arrived and are not consumed. */
export class FrameBuffer {
  readonly #frameBytesLimit: number;
  readonly #pool: BufferPool;
  #bytes: Uint8Array = EMPTY;
  #isOwned = true;
  /** What the frame in use is a view of; more bytes may have moved on to another buffer since. */
  #inUse: Uint8Array | undefined;
  #start = 0;
  #end = 0;

  /** `pool` lends the own buffers; nobody may use a frame of one after `consume`. */
  constructor(frameBytesLimit: number, pool: BufferPool) {
    this.#frameBytesLimit = frameBytesLimit;
    this.#pool = pool;
  }

  /** Memory held: the own buffer, or the chunk until `settle`, and what a frame in use keeps. */
  get heldBytes(): number {
    const inUseBytes = this.#inUse === this.#bytes ? 0 : (this.#inUse?.length ?? 0);
    return this.#bytes.length + inUseBytes;
  }

  /** Arrived and not consumed. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /** Takes in arrived bytes; `chunk` is used in place until `settle`. */
  push(chunk: Uint8Array): void {
    if (this.#start === this.#end) {
      if (this.#isOwned && chunk.length <= this.#bytes.length) {
        this.#bytes.set(chunk);
      } else {
        this.#bytes = chunk;
        this.#isOwned = false;
      }
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    this.#reserve(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next whole frame without its length, as a view; it stays valid until `consume`.
   * @throws KafkaError INVALID_REQUEST if the announced length is negative or beyond the limit
   */
  peek(): Uint8Array | undefined {
    const length = this.#announcedBytes();
    if (length === undefined || this.bufferedBytes < LENGTH_BYTES + length) return undefined;
    const start = this.#start + LENGTH_BYTES;
    this.#inUse = this.#bytes;
    return this.#bytes.subarray(start, start + length);
  }

  /** Steps over the frame that `peek` returned. */
  consume(): void {
    this.#start += LENGTH_BYTES + (this.#announcedBytes() ?? 0);
    this.#inUse = undefined;
  }

  /** Forgets everything; for a stream that cannot be understood any further. */
  clear(): void {
    this.#bytes = EMPTY;
    this.#isOwned = true;
    this.#inUse = undefined;
    this.#start = 0;
    this.#end = 0;
  }

  /** Call when no frame is in use: lets go of the chunk, and of memory that is not needed. Never throws. */
  settle(): void {
    if (this.#start === this.#end) {
      if (!this.#isOwned || this.#bytes.length > KEPT_BYTES_MAX) {
        this.#giveBack();
        this.#bytes = EMPTY;
        this.#isOwned = true;
      }
      this.#start = 0;
      this.#end = 0;
      return;
    }
    if (!this.#isOwned) this.#reserve(0);
  }

  /** The length at the head, whatever it is; undefined if it is not here yet. */
  #lengthAtHead(): number | undefined {
    if (this.bufferedBytes < LENGTH_BYTES) return undefined;
    const at = this.#start;
    const [a = 0, b = 0, c = 0, d = 0] = this.#bytes.subarray(at, at + LENGTH_BYTES);
    return (a << 24) | (b << 16) | (c << 8) | d;
  }

  #announcedBytes(): number | undefined {
    const length = this.#lengthAtHead();
    if (length !== undefined && !this.#isAcceptable(length)) {
      throw new KafkaError(
        ErrorCode.invalidRequest,
        `A request of ${length} bytes was announced; the limit is ${this.#frameBytesLimit}.`,
      );
    }
    return length;
  }

  #isAcceptable(length: number): boolean {
    return length >= 0 && length <= this.#frameBytesLimit;
  }

  /** Moves everything into an own buffer with room for `moreBytes`. */
  #reserve(moreBytes: number): void {
    const neededBytes = this.bufferedBytes + moreBytes;
    if (this.#isOwned && this.#end + moreBytes <= this.#bytes.length) return;
    // A bad length is for `peek` to refuse; here it asks for no room.
    const length = this.#lengthAtHead() ?? 0;
    const frameBytes = LENGTH_BYTES + (this.#isAcceptable(length) ? length : 0);
    const capacityBytes = Math.max(neededBytes, Math.min(frameBytes, neededBytes * 2));
    const bytes = this.#pool.take(capacityBytes);
    bytes.set(this.#bytes.subarray(this.#start, this.#end));
    this.#end -= this.#start;
    this.#start = 0;
    this.#giveBack();
    this.#bytes = bytes;
    this.#isOwned = true;
  }

  /** The own buffer goes back to the pool, unless a frame of it is in use. */
  #giveBack(): void {
    if (this.#isOwned && this.#inUse !== this.#bytes) this.#pool.give(this.#bytes);
  }
}
