/**
 * Whether clients move so much that what can wait should wait: cores that answers share with background work make
 * both slower, and a burst is over sooner without.
 *
 *   traffic.note(sizeBytes);              // for every batch in or out
 *   await traffic.whenQuiet();            // before work that can wait
 *   waitWhileBusy(traffic.shared);        // within it, in a Worker
 */

import type { CancelTimer, Clock } from "./clock.ts";

/** Slower traffic leaves room beside it. */
const BUSY_BYTES_PER_SECOND = 8 * 1024 * 1024;
/** The rate is taken over windows of this. */
const WINDOW_MS = 250;
/** So long a burst counts as going on: what writes is often followed by what reads. */
const HOLD_MS = 1_000;
/** A burst that lasts longer shares the machine, so that what waits does not wait without end. */
const BUSY_MS_MAX = 30_000;
/** A waiting Worker looks again after this, whatever it was told. */
const WORKER_WAIT_MS = 1_000;

/** Set to 1 while clients are busy; shared with Workers. */
export type BusyCell = Int32Array<SharedArrayBuffer>;

/** Owns the cell. */
export class ClientTraffic {
  /** For Workers. */
  readonly shared: BusyCell = new Int32Array(new SharedArrayBuffer(4));
  readonly #clock: Clock;
  #windowBytes = 0;
  #cancelWindow: CancelTimer | undefined;
  #isClosed = false;
  /** When the last fast window ended. */
  #fastMs = Number.NEGATIVE_INFINITY;
  #burstStartMs: number | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Bytes that came in or went out. Cheap. */
  note(sizeBytes: number): void {
    this.#windowBytes += sizeBytes;
    if (this.#cancelWindow === undefined && !this.#isClosed) this.#beginWindow();
  }

  get isBusy(): boolean {
    return Atomics.load(this.shared, 0) === 1;
  }

  /** Resolves when clients leave room, at once if they do. */
  whenQuiet(): Promise<void> {
    if (!this.isBusy) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** From now on nothing waits. */
  close(): void {
    this.#isClosed = true;
    this.#cancelWindow?.();
    this.#setBusy(false);
  }

  #beginWindow(): void {
    const startMs = this.#clock.monotonicMs();
    // After a silence it is another burst.
    if (startMs - this.#fastMs >= HOLD_MS) this.#burstStartMs = undefined;
    this.#windowBytes = 0;
    this.#cancelWindow = this.#clock.after(WINDOW_MS, () => {
      this.#cancelWindow = undefined;
      this.#endWindow(startMs);
      // Silence needs no timer.
      if (this.#windowBytes > 0 || this.isBusy) this.#beginWindow();
    });
  }

  #endWindow(startMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const isFast = this.#windowBytes * 1_000 >= BUSY_BYTES_PER_SECOND * (nowMs - startMs);
    if (isFast) this.#fastMs = nowMs;
    if (nowMs - this.#fastMs >= HOLD_MS) {
      this.#burstStartMs = undefined;
      this.#setBusy(false);
      return;
    }
    this.#burstStartMs ??= nowMs;
    this.#setBusy(nowMs - this.#burstStartMs < BUSY_MS_MAX);
  }

  #setBusy(isBusy: boolean): void {
    Atomics.store(this.shared, 0, isBusy ? 1 : 0);
    if (isBusy) return;
    Atomics.notify(this.shared, 0);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Blocks a Worker's thread until clients leave room; only where nobody waits for its messages. */
export function waitWhileBusy(shared: BusyCell): void {
  while (Atomics.load(shared, 0) === 1) Atomics.wait(shared, 0, 1, WORKER_WAIT_MS);
}
