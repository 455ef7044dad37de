/** Memory of answers: slow readers and loads make them smaller and wait, and never stop them for good. */

import { expect, test } from "bun:test";
import type { Reservation, ReservationRequest } from "../../src/api/fetch-memory.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { ResponseMemory } from "../../src/network/response-memory.ts";

const MIB = 2 ** 20;

function wish(connectionId: number, changes: Partial<ReservationRequest> = {}): ReservationRequest {
  return {
    connectionId,
    wantedBytes: MIB,
    leastBytes: MIB,
    waitMs: 60_000,
    onAbandon: () => () => {},
    ...changes,
  };
}

async function granted(wished: Promise<Reservation | undefined>): Promise<Reservation> {
  const reservation = await wished;
  if (reservation === undefined) throw new Error("no reservation");
  return reservation;
}

/** Runs every timer when it is told to. */
class ManualTimers implements Clock {
  readonly #actions = new Set<() => void>();
  nowMs = (): number => 0;
  monotonicMs = (): number => 0;
  after = (_delayMs: number, action: () => void): (() => void) => {
    this.#actions.add(action);
    return () => this.#actions.delete(action);
  };
  fire(): void {
    for (const action of this.#actions) action();
  }
}

test("response memory: answers shrink as unsent bytes grow, down to a least size", () => {
  const memory = new ResponseMemory(40 * MIB, systemClock);
  expect(memory.allowanceBytes()).toBe(10 * MIB);
  memory.change(20 * MIB);
  expect(memory.allowanceBytes()).toBe(5 * MIB);
  expect(memory.isShort).toBe(false);
  memory.change(30 * MIB);
  expect(memory.allowanceBytes()).toBe(64 * 1024);
  expect(memory.isShort).toBe(true);
  memory.change(-50 * MIB);
  expect(memory.allowanceBytes()).toBe(10 * MIB);
});

test("response memory: what is reserved counts until it is released, loaded or not", async () => {
  const memory = new ResponseMemory(40 * MIB, systemClock);
  const reservation = await granted(memory.reserve(wish(1, { wantedBytes: 100 * MIB })));
  expect(reservation.sizeBytes).toBe(10 * MIB);
  expect(memory.allowanceBytes()).toBe(7.5 * MIB);
  reservation.resize(20 * MIB);
  expect(memory.heldBytes).toBe(20 * MIB);
  reservation.settle();
  expect(memory.heldBytes).toBe(20 * MIB);
  reservation.release();
  reservation.release();
  expect(memory.heldBytes).toBe(0);
});

test("response memory: never more than the limit is reserved, and the first that waits is the next", async () => {
  const memory = new ResponseMemory(4 * MIB, systemClock);
  const order: number[] = [];
  let heldBytesMax = 0;
  const fetches = Array.from({ length: 50 }, async (_, connectionId) => {
    const reservation = await granted(memory.reserve(wish(connectionId)));
    order.push(connectionId);
    heldBytesMax = Math.max(heldBytesMax, memory.heldBytes);
    await Promise.resolve();
    reservation.release();
  });
  await Promise.all(fetches);
  expect(order).toEqual([...Array(50).keys()]);
  expect(heldBytesMax).toBe(4 * MIB);
  expect(memory.heldBytes).toBe(0);
});

test("response memory: when slow readers hold everything, loads go on one by one up to a hard limit", async () => {
  const memory = new ResponseMemory(4 * MIB, systemClock);
  memory.change(4 * MIB);
  const first = await granted(memory.reserve(wish(1, { leastBytes: 1000 })));
  expect(first.sizeBytes).toBe(1000);
  first.resize(MIB);
  let isSecondGranted = false;
  const second = memory.reserve(wish(2)).then((reservation) => {
    isSecondGranted = true;
    return reservation;
  });
  await Promise.resolve();
  expect(isSecondGranted).toBe(false);
  first.settle();
  expect(memory.isExhausted).toBe(true);
  memory.change(-1);
  first.release();
  expect((await granted(second)).sizeBytes).toBe(MIB);
});

test("response memory: a connection holds one reservation, and its next ones keep nobody waiting", async () => {
  const memory = new ResponseMemory(40 * MIB, systemClock);
  const first = await granted(memory.reserve(wish(1)));
  let isNextGranted = false;
  const next = memory.reserve(wish(1)).then((reservation) => {
    isNextGranted = true;
    return reservation;
  });
  await granted(memory.reserve(wish(2)));
  expect(isNextGranted).toBe(false);
  first.release();
  await granted(next);
});

test("response memory: who waits too long or goes away gets nothing and lets the next pass", async () => {
  const timers = new ManualTimers();
  const memory = new ResponseMemory(4 * MIB, timers);
  const holder = await granted(memory.reserve(wish(1)));
  holder.resize(4 * MIB);
  let abandon = (): void => {};
  const onAbandon = (listener: () => void): (() => void) => {
    abandon = listener;
    return () => {};
  };
  const late = memory.reserve(wish(2));
  timers.fire();
  expect(await late).toBeUndefined();
  const gone = memory.reserve(wish(3, { onAbandon }));
  const next = memory.reserve(wish(4));
  abandon();
  expect(await gone).toBeUndefined();
  holder.release();
  await granted(next);
});
