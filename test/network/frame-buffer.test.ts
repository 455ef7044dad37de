/** Frames are cut right however the bytes arrive, and memory follows what has arrived. */

import { expect, test } from "bun:test";
import { BufferPool } from "../../src/core/buffer-pool.ts";
import { seededRandom } from "../../src/core/clock.ts";
import { FrameBuffer } from "../../src/network/frame-buffer.ts";
import { KafkaError } from "../../src/protocol/errors.ts";

const SEED = Number(Bun.env["SEED"] ?? 3);
const LIMIT = 1_000_000;

function framed(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + payload.length);
  new DataView(bytes.buffer).setInt32(0, payload.length);
  bytes.set(payload, 4);
  return bytes;
}

function takeAll(frames: FrameBuffer): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let frame = frames.peek(); frame !== undefined; frame = frames.peek()) {
    taken.push(frame.slice());
    frames.consume();
  }
  frames.settle();
  return taken;
}

test(`frame buffer: any cut of the stream gives the same frames (SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 200; round += 1) {
    const payloads = Array.from({ length: 8 }, () =>
      Uint8Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256)),
    );
    const stream = Buffer.concat(payloads.map(framed));
    const frames = new FrameBuffer(LIMIT, new BufferPool());
    const taken: Uint8Array[] = [];
    for (let position = 0; position < stream.length; ) {
      const end = Math.min(stream.length, position + 1 + Math.floor(random() * 200));
      frames.push(Uint8Array.from(stream.subarray(position, end)));
      taken.push(...takeAll(frames));
      position = end;
    }
    expect(taken).toEqual(payloads);
    expect(frames.bufferedBytes).toBe(0);
  }
});

test("frame buffer: a frame in use stays as it is while more arrives", () => {
  const frames = new FrameBuffer(LIMIT, new BufferPool());
  frames.push(framed(new Uint8Array(10).fill(1)));
  const first = frames.peek();
  for (let count = 0; count < 50; count += 1) frames.push(framed(new Uint8Array(1000).fill(2)));
  expect(first).toEqual(new Uint8Array(10).fill(1));
  frames.consume();
  expect(takeAll(frames)).toHaveLength(50);
});

test("frame buffer: what is announced is not allocated", () => {
  const frames = new FrameBuffer(100 * 2 ** 20, new BufferPool());
  const announced = new Uint8Array(8);
  new DataView(announced.buffer).setInt32(0, 99 * 2 ** 20);
  frames.push(announced);
  expect(frames.peek()).toBeUndefined();
  frames.settle();
  expect(frames.heldBytes).toBeLessThan(64);
});

test.each([-1, -(2 ** 31), LIMIT + 1, 2 ** 31 - 1])(
  "frame buffer: an announced length of %d is refused",
  (length) => {
    const frames = new FrameBuffer(LIMIT, new BufferPool());
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, length);
    frames.push(bytes);
    expect(() => frames.peek()).toThrow(KafkaError);
  },
);

test("frame buffer: memory of a large frame is given back", () => {
  const frames = new FrameBuffer(LIMIT, new BufferPool());
  const frame = framed(new Uint8Array(500_000));
  frames.push(frame.slice(0, 400_000));
  frames.settle();
  expect(frames.heldBytes).toBeGreaterThanOrEqual(400_000);
  frames.push(frame.slice(400_000));
  expect(takeAll(frames)).toHaveLength(1);
  expect(frames.heldBytes).toBe(0);
});

test("frame buffer: a bad length is refused by peek alone, however its bytes came", () => {
  const good = framed(new Uint8Array(10).fill(1));
  const bad = new Uint8Array(4).fill(0xff);
  const whole = new FrameBuffer(LIMIT, new BufferPool());
  whole.push(Buffer.concat([good, bad]));
  expect(whole.peek()).toHaveLength(10);
  whole.consume();
  whole.settle();
  expect(() => whole.peek()).toThrow(KafkaError);
  for (let count = 0; count < 3; count += 1) whole.push(bad);
  whole.settle();
  expect(() => whole.peek()).toThrow(KafkaError);
  whole.clear();
  expect([whole.bufferedBytes, whole.heldBytes]).toEqual([0, 0]);
});

test("frame buffer: what a frame in use keeps in memory is counted", () => {
  const frames = new FrameBuffer(LIMIT, new BufferPool());
  const first = framed(new Uint8Array(100_000));
  frames.push(first);
  frames.peek();
  expect(frames.heldBytes).toBe(first.length);
  frames.push(framed(new Uint8Array(10_000)));
  // The frame in use, and what has moved on with the bytes that came later.
  expect(frames.heldBytes).toBeGreaterThanOrEqual(2 * first.length + 10_000);
  frames.consume();
  expect(takeAll(frames)).toHaveLength(1);
  expect(frames.heldBytes).toBe(0);
});
