/** A clock that stands still until it is told to go on. */

import type { Clock } from "../../src/core/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly action: () => void;
}

export class SimulatedClock implements Clock {
  #nowMs = 1_000_000;
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass; timers that are due act in their order. */
  advance(durationMs: number): void {
    this.#nowMs += durationMs;
    const due = [...this.#timers].filter((timer) => timer.dueMs <= this.#nowMs);
    for (const timer of due.sort((left, right) => left.dueMs - right.dueMs)) {
      if (this.#timers.delete(timer)) timer.action();
    }
  }
}
