/**
 * Bounds the memory of all half-received requests together (`inFlightBytesMax`).
 *
 * A connection counts what has arrived, never what was announced. When the budget is used up,
 * connections with an unfinished request stop being read, in turn; one at a time may go on beyond
 * the budget, so that some request always completes. If that one does not finish in time, the next
 * gets its turn: a client that stalls cannot stall the others.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";

/** How long one connection may hold the turn before the next gets it. */
const TURN_MS_MAX = 2000;

/** A connection that stopped reading for want of memory. */
export interface IntakeWaiter {
  /** Goes on reading. */
  resumeIntake(): void;
  /** Stops reading and asks again: its turn is over. */
  endTurn(): void;
}

/** Owner of the count. */
export class IntakeBudget {
  readonly #limitBytes: number;
  readonly #clock: Clock;
  readonly #waiting = new Set<IntakeWaiter>();
  #usedBytes = 0;
  #turn: IntakeWaiter | undefined;
  #cancelTurn: CancelTimer | undefined;

  constructor(limitBytes: number, clock: Clock) {
    this.#limitBytes = limitBytes;
    this.#clock = clock;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Counts `deltaBytes` more (or fewer) bytes held. */
  change(deltaBytes: number): void {
    this.#usedBytes += deltaBytes;
    if (deltaBytes < 0) this.#admit();
  }

  /** Whether `waiter` may go on reading; if not, it is resumed later. */
  mayRead(waiter: IntakeWaiter): boolean {
    if (this.#usedBytes <= this.#limitBytes || this.#turn === waiter) return true;
    this.#waiting.add(waiter);
    this.#admit();
    return !this.#waiting.has(waiter);
  }

  /** `waiter` has finished its request, or is gone. */
  leave(waiter: IntakeWaiter): void {
    this.#waiting.delete(waiter);
    if (this.#turn === waiter) {
      this.#endTurn();
      this.#admit();
    }
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (this.#usedBytes > this.#limitBytes) {
        if (this.#turn !== undefined) return;
        this.#beginTurn(waiter);
      }
      this.#waiting.delete(waiter);
      waiter.resumeIntake();
    }
  }

  #beginTurn(waiter: IntakeWaiter): void {
    this.#turn = waiter;
    this.#cancelTurn = this.#clock.after(TURN_MS_MAX, () => {
      this.#endTurn();
      waiter.endTurn();
      this.#admit();
    });
  }

  #endTurn(): void {
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    this.#turn = undefined;
  }
}
