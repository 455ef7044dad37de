/** Ends of leader epochs, as Apache Kafka's LeaderEpochFileCache tells them. */

import { expect, test } from "bun:test";
import { LeaderEpochs } from "../../src/log/leader-epochs.ts";

const LOG_END_OFFSET = 100;

function epochsOf(...starts: readonly (readonly [leaderEpoch: number, startOffset: number])[]) {
  const epochs = new LeaderEpochs();
  for (const [leaderEpoch, startOffset] of starts) epochs.assign(leaderEpoch, startOffset);
  return (leaderEpoch: number) => epochs.endOf(leaderEpoch, LOG_END_OFFSET);
}

test("leader epochs: the last one ends at the log's end, an earlier one where the next begins", () => {
  const endOf = epochsOf([1, 0], [2, 40], [2, 50], [5, 70]);
  expect(endOf(5)).toEqual({ leaderEpoch: 5, endOffset: LOG_END_OFFSET });
  expect(endOf(2)).toEqual({ leaderEpoch: 2, endOffset: 70 });
  expect(endOf(1)).toEqual({ leaderEpoch: 1, endOffset: 40 });
});

test("leader epochs: one that was skipped ends where the one below it ends", () => {
  expect(epochsOf([1, 0], [2, 40], [5, 70])(3)).toEqual({ leaderEpoch: 2, endOffset: 70 });
});

test("leader epochs: one before all ends at the first offset; one beyond all is not known", () => {
  const endOf = epochsOf([3, 10]);
  expect(endOf(1)).toEqual({ leaderEpoch: 1, endOffset: 10 });
  expect(endOf(4)).toEqual({ leaderEpoch: -1, endOffset: -1 });
  expect(epochsOf()(0)).toEqual({ leaderEpoch: -1, endOffset: -1 });
});

test("leader epochs: one in which nothing was written leaves no trace", () => {
  const endOf = epochsOf([0, 0], [1, 20], [2, 20]);
  expect(endOf(1)).toEqual({ leaderEpoch: 0, endOffset: 20 });
  expect(endOf(2)).toEqual({ leaderEpoch: 2, endOffset: LOG_END_OFFSET });
});
