/** Bounds the memory of answers that wait for slow readers: no new Fetch is read while it is used up. */

/** Counts unsent bytes of all connections. */
export class ResponseMemory {
  readonly #limitBytes: number;
  #unsentBytes = 0;
  #waiting: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /** More (or fewer) bytes wait for a socket. */
  change(deltaBytes: number): void {
    this.#unsentBytes += deltaBytes;
    if (this.#unsentBytes > this.#limitBytes || this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const proceed of waiting) proceed();
  }

  /** Resolves when another answer may be made. */
  async whenFree(): Promise<void> {
    while (this.#unsentBytes > this.#limitBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
