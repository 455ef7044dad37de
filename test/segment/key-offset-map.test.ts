/** Last offsets by key, against a `Map`, and at the bound of memory. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { KeyOffsetMap } from "../../src/segment/key-offset-map.ts";

const SEED = Number(Bun.env["SEED"] ?? 1);
const MIB = 1024 * 1024;

function keyOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

test("key map: knows the last offset of each key, as a Map does", () => {
  const random = seededRandom(SEED);
  const map = new KeyOffsetMap(5000, MIB);
  const model = new Map<string, number>();
  for (let step = 0; step < 20_000; step += 1) {
    const key = `key ${Math.floor(random() * 5000)}`;
    const offset = step * (step % 7 === 0 ? 2 ** 38 : 1);
    expect(map.put(keyOf(key), offset)).toBe(true);
    model.set(key, offset);
  }
  expect(map.size).toBe(model.size);
  for (const [key, offset] of model) expect(map.offsetOf(keyOf(key))).toBe(offset);
  for (let count = 0; count < 100; count += 1) {
    expect(map.offsetOf(keyOf(`no key ${count}`))).toBe(-1);
  }
});

test("key map: offset 0 and the empty key are like any other", () => {
  const map = new KeyOffsetMap(2, MIB);
  expect(map.offsetOf(keyOf(""))).toBe(-1);
  map.put(keyOf(""), 0);
  expect(map.offsetOf(keyOf(""))).toBe(0);
  map.put(keyOf(""), Number.MAX_SAFE_INTEGER - 1);
  expect(map.offsetOf(keyOf(""))).toBe(Number.MAX_SAFE_INTEGER - 1);
});

test("key map: when it is full it takes known keys only", () => {
  const map = new KeyOffsetMap(1_000_000, 24 * 100);
  let count = 0;
  while (map.put(keyOf(String(count)), count)) count += 1;
  expect(count).toBe(85);
  expect(map.put(keyOf("3"), 1000)).toBe(true);
  expect(map.put(keyOf("new"), 1001)).toBe(false);
  expect([map.offsetOf(keyOf("3")), map.offsetOf(keyOf("new"))]).toEqual([1000, -1]);
});
