/** Half-received requests share a budget: nobody is starved, and a stalled client stalls nobody. */

import { expect, test } from "bun:test";
import type { Clock } from "../../src/core/clock.ts";
import { IntakeBudget, type IntakeWaiter } from "../../src/network/intake-budget.ts";

class ManualClock implements Clock {
  #timers: (() => void)[] = [];
  nowMs = (): number => 0;
  monotonicMs = (): number => 0;
  after = (_delayMs: number, action: () => void): (() => void) => {
    this.#timers.push(action);
    return () => {
      this.#timers = this.#timers.filter((timer) => timer !== action);
    };
  };
  fireAll(): void {
    const timers = this.#timers;
    this.#timers = [];
    for (const timer of timers) timer();
  }
}

class Waiter implements IntakeWaiter {
  isReading = true;
  readonly #budget: IntakeBudget;
  constructor(budget: IntakeBudget) {
    this.#budget = budget;
  }
  ask(): void {
    this.isReading = this.#budget.mayRead(this);
  }
  resumeIntake(): void {
    this.isReading = true;
  }
  endTurn(): void {
    this.ask();
  }
}

test("intake budget: within it everybody reads; beyond it one at a time", () => {
  const budget = new IntakeBudget(100, new ManualClock());
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(100);
  a.ask();
  b.ask();
  expect([a.isReading, b.isReading]).toEqual([true, true]);
  budget.change(1);
  a.ask();
  b.ask();
  expect([a.isReading, b.isReading]).toEqual([true, false]);
});

test("intake budget: who finishes hands the turn on", () => {
  const budget = new IntakeBudget(100, new ManualClock());
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  a.ask();
  b.ask();
  budget.leave(a);
  expect(b.isReading).toBe(true);
});

test("intake budget: memory that comes back lets everybody read", () => {
  const budget = new IntakeBudget(100, new ManualClock());
  const waiters = [new Waiter(budget), new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  for (const waiter of waiters) waiter.ask();
  expect(waiters.map(({ isReading }) => isReading)).toEqual([true, false, false]);
  budget.change(-100);
  expect(waiters.map(({ isReading }) => isReading)).toEqual([true, true, true]);
});

test("intake budget: a client that stalls loses its turn to the next", () => {
  const clock = new ManualClock();
  const budget = new IntakeBudget(100, clock);
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  a.ask();
  b.ask();
  clock.fireAll();
  expect([a.isReading, b.isReading]).toEqual([false, true]);
  clock.fireAll();
  expect([a.isReading, b.isReading]).toEqual([true, false]);
});
