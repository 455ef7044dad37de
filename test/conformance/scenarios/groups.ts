/**
 * A consumer group: three members share six partitions, one leaves, another joins, all leave; the commits stand at
 * the end, and a member that comes later gets only what was produced since.
 */

import { generateRecords } from "../records.ts";
import { type Bench, type Member, type Scenario, until } from "../scenario.ts";
import { expectEqual, expectTrue, type ReadRecord, verifyDelivered } from "../verify.ts";

const PARTITIONS = 6;
const ROUND_COUNT = 2_000;
const RESUME_COUNT = 300;

export const groups: Scenario = {
  name: "groups",
  title: "three members, one leaves, one joins; commits and resume",
  run: async (bench) => {
    const topic = bench.topicOf("groups");
    const group = bench.topicOf("group");
    await bench.createTopic(topic, PARTITIONS);
    const delivered: ReadRecord[] = [];
    const join = (name: string) => bench.join({ group, topic, name });
    let producedCount = await produceRound(bench, topic, ROUND_COUNT);

    const [a, b, c] = [join("a"), join("b"), join("c")];
    await settled("three members", [a, b, c], producedCount);
    const busy = await bench.agent.run("describeGroup", { group });
    expectEqual(busy, { state: "Stable", members: 3 }, "the group with three members");

    delivered.push(...(await c.leave()));
    producedCount += await produceRound(bench, topic, ROUND_COUNT);
    await settled("two members", [a, b], producedCount - delivered.length);

    const d = join("d");
    await settled("a new third member", [a, b, d], producedCount - delivered.length);
    producedCount += await produceRound(bench, topic, ROUND_COUNT);
    await settled("three members again", [a, b, d], producedCount - delivered.length);
    for (const member of [a, b, d]) delivered.push(...(await member.leave()));

    await checkCommits(bench, { group, topic });
    const resumedCount = await resume(bench, { group, topic });
    const written = (await bench.endOffsets(topic, PARTITIONS)).reduce((sum, end) => sum + end, 0);
    expectEqual(written, producedCount + RESUME_COUNT, "records in the topic");
    const expected = await bench.consume(topic, PARTITIONS, written);
    const repeated = verifyDelivered({ expected, delivered: [...delivered, ...resumedCount] });
    expectTrue(
      repeated === 0 || bench.client.repeatsAtRebalance === true,
      `${repeated} records were delivered twice`,
    );
    await deleteGroup(bench, group);
    return repeated > 0 ? `${repeated} records twice at a rebalance` : undefined;
  },
};

async function produceRound(bench: Bench, topic: string, count: number): Promise<number> {
  const records = generateRecords({
    count,
    partitions: PARTITIONS,
    baseTimestampMs: Date.now(),
    limits: bench.client.limits,
  });
  await bench.produce({ topic, records });
  return count;
}

/** Waits until the members share all partitions evenly and have received `count` records together. */
async function settled(what: string, members: readonly Member[], count: number): Promise<void> {
  const share = PARTITIONS / members.length;
  const isShared = () =>
    members.every((member) => member.partitions.length === share) &&
    new Set(members.flatMap((member) => member.partitions)).size === PARTITIONS;
  const isReceived = () => members.reduce((sum, member) => sum + member.receivedCount, 0) >= count;
  const failed = members.map((member) => member.failed);
  await until(`${what} share the partitions`, isShared, failed);
  await until(`${what} receive ${count} records`, isReceived, failed);
}

async function checkCommits(
  bench: Bench,
  { group, topic }: { group: string; topic: string },
): Promise<void> {
  const idle = await bench.agent.run("describeGroup", { group });
  expectEqual(idle, { state: "Empty", members: 0 }, "the group when all have left");
  const committed = await bench.agent.run("committed", { group, topic, partitions: PARTITIONS });
  const ends = await bench.endOffsets(topic, PARTITIONS);
  expectEqual(committed["offsets"], ends, "committed offsets");
}

/** A member that joins later. @returns what it received: only what was produced since the others left */
async function resume(
  bench: Bench,
  { group, topic }: { group: string; topic: string },
): Promise<ReadRecord[]> {
  await produceRound(bench, topic, RESUME_COUNT);
  const late = bench.join({ group, topic, name: "late" });
  const hasAll = () => late.receivedCount >= RESUME_COUNT;
  await until("a late member receives the rest", hasAll, [late.failed]);
  const received = await late.leave();
  expectEqual(received.length, RESUME_COUNT, "records for the late member");
  return received;
}

async function deleteGroup(bench: Bench, group: string): Promise<void> {
  const before = await bench.agent.run("listGroups");
  expectTrue((before["groups"] as string[]).includes(group), "the group is listed");
  await bench.agent.run("deleteGroup", { group });
  const after = await bench.agent.run("listGroups");
  expectTrue(!(after["groups"] as string[]).includes(group), "the deleted group is not listed");
}
