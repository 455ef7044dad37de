/** One life of a process in a simulation: its clock, its turns, and what has become of its promises. */

import type { Random } from "../../src/core/clock.ts";
import { SimulatedClock } from "./simulated-clock.ts";

/** One life of the process: its clock, its turns, and who waits in it. */
export class Run {
  readonly clock = new SimulatedClock();
  isAlive = true;
  hasFailed = false;
  waitingCount = 0;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  readonly defer = (action: () => void): void => {
    const turns = Math.floor(this.#random() * 3);
    void this.turns(turns).then(() => {
      if (this.isAlive) action();
    });
  };

  async turns(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) await null;
  }

  async turnsUntil(limit: number, isOver: () => boolean): Promise<void> {
    for (let left = limit; left > 0 && !isOver(); left -= 1) await null;
  }

  /** Counts who waits; `onDone` is told only while the process lives. */
  expectEnd(promise: Promise<void>, onDone: () => void): void {
    this.waitingCount += 1;
    void promise
      .then(() => {
        if (this.isAlive) onDone();
      })
      .catch(() => {})
      .then(() => {
        this.waitingCount -= 1;
      });
  }
}

/** A promise as a value that can be looked at. */
export type Outcome<Value> =
  | { state: "pending" }
  | { state: "done"; value: Value }
  | { state: "failed"; reason: unknown };

/** What has become of `promise` so far. */
export function outcomeOf<Value>(promise: Promise<Value>): Outcome<Value> {
  const outcome: { current: Outcome<Value> } = { current: { state: "pending" } };
  const view = {
    get state() {
      return outcome.current.state;
    },
    get value() {
      return (outcome.current as { value: Value }).value;
    },
    get reason() {
      return (outcome.current as { reason: unknown }).reason;
    },
  } as Outcome<Value>;
  promise.then(
    (value) => {
      outcome.current = { state: "done", value };
    },
    (reason: unknown) => {
      outcome.current = { state: "failed", reason };
    },
  );
  return view;
}
