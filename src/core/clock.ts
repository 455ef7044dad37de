/** The one gateway to time and chance, so that tests can replace both. */

/** Stops a pending timer; calling it again does nothing. */
export type CancelTimer = () => void;

/** Wall time, monotonic time and timers. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC; may jump. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never goes back; has a fraction. */
  monotonicMs(): number;
  /** Calls `action` once after `delayMs`. A pending timer does not keep the process alive. */
  after(delayMs: number, action: () => void): CancelTimer;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** From now on only `process.exit` ends the process, even if nothing else holds it. */
export function keepProcessAlive(): void {
  setInterval(() => {}, 2 ** 30);
}

/** Resolves when everything that waits for the event loop has had its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Numbers in [0, 1). */
export type Random = () => number;

/** Chance that nobody needs to repeat. */
export const systemRandom: Random = () => Math.random();

/** Fresh bytes that nobody can guess. */
export function systemRandomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** A repeatable generator (mulberry32) for tests and simulations. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
