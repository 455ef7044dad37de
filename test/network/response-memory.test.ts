/** Slow readers make answers smaller, and never stop them. */

import { expect, test } from "bun:test";
import { ResponseMemory } from "../../src/network/response-memory.ts";

const MIB = 2 ** 20;

test("response memory: answers shrink as unsent bytes grow, down to a least size", () => {
  const memory = new ResponseMemory(40 * MIB);
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
