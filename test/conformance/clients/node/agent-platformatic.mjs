/** Drives @platformatic/kafka. Usage: agent-platformatic.mjs BOOTSTRAP; commands: see agent-loop.mjs. */

import { setTimeout as sleep } from "node:timers/promises";
import {
  Admin,
  ConfigResourceTypes,
  Consumer,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
  Producer,
} from "@platformatic/kafka";
import { produceAll, RecordWriter, serve, streamAll } from "./agent-loop.mjs";

const BASE = { bootstrapBrokers: [process.argv[2]], retries: 30, retryDelay: 500, timeout: 5_000 };
/** The library repeats some requests that were refused for good. */
const ADMIN = { ...BASE, retries: 3, retryDelay: 100, clientId: "admin" };
const COMMIT_EVERY_MS = 50;
const SPECIAL_TIMES = { earliest: -2n, latest: -1n, max: -3n };

async function withProducer(call, work) {
  const producer = new Producer({
    ...BASE,
    clientId: `producer-${call.id}`,
    idempotent: call.idempotent,
    acks: -1,
    compression: call.codec ?? "none",
  });
  try {
    return await work(async (records) => {
      const messages = records.map((record) => messageOf(call.topic, record));
      const { offsets } = await producer.send({ messages, acks: -1 });
      return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
    });
  } finally {
    await producer.close();
  }
}

async function withAdmin(work) {
  const admin = new Admin(ADMIN);
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

/** Reads all partitions from the start; the library reads by hand only with offsets for all of them. */
async function consume(call) {
  const groupId = `reader-${call.topic}-${call.id}-${Date.now()}`;
  const consumer = new Consumer({ ...BASE, clientId: groupId, groupId, maxWaitTime: 200 });
  const writer = new RecordWriter(call.output);
  const mode = MessagesStreamModes.EARLIEST;
  const stream = await consumer.consume({ topics: [call.topic], mode, autocommit: false });
  const timer = setTimeout(() => stream.close(), call.timeoutMs);
  for await (const message of stream) {
    writer.write(recordOf(message));
    if (writer.count >= call.count) break;
  }
  clearTimeout(timer);
  await consumer.close(true);
  await writer.close();
  return { count: writer.count };
}

/** Commits what was written many times a second, and all of it before it leaves. */
async function join(call) {
  const consumer = new Consumer({
    ...BASE,
    clientId: `member-${call.id}`,
    groupId: call.group,
    sessionTimeout: 10_000,
    rebalanceTimeout: 10_000,
    heartbeatInterval: 500,
    maxWaitTime: 200,
  });
  const writer = new RecordWriter(call.output);
  const ownPartitions = () => {
    const own = consumer.assignments?.find(({ topic }) => topic === call.topic);
    return [...(own?.partitions ?? [])].sort((a, b) => a - b);
  };
  consumer.on("consumer:group:join", () => {
    call.event("assignment", { partitions: ownPartitions() });
  });
  const stream = await consumer.consume({
    topics: [call.topic],
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    autocommit: false,
  });
  call.onStop = () => stream.close();
  if (call.isStopped) call.onStop();
  const uncommitted = new Map();
  const committing = commitRepeatedly({ call, consumer, writer, uncommitted, ownPartitions });
  for await (const message of stream) {
    const { topic, partition, offset, leaderEpoch } = message;
    writer.write(recordOf(message));
    uncommitted.set(partition, { topic, partition, offset: offset + 1n, leaderEpoch });
  }
  await committing;
  await consumer.close(true);
  await writer.close();
  call.event("received", { count: writer.count });
  return { count: writer.count };
}

/** Until the member is stopped and nothing is left to commit. What moved to another member is that one's to commit. */
async function commitRepeatedly({ call, consumer, writer, uncommitted, ownPartitions }) {
  let reported = 0;
  while (!call.isStopped || uncommitted.size > 0) {
    await sleep(COMMIT_EVERY_MS);
    const own = ownPartitions();
    for (const partition of uncommitted.keys()) {
      if (!own.includes(partition)) uncommitted.delete(partition);
    }
    const offsets = [...uncommitted.values()];
    if (offsets.length > 0) {
      try {
        await consumer.commit({ offsets });
        for (const entry of offsets) {
          if (uncommitted.get(entry.partition) === entry) uncommitted.delete(entry.partition);
        }
      } catch (error) {
        process.stderr.write(`commit: ${error.message}\n`); // In a rebalance: a later try takes its place.
      }
    }
    if (reported !== writer.count) {
      reported = writer.count;
      call.event("received", { count: reported });
    }
  }
}

/** Headers are a Map with the bytes of the name as key: two equal names are two keys. */
function messageOf(topic, { partition, timestamp, key, value, headers }) {
  return {
    topic,
    partition,
    key,
    value,
    headers: new Map(headers.map(([name, content]) => [Buffer.from(name), content])),
    ...(timestamp === undefined ? {} : { timestamp: BigInt(timestamp) }),
  };
}

function recordOf({ partition, offset, timestamp, key, value, headerEntries }) {
  return { partition, offset, timestamp, key, value, headers: headerEntries };
}

serve({
  produce: (call) => withProducer(call, (send) => produceAll(call, send)),
  stream: (call) => withProducer(call, (send) => streamAll(call, send)),
  consume,
  join,
  createTopic: ({ topic, partitions, configs }) =>
    withAdmin(async (admin) => {
      const entries = Object.entries(configs).map(([name, value]) => ({ name, value }));
      await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: entries });
    }),
  createPartitions: ({ topic, total }) =>
    withAdmin(async (admin) => {
      await admin.createPartitions({ topics: [{ name: topic, count: total, assignments: null }] });
    }),
  describeTopic: ({ topic }) =>
    withAdmin(async (admin) => {
      const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
      return { partitions: topics.get(topic).partitionsCount };
    }),
  listTopics: () => withAdmin(async (admin) => ({ topics: await admin.listTopics() })),
  describeConfigs: ({ topic }) =>
    withAdmin(async (admin) => {
      const resourceType = ConfigResourceTypes.TOPIC;
      const resources = [{ resourceType, resourceName: topic, configurationKeys: null }];
      const [found] = await admin.describeConfigs({ resources });
      return { configs: Object.fromEntries(found.configs.map(({ name, value }) => [name, value])) };
    }),
  deleteTopic: ({ topic }) =>
    withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
    }),
  deleteRecords: ({ topic, partition, before }) =>
    withAdmin(async (admin) => {
      const partitions = [{ partition, offset: BigInt(before) }];
      await admin.deleteRecords({ topics: [{ name: topic, partitions }] });
    }),
  listOffsets: ({ topic, partition, at }) =>
    withAdmin(async (admin) => {
      const timestamp = SPECIAL_TIMES[at] ?? BigInt(at);
      const partitions = [{ partitionIndex: partition, timestamp }];
      const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions }] });
      const answer = found.partitions[0];
      return { offset: Number(answer.offset), timestampMs: Number(answer.timestamp) };
    }),
  committed: ({ group, topic, partitions }) =>
    withAdmin(async (admin) => {
      const indexes = Array.from({ length: partitions }, (_, index) => index);
      const topics = [{ name: topic, partitionIndexes: indexes }];
      const [found] = await admin.listConsumerGroupOffsets({
        groups: [{ groupId: group, topics }],
      });
      const ordered = [...found.topics[0].partitions].sort(
        (a, b) => a.partitionIndex - b.partitionIndex,
      );
      return { offsets: ordered.map(({ committedOffset }) => Number(committedOffset)) };
    }),
  listGroups: () =>
    withAdmin(async (admin) => ({ groups: [...(await admin.listGroups()).keys()] })),
  describeGroup: ({ group }) =>
    withAdmin(async (admin) => {
      const found = (await admin.describeGroups({ groups: [group] })).get(group);
      return { state: stateName(found.state), members: found.members.size };
    }),
  deleteGroup: ({ group }) =>
    withAdmin(async (admin) => {
      await admin.deleteGroups({ groups: [group] });
    }),
});

/** PREPARING_REBALANCE as the other clients write it. */
function stateName(state) {
  const words = state.toLowerCase().split("_");
  return words.map((word) => word[0].toUpperCase() + word.slice(1)).join("");
}
