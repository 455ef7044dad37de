/** Drives kafkajs. Usage: agent-kafkajs.mjs BOOTSTRAP; commands: see agent-loop.mjs. */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import kafkajs from "kafkajs";
import snappy from "kafkajs-snappy";
import lz4 from "lz4-napi";
import { produceAll, RecordWriter, serve, streamAll } from "./agent-loop.mjs";

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrameSync(encoder.buffer),
  decompress: async (bytes) => lz4.decompressFrameSync(bytes),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zstdCompressSync(encoder.buffer),
  decompress: async (bytes) => zstdDecompressSync(bytes),
});
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

const kafka = new Kafka({
  brokers: [process.argv[2]],
  logLevel: logLevel.ERROR,
  logCreator: () => (entry) => process.stderr.write(`${JSON.stringify(entry)}\n`),
  retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 40 },
});

async function withProducer(call, work) {
  const producer = kafka.producer({ idempotent: call.idempotent, maxInFlightRequests: 1 });
  await producer.connect();
  try {
    return await work(async (records) => {
      const sent = await producer.send({
        topic: call.topic,
        acks: -1,
        compression: CODECS[call.codec ?? "none"],
        messages: records.map(messageOf),
      });
      return new Map(sent.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]));
    });
  } finally {
    await producer.disconnect();
  }
}

async function withAdmin(work) {
  const admin = kafka.admin({ retry: { retries: 3 } }); // Refusals are repeated too.
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Runs a consumer until `isDone`; it belongs to a group, since kafkajs knows no other kind. */
async function consumeUntil({ call, groupId, commits, isDone }) {
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 500, maxWaitTimeInMs: 200 });
  const writer = new RecordWriter(call.output);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const partitions = payload.memberAssignment[call.topic] ?? [];
    call.event("assignment", { partitions: [...partitions].sort((a, b) => a - b) });
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [call.topic], fromBeginning: true });
  const done = new Promise((resolve) => {
    call.onStop = resolve;
    if (call.isStopped) resolve();
    setTimeout(resolve, call.timeoutMs ?? 600_000).unref();
    consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) writer.write(recordOf(batch.partition, message));
        if (commits) await commit(consumer, batch);
        call.event("received", { count: writer.count });
        if (isDone(writer.count)) resolve();
      },
    });
  });
  await done;
  await consumer.disconnect();
  await writer.close();
  return { count: writer.count };
}

async function commit(consumer, { topic, partition, messages }) {
  const last = messages.at(-1);
  if (!last) return;
  const offset = String(Number(last.offset) + 1);
  await consumer.commitOffsets([{ topic, partition, offset }]);
}

function messageOf({ partition, timestamp, key, value, headers }) {
  const grouped = {};
  for (const [name, content] of headers) grouped[name] = [...(grouped[name] ?? []), content];
  const time = timestamp === undefined ? undefined : String(timestamp);
  return { partition, timestamp: time, key, value, headers: grouped };
}

function recordOf(partition, { offset, timestamp, key, value, headers }) {
  const flat = Object.entries(headers ?? {}).flatMap(([name, content]) =>
    (Array.isArray(content) ? content : [content]).map((one) => [name, one]),
  );
  return { partition, offset, timestamp, key, value, headers: flat };
}

serve({
  produce: (call) => withProducer(call, (send) => produceAll(call, send)),
  stream: (call) => withProducer(call, (send) => streamAll(call, send)),
  consume: (call) =>
    consumeUntil({
      call,
      groupId: `reader-${call.topic}-${call.id}-${Date.now()}`,
      commits: false,
      isDone: (count) => count >= call.count,
    }),
  join: (call) => consumeUntil({ call, groupId: call.group, commits: true, isDone: () => false }),
  createTopic: ({ topic, partitions, configs }) =>
    withAdmin(async (admin) => {
      const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
      const wanted = { topic, numPartitions: partitions, replicationFactor: 1, configEntries };
      const isCreated = await admin.createTopics({ topics: [wanted], waitForLeaders: false });
      if (!isCreated) throw new Error("The topic exists."); // The library says it by a boolean.
    }),
  createPartitions: ({ topic, total }) =>
    withAdmin(async (admin) => {
      await admin.createPartitions({ topicPartitions: [{ topic, count: total }] });
    }),
  describeTopic: ({ topic }) =>
    withAdmin(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return { partitions: topics[0].partitions.length };
    }),
  listTopics: () => withAdmin(async (admin) => ({ topics: await admin.listTopics() })),
  describeConfigs: ({ topic }) =>
    withAdmin(async (admin) => {
      const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
      const found = await admin.describeConfigs({ resources, includeSynonyms: false });
      const entries = found.resources[0].configEntries;
      return { configs: Object.fromEntries(entries.map((it) => [it.configName, it.configValue])) };
    }),
  deleteTopic: ({ topic }) =>
    withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
    }),
  deleteRecords: ({ topic, partition, before }) =>
    withAdmin(async (admin) => {
      // The library deletes records only of topics whose leaders it knows already.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: `${before}` }] });
    }),
  listOffsets: ({ topic, partition, at }) =>
    withAdmin(async (admin) => {
      if (at === "max") return { unsupported: true };
      if (at === "earliest" || at === "latest") {
        const offsets = await admin.fetchTopicOffsets(topic);
        const found = offsets.find((it) => it.partition === partition);
        return { offset: Number(at === "earliest" ? found.low : found.high) };
      }
      const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, at);
      return { offset: Number(offsets.find((it) => it.partition === partition).offset) };
    }),
  committed: ({ group, topic, partitions }) =>
    withAdmin(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const offsets = new Map(found.partitions.map((it) => [it.partition, Number(it.offset)]));
      return { offsets: Array.from({ length: partitions }, (_, index) => offsets.get(index)) };
    }),
  listGroups: () =>
    withAdmin(async (admin) => {
      const { groups } = await admin.listGroups();
      return { groups: groups.map(({ groupId }) => groupId) };
    }),
  describeGroup: ({ group }) =>
    withAdmin(async (admin) => {
      const { groups } = await admin.describeGroups([group]);
      return { state: groups[0].state, members: groups[0].members.length };
    }),
  deleteGroup: ({ group }) =>
    withAdmin(async (admin) => {
      await admin.deleteGroups([group]);
    }),
});
