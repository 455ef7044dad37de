/**
 * SIGKILL in the middle of producing with acks=all, and a restart on the same data directory: everything that was
 * acknowledged is there once and in order, and a group member that was reading gets all of it.
 */
import type { Ack } from "../agent.ts";
import { type Bench, type Scenario, until } from "../scenario.ts";
import { expectEqual, expectTrue, verifyDelivered, verifyStream } from "../verify.ts";

const PARTITIONS = 3;
const ACKS_BEFORE = 1_500;
const RECEIVED_BEFORE = 1_000;
const ACKS_AFTER = 1_000;

export const kill: Scenario = {
  name: "kill",
  title: "SIGKILL while producing (acks=all, idempotent), restart: all acknowledged records once",
  run: async (bench) => {
    const topic = bench.topicOf("kill");
    const group = bench.topicOf("kill-group");
    await bench.createTopic(topic, PARTITIONS);
    const acks: Ack[] = [];
    const member = bench.join({ group, topic, name: "kill-member" });
    const stream = bench.agent.start(
      "stream",
      { topic, partitions: PARTITIONS, idempotent: true },
      (_, fields) => acks.push(...(fields["acks"] as Ack[])),
    );
    const failed = [stream.result, member.failed];
    const isWarm = () => acks.length >= ACKS_BEFORE && member.receivedCount >= RECEIVED_BEFORE;
    await until("records before the kill", isWarm, failed);

    await bench.broker.kill();
    await bench.broker.start();
    const wanted = acks.length + ACKS_AFTER;
    await until("acknowledgements after the restart", () => acks.length >= wanted, failed);
    const result = await bench.agent.stop(stream);
    const failures = result["failures"] as readonly (readonly [number, string])[];

    const count = (await bench.endOffsets(topic, PARTITIONS)).reduce((sum, end) => sum + end, 0);
    const read = await bench.consume(topic, PARTITIONS, count);
    verifyStream({ acks, read, isIdempotent: true });
    expectEqual(acks.length + failures.length, result["sent"], "records with an answer");
    expectTrue(read.length >= acks.length, `${read.length} records read, ${acks.length} sent`);

    await until("the member receives all", () => member.receivedCount >= count, [member.failed]);
    const repeated = verifyDelivered({ expected: read, delivered: await member.leave() });
    await checkResume(bench, { group, topic, count });
    const remarks = [
      failures.length > 0 ? `${failures.length} records failed: ${failures[0]?.[1]}` : "",
      repeated > 0 ? `${repeated} records read twice` : "",
    ];
    return remarks.filter(Boolean).join("; ") || undefined;
  },
};

/** The commits cover everything: a member that comes later has nothing to do. */
async function checkResume(
  bench: Bench,
  { group, topic, count }: { group: string; topic: string; count: number },
): Promise<void> {
  const committed = await bench.agent.run("committed", { group, topic, partitions: PARTITIONS });
  const offsets = committed["offsets"] as number[];
  expectEqual(
    offsets.reduce((sum, offset) => sum + offset, 0),
    count,
    "committed offsets after the kill",
  );
}
