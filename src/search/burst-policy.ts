/** When the index leaves the machine to producers whom it cannot follow anyway. */

/** So far behind, hits are late whatever is done. */
const BURST_LAG_BYTES = 32 * 1024 * 1024;
/** Slower producers than this are followed: it is less than half of what the index takes in beside them. */
const BURST_BYTES_PER_SECOND = 8 * 1024 * 1024;
/** The rate is taken over windows of at least this; also one pause. */
const WINDOW_MS = 250;
/** A burst that lasts longer is indexed while it lasts, so that hits don't get later without end. */
const YIELD_MS_MAX = 30_000;

/**
 * Asked after every step of the index. Cores that acks and index share make both slower, so in a burst the index
 * pauses and catches up behind it.
 */
export class BurstPolicy {
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #windowStartBytes = 0;
  #isFast = false;
  #burstStartMs: number | null = null;

  /**
   * How long to pause now, in milliseconds; 0 is not at all.
   *
   * @param state.logBytes bytes of the WAL that are durable, counted from any fixed point
   * @param state.lagBytes how many of them are not indexed yet
   * @param state.nowMs monotonic
   */
  pauseMs({
    logBytes,
    lagBytes,
    nowMs,
  }: Readonly<Record<"logBytes" | "lagBytes" | "nowMs", number>>): number {
    const elapsedMs = nowMs - this.#windowStartMs;
    if (elapsedMs >= WINDOW_MS) {
      const grownBytes = logBytes - this.#windowStartBytes;
      this.#isFast = grownBytes >= (BURST_BYTES_PER_SECOND * elapsedMs) / 1_000;
      this.#windowStartMs = nowMs;
      this.#windowStartBytes = logBytes;
    }
    if (!this.#isFast || lagBytes < BURST_LAG_BYTES) {
      this.#burstStartMs = null;
      return 0;
    }
    this.#burstStartMs ??= nowMs;
    return nowMs - this.#burstStartMs < YIELD_MS_MAX ? WINDOW_MS : 0;
  }
}
