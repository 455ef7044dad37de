/** The check of a client's idea of the leader epoch (KIP-320), the same for every API that carries it. */

import { ErrorCode, KafkaError } from "../../protocol/errors.ts";

/** @throws KafkaError FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH; -1 from a client that does not know passes */
export function checkLeaderEpoch(leaderEpoch: number, asked: number): void {
  if (asked < 0 || asked === leaderEpoch) return;
  throw asked < leaderEpoch
    ? new KafkaError(ErrorCode.fencedLeaderEpoch, `The leader epoch is ${leaderEpoch} already.`)
    : new KafkaError(ErrorCode.unknownLeaderEpoch, `The leader epoch is only ${leaderEpoch}.`);
}
