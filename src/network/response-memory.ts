/**
 * Bounds the memory of answers that wait for slow readers. The less of it is left, the smaller are the
 * answers to Fetch requests; they never stop, so that a client that does not read cannot stall
 * the others. What waits for a client that takes nothing at all is given up when memory is short.
 */

/** An answer may always be this large: progress for everybody. */
const ANSWER_BYTES_MIN = 64 * 1024;
/** One answer takes at most this part of what is left. */
const SHARE_OF_REST = 1 / 4;

/** Counts unsent bytes of all connections. */
export class ResponseMemory {
  readonly #limitBytes: number;
  #unsentBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** More than half is taken: connections that take nothing must go. */
  get isShort(): boolean {
    return this.#unsentBytes > this.#limitBytes / 2;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /** More (or fewer) bytes wait for a socket. */
  change(deltaBytes: number): void {
    this.#unsentBytes += deltaBytes;
  }

  /** How many bytes of batches the next answer may hold. */
  allowanceBytes(): number {
    const restBytes = this.#limitBytes - this.#unsentBytes;
    return Math.max(ANSWER_BYTES_MIN, Math.floor(restBytes * SHARE_OF_REST));
  }
}
