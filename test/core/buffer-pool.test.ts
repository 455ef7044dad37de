/** Buffers are used again, one user at a time, and what is kept is bounded. */

import { expect, test } from "bun:test";
import { BufferPool } from "../../src/core/buffer-pool.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

test("buffer pool: a buffer that was given back is taken again, by one only", () => {
  const pool = new BufferPool();
  const first = pool.take(200 * KIB);
  expect(first.length).toBe(256 * KIB);
  pool.give(first);
  expect(pool.take(130 * KIB)).toBe(first);
  expect(pool.take(130 * KIB)).not.toBe(first);
});

test("buffer pool: small and huge ones are not kept", () => {
  const pool = new BufferPool();
  for (const sizeBytes of [10, 64 * KIB, 3 * MIB]) {
    const buffer = pool.take(sizeBytes);
    expect(buffer.length).toBe(sizeBytes);
    pool.give(buffer);
  }
  expect(pool.keptBytes).toBe(0);
});

test("buffer pool: what is kept is bounded", () => {
  const pool = new BufferPool();
  const buffers = Array.from({ length: 40 }, () => pool.take(MIB));
  for (const buffer of buffers) pool.give(buffer);
  expect(pool.keptBytes).toBe(16 * MIB);
});
