/**
 * An idempotent producer whose answers get lost again and again: what it sends anew must not be there twice, and
 * the order within each partition must hold.
 */
import type { Ack } from "../agent.ts";
import type { LossyProxy } from "../lossy-proxy.ts";
import { type Scenario, throwFailures, until } from "../scenario.ts";
import { expectEqual, verifyStream } from "../verify.ts";

const PARTITIONS = 3;
const LOSSES = 3;
const ACKS_BETWEEN_LOSSES = 400;

/** @param proxyOf the proxy that the client at hand connects through */
export function idempotence(proxyOf: () => LossyProxy): Scenario {
  return {
    name: "idempotence",
    title: "idempotent producer, answers lost three times: each record once, in order",
    run: async (bench) => {
      const topic = bench.topicOf("idempotence");
      await bench.createTopic(topic, PARTITIONS);
      const acks: Ack[] = [];
      const call = bench.agent.start(
        "stream",
        { topic, partitions: PARTITIONS, idempotent: true },
        (_, fields) => acks.push(...(fields["acks"] as Ack[])),
      );
      for (let loss = 0; loss < LOSSES; loss += 1) {
        const wanted = acks.length + ACKS_BETWEEN_LOSSES;
        await until("acknowledgements", () => acks.length >= wanted, [call.result]);
        await proxyOf().loseAnswers();
      }
      const wanted = acks.length + ACKS_BETWEEN_LOSSES;
      await until("acknowledgements", () => acks.length >= wanted, [call.result]);
      const result = await bench.agent.stop(call);
      throwFailures(result);
      const ends = await bench.endOffsets(topic, PARTITIONS);
      const count = ends.reduce((sum, end) => sum + end, 0);
      const read = await bench.consume(topic, PARTITIONS, count);
      verifyStream({ acks, read, isIdempotent: true });
      expectEqual(count, result["sent"], "records in the topic");
      return undefined;
    },
  };
}
