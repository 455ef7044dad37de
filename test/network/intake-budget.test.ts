/** Half-received requests share a budget: nobody is starved, and a stalled client stalls nobody. */

import { expect, test } from "bun:test";
import { IntakeBudget, type IntakeWaiter } from "../../src/network/intake-budget.ts";
import { ManualClock } from "../manual-clock.ts";

const TURN_MS = 2000;

class Waiter implements IntakeWaiter {
  isReading = true;
  isConnected = true;
  receivedBytes = 0;
  readonly #budget: IntakeBudget;
  readonly #heldBytes: number;
  constructor(budget: IntakeBudget, heldBytes = 0) {
    this.#budget = budget;
    this.#heldBytes = heldBytes;
    budget.change(heldBytes);
  }
  ask(): void {
    this.isReading = this.#budget.mayRead(this);
  }
  resumeIntake(): void {
    this.isReading = true;
  }
  onStalled(): void {
    this.isConnected = false;
    this.#budget.leave(this);
    this.#budget.change(-this.#heldBytes);
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

test("intake budget: a client that stalls in its turn goes, and the next reads", async () => {
  const clock = new ManualClock();
  const budget = new IntakeBudget(100, clock);
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  a.ask();
  b.ask();
  await clock.advance(TURN_MS);
  expect([a.isConnected, b.isConnected, b.isReading]).toEqual([false, true, true]);
});

test("intake budget: a client whose bytes keep coming keeps its turn", async () => {
  const clock = new ManualClock();
  const budget = new IntakeBudget(100, clock);
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  a.ask();
  b.ask();
  for (let turns = 0; turns < 10; turns += 1) {
    a.receivedBytes += 100_000;
    await clock.advance(TURN_MS);
  }
  expect([a.isConnected, b.isReading]).toEqual([true, false]);
  a.receivedBytes += 1;
  await clock.advance(TURN_MS);
  expect([a.isConnected, b.isReading]).toEqual([false, true]);
});

test("intake budget: nobody goes while nobody else waits, or once there is room again", async () => {
  const clock = new ManualClock();
  const budget = new IntakeBudget(100, clock);
  const [a, b] = [new Waiter(budget), new Waiter(budget)];
  budget.change(150);
  a.ask();
  await clock.advance(10 * TURN_MS);
  b.ask();
  budget.change(-100);
  await clock.advance(10 * TURN_MS);
  expect([a.isConnected, b.isConnected, b.isReading]).toEqual([true, true, true]);
});

test("intake budget: hundreds that stall keep a good client waiting for one turn only", async () => {
  const clock = new ManualClock();
  const budget = new IntakeBudget(499, clock);
  const stalled = Array.from({ length: 500 }, () => new Waiter(budget, 1));
  for (const waiter of stalled) waiter.ask();
  const good = new Waiter(budget);
  good.ask();
  expect(good.isReading).toBe(false);
  await clock.advance(TURN_MS);
  expect(good.isReading).toBe(true);
});
