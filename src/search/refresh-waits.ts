/** Who waits until the index has reached an address of the WAL. */

import type { Clock } from "../core/clock.ts";
import type { WalAddress } from "../wal/wal-address.ts";

interface RefreshWait {
  readonly address: WalAddress;
  readonly finish: (isDone: boolean) => void;
}

/** Owns the waits. */
export class RefreshWaits {
  readonly #clock: Clock;
  readonly #waits = new Set<RefreshWait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves with true once the index has reached `address`, with false after `timeoutMs`. */
  wait(address: WalAddress, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(timeoutMs, () => finish(false));
      const finish = (isDone: boolean): void => {
        cancel();
        this.#waits.delete(wait);
        resolve(isDone);
      };
      const wait = { address, finish };
      this.#waits.add(wait);
    });
  }

  /** The addresses that are waited for. */
  addresses(): readonly WalAddress[] {
    return [...this.#waits].map(({ address }) => address);
  }

  /** The index has reached `address`. */
  reach(address: WalAddress): void {
    for (const wait of [...this.#waits]) {
      if (address >= wait.address) wait.finish(true);
    }
  }

  /** Nothing more will be reached. */
  giveUp(): void {
    for (const wait of [...this.#waits]) wait.finish(false);
  }
}
