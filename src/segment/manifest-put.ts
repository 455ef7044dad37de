/** Puts objects into a store that may be away for hours: tries again, later each time, until it is told to stop. */

import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { ObjectExistsError, type ObjectStore } from "./object-store.ts";

const BACKOFF_MS_MIN = 1000;
const BACKOFF_MS_MAX = 60_000;

/** Whoever waits is to end. */
export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

export interface PersistentOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFailure: () => void;
}

/** Repeats what the store refuses. */
export class Persistent {
  readonly #options: PersistentOptions;
  #isStopped = false;
  #wake: () => void = () => {};

  constructor(options: PersistentOptions) {
    this.#options = options;
  }

  /** From now on nothing is tried twice. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** The same bytes are put each time. @throws ObjectExistsError, StoppedError */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.run("put", () => this.#options.store.put(key, bytes));
  }

  /** @throws ObjectExistsError, StoppedError */
  async run<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    const { clock, logger, store, onFailure } = this.#options;
    for (let delayMs = BACKOFF_MS_MIN; ; delayMs = Math.min(2 * delayMs, BACKOFF_MS_MAX)) {
      try {
        return await work();
      } catch (thrown) {
        if (thrown instanceof ObjectExistsError) throw thrown;
        onFailure();
        const reason = String(thrown);
        logger.warn("manifest_failed", { store: store.name, what, reason, againMs: delayMs });
      }
      if (!this.#isStopped) await this.#waited(clock, delayMs);
      if (this.#isStopped) throw new StoppedError();
    }
  }

  #waited(clock: Clock, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
