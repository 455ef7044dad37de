/**
 * Appends an empty group when the log has been quiet for a while. The group says that everything before it was
 * durable; without it, damage to the last group of a log that is left alone could not be told from a torn write,
 * and would be cut instead of refused.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Placement } from "./placement.ts";
import type { WalAddress } from "./wal-address.ts";
import { GroupFlag } from "./wal-format.ts";

/** Long enough to cost little on a log that gets a record now and then. */
const QUIET_MS = 1000;

export interface IdleMarkOptions {
  readonly clock: Clock;
  readonly commit: GroupCommit;
  readonly placement: Placement;
}

/** Watches what becomes durable. */
export class IdleMark {
  readonly #options: IdleMarkOptions;
  #durableMs = 0;
  #cancel: CancelTimer | undefined;
  #isStopped = false;
  /** Everything below it is vouched for, or is the mark itself. */
  #markedAddress: WalAddress = 0;

  constructor(options: IdleMarkOptions) {
    this.#options = options;
  }

  /** The log has become durable up to `durableAddress`. */
  noteDurable(durableAddress: WalAddress): void {
    if (this.#isStopped || durableAddress <= this.#markedAddress) return;
    this.#durableMs = this.#options.clock.monotonicMs();
    this.#cancel ??= this.#options.clock.after(QUIET_MS, () => this.#maybeMark());
  }

  /** The log is being closed: its own end marks it. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #maybeMark(): void {
    const { clock, commit, placement } = this.#options;
    this.#cancel = undefined;
    const quietMs = clock.monotonicMs() - this.#durableMs;
    if (quietMs < QUIET_MS || !commit.isAllDurable) {
      const delayMs = Math.max(1, QUIET_MS - quietMs);
      this.#cancel = clock.after(delayMs, () => this.#maybeMark());
      return;
    }
    // At the very end of a file the next group marks it, in its own time.
    if (placement.isAtFileEnd) return;
    placement.addMarker(GroupFlag.none);
    this.#markedAddress = placement.appendedAddress;
    commit.requestSync();
  }
}
