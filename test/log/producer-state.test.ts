/** Idempotence of a partition: duplicates, gaps, epochs, and the wrap of sequence numbers. */

import { expect, test } from "bun:test";
import { ProducerState, type SequencedBatch } from "../../src/log/producer-state.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { codeOf } from "../protocol/error-code.ts";

function batch(baseSequence: number, recordCount = 1, producerEpoch = 0): SequencedBatch {
  return { producerId: 9, producerEpoch, baseSequence, lastOffsetDelta: recordCount - 1 };
}

function stateAfter(...batches: SequencedBatch[]): ProducerState {
  const state = new ProducerState();
  let baseOffset = 100;
  for (const each of batches) {
    expect(state.check(each)).toBeUndefined();
    state.update(each, { baseOffset, nowMs: 0 });
    baseOffset += each.lastOffsetDelta + 1;
  }
  return state;
}

test("producer state: each of the last five batches sent again is answered with its offset", () => {
  const batches = [0, 2, 4, 6, 8].map((sequence) => batch(sequence, 2));
  const state = stateAfter(...batches);
  expect(batches.map((each) => state.check(each)?.baseOffset)).toEqual([100, 102, 104, 106, 108]);
});

test("producer state: a batch older than the last five is out of order", () => {
  const state = stateAfter(...[0, 1, 2, 3, 4, 5].map((sequence) => batch(sequence)));
  expect(codeOf(() => state.check(batch(0)))).toBe(ErrorCode.outOfOrderSequenceNumber);
});

test("producer state: a gap is out of order, and the next in order still goes", () => {
  const state = stateAfter(batch(0, 3));
  expect(codeOf(() => state.check(batch(4)))).toBe(ErrorCode.outOfOrderSequenceNumber);
  expect(state.check(batch(3))).toBeUndefined();
});

test("producer state: an old epoch is refused; a new one starts at sequence 0", () => {
  const state = stateAfter(batch(0, 1, 2));
  expect(codeOf(() => state.check(batch(1, 1, 1)))).toBe(ErrorCode.invalidProducerEpoch);
  expect(codeOf(() => state.check(batch(1, 1, 3)))).toBe(ErrorCode.outOfOrderSequenceNumber);
  expect(state.check(batch(0, 1, 3))).toBeUndefined();
});

test("producer state: sequence numbers go on at 0 after 2^31 - 1", () => {
  const last = 2 ** 31 - 1;
  const state = stateAfter(batch(last - 1, 2), batch(0, 1));
  expect(state.check(batch(last - 1, 2))?.baseOffset).toBe(100);
  expect(state.check(batch(1))).toBeUndefined();
});

test("producer state: a batch may cross the end of the sequence numbers", () => {
  const state = stateAfter(batch(2 ** 31 - 1, 3));
  expect(state.check(batch(2))).toBeUndefined();
});

test("producer state: a producer that was silent too long is forgotten", () => {
  const state = stateAfter(batch(0));
  state.expire(1);
  expect(state.producerCount).toBe(0);
  expect(state.check(batch(17))).toBeUndefined();
});
