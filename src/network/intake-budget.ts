/**
 * Bounds the memory of all half-received requests together (`inFlightBytesMax`).
 *
 * A connection counts what has arrived, never what was announced. When the budget is used up,
 * connections with an unfinished request stop being read, in turn; one at a time may go on beyond
 * the budget, so that some request always completes. Its turn lasts as long as its bytes keep coming;
 * if they do not and others wait, it loses its connection, and with it the memory it held. Handing
 * the turn on instead would let many clients that stall keep the others waiting for ever.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";

/** How often the connection that has the turn is looked at. */
const TURN_MS = 2000;
/** Less than this within that time is no progress. */
const TURN_BYTES_MIN = 16 * 1024;

/** A connection that stopped reading for want of memory. */
export interface IntakeWaiter {
  /** How many bytes have arrived since it connected. */
  readonly receivedBytes: number;
  /** Goes on reading. */
  resumeIntake(): void;
  /** It had the turn and stalled: ends the connection. */
  onStalled(): void;
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

  get isExhausted(): boolean {
    return this.#usedBytes > this.#limitBytes;
  }

  /** Counts `deltaBytes` more (or fewer) bytes held. */
  change(deltaBytes: number): void {
    this.#usedBytes += deltaBytes;
    if (deltaBytes < 0) this.#admit();
  }

  /** Whether `waiter` may go on reading; if not, it is resumed later. */
  mayRead(waiter: IntakeWaiter): boolean {
    if (!this.isExhausted || this.#turn === waiter) return true;
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
      if (this.isExhausted) {
        if (this.#turn !== undefined) return;
        this.#beginTurn(waiter);
      }
      this.#waiting.delete(waiter);
      waiter.resumeIntake();
    }
  }

  /** Begins the turn of `waiter`, or goes on with it. */
  #beginTurn(waiter: IntakeWaiter): void {
    const { receivedBytes } = waiter;
    this.#turn = waiter;
    this.#cancelTurn = this.#clock.after(TURN_MS, () => {
      const isProgressing = waiter.receivedBytes - receivedBytes >= TURN_BYTES_MIN;
      if (this.isExhausted && (isProgressing || this.#waiting.size === 0)) {
        this.#beginTurn(waiter);
        return;
      }
      this.#endTurn();
      if (this.isExhausted) waiter.onStalled();
      this.#admit();
    });
  }

  #endTurn(): void {
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    this.#turn = undefined;
  }
}
