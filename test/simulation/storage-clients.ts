/** What clients ask of a storage: each request is noted in the model when it is made, and when it is answered. */

import type { Storage } from "../../src/broker-storage.ts";
import type { Random } from "../../src/core/clock.ts";
import type { Partition } from "../../src/log/partition.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { randomUuid } from "../../src/protocol/uuid.ts";
import type { CrashPoint } from "./crash-point.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { StorageModel } from "./storage-judge.ts";
import {
  demand,
  type PartitionModel,
  type ProducerFields,
  type StorageCounts,
  sentBatch,
  TopicModel,
} from "./storage-model.ts";

const TOPICS_MAX = 5;
const PARTITIONS_MAX = 4;

/** What one process knows. */
export interface Life {
  readonly crash: CrashPoint;
  readonly clock: SimulatedClock;
  storage: Storage | undefined;
  hasFailed: boolean;
}

export interface StorageClientsOptions {
  readonly random: Random;
  readonly model: StorageModel;
  readonly counts: StorageCounts;
  /** A request was refused, in whichever life. */
  readonly onRefused: (life: Life, thrown: unknown) => void;
}

/** All clients together. None of them waits for an answer. */
export class StorageClients {
  readonly #random: Random;
  readonly #model: StorageModel;
  readonly #counts: StorageCounts;
  readonly #onRefused: (life: Life, thrown: unknown) => void;

  constructor({ random, model, counts, onRefused }: StorageClientsOptions) {
    this.#random = random;
    this.#model = model;
    this.#counts = counts;
    this.#onRefused = onRefused;
  }

  append(life: Life): void {
    for (let left = 1 + this.#below(6); left > 0; left -= 1) {
      const place = this.place(life);
      if (place === undefined) return;
      const { partition, model } = place;
      const producer = this.#random() < 0.5 ? this.#producerOf(model) : undefined;
      const valueBytes = this.#random() < 0.1 ? 2500 : 1 + this.#below(300);
      const sizes = { recordCount: 1 + this.#below(3), valueBytes };
      this.#send(life, { partition, model }, sentBatch(sizes, life.clock.nowMs(), producer));
    }
  }

  #producerOf(model: PartitionModel): ProducerFields {
    const producerId = this.#model.producerIds[this.#below(this.#model.producerIds.length)] ?? 0;
    const last = model.lastOf(producerId).at(-1)?.header;
    if (last === undefined) return { producerId, producerEpoch: 0, baseSequence: 0 };
    const { producerEpoch, baseSequence, lastOffsetDelta } = last;
    if (this.#random() < 0.05) {
      return { producerId, producerEpoch: producerEpoch + 1, baseSequence: 0 };
    }
    return { producerId, producerEpoch, baseSequence: baseSequence + lastOffsetDelta + 1 };
  }

  #send(
    life: Life,
    { partition, model }: { partition: Partition; model: PartitionModel },
    bytes: Uint8Array,
  ): void {
    const { wal, logs } = storageOf(life);
    if (!wal.hasRoom(bytes.length)) {
      // Only that it goes on matters here.
      void wal.whenRoom(bytes.length).catch(() => {});
      return;
    }
    const header = readBatchHeader(bytes, 0);
    const appended = logs.append(partition, { bytes, start: 0, end: bytes.length, header });
    demand(!appended.isDuplicate, `${model.name}: a new batch is taken for a repeated one`);
    const stored = wal.viewOf(appended.endAddress - bytes.length, bytes.length);
    demand(stored !== undefined, "it has just been appended");
    model.add(stored.slice());
    this.#counts.appended += 1;
    const { endOffset } = model;
    if (this.#random() < 0.5) return;
    this.#whenDone(life, wal.whenDurable(appended.endAddress), () => {
      model.shownOffset = Math.max(model.shownOffset, endOffset);
    });
  }

  /** A client that got no answer sends its batch again. */
  repeat(life: Life): void {
    const place = this.place(life);
    if (place === undefined) return;
    const { partition, model } = place;
    const sent = model.lastOf(
      this.#model.producerIds[this.#below(this.#model.producerIds.length)] ?? 0,
    );
    const batch = sent[this.#below(sent.length)];
    if (batch === undefined) return;
    const { bytes, header } = batch;
    const again = storageOf(life).logs.append(partition, {
      ...{ bytes, start: 0, end: bytes.length, header },
    });
    const isKnown = again.isDuplicate && again.baseOffset === header.baseOffset;
    demand(isKnown, `${model.name}: the batch at ${header.baseOffset} is taken for a new one`);
    this.#counts.duplicates += 1;
  }

  deleteRecords(life: Life): void {
    const place = this.place(life);
    if (place === undefined) return;
    const { partition, model } = place;
    const { highWatermark, logStartOffset, topic } = partition;
    if (highWatermark === logStartOffset) return;
    const isAll = this.#random() < 0.3;
    const kept = isAll ? 0 : this.#below(highWatermark - logStartOffset);
    const offset = highWatermark - kept;
    model.logStart.ask(offset);
    const offsets = [{ partition: partition.index, offset }];
    const { meta } = storageOf(life);
    const command = { kind: "logStartOffsetsSet", topicId: topic.topicId, offsets } as const;
    this.#whenDone(life, meta.commit(command), () => {
      model.logStart.promise(offset);
      this.#counts.deletedRecords += 1;
    });
  }

  createTopic(life: Life): void {
    const living = this.#model.topics.filter(({ state }) => state !== "gone");
    if (living.length >= TOPICS_MAX) return;
    const partitionCount = 1 + this.#below(3);
    const name = `t${this.#model.topics.length}`;
    const model = new TopicModel(randomUuid(), name, partitionCount);
    this.#model.topics.push(model);
    const { topicId } = model;
    const topic = { topicId, name, partitionCount, configs: {}, createdMs: 0 };
    this.#whenDone(life, storageOf(life).meta.commit({ kind: "topicCreated", topic }), () => {
      model.state = "there";
    });
  }

  deleteTopic(life: Life): void {
    const topic = this.#topic();
    if (topic === undefined) return;
    const { topicId, name } = topic;
    topic.state = "deleting";
    this.#whenDone(
      life,
      storageOf(life).meta.commit({ kind: "topicDeleted", topicId, name }),
      () => {
        topic.state = "gone";
        this.#counts.deletedTopics += 1;
      },
    );
  }

  growTopic(life: Life): void {
    const topic = this.#topic();
    if (topic === undefined || topic.partitionCount.promised >= PARTITIONS_MAX) return;
    const { topicId } = topic;
    const partitionCount = topic.partitionCount.promised + 1;
    topic.partitionCount.ask(partitionCount);
    const { meta } = storageOf(life);
    this.#whenDone(life, meta.commit({ kind: "partitionsAdded", topicId, partitionCount }), () =>
      topic.partitionCount.promise(partitionCount),
    );
  }

  commitOffset(life: Life): void {
    const { committedOffset } = this.#model;
    const offset = this.#counts.appended + this.#counts.lives;
    if (offset <= committedOffset.promised) return;
    committedOffset.ask(offset);
    const entry = { topic: "any", partition: 0, offset, leaderEpoch: -1, metadata: "" };
    const offsets = [{ ...entry, commitTimestampMs: 0 }];
    const { meta } = storageOf(life);
    this.#whenDone(
      life,
      meta.commit({ kind: "offsetsCommitted", groupId: this.#model.groupId, offsets }),
      () => committedOffset.promise(offset),
    );
  }

  #topic(): TopicModel | undefined {
    const topics = this.#model.topics.filter(({ state }) => state === "there");
    return topics[this.#below(topics.length)];
  }

  place(life: Life): { partition: Partition; model: PartitionModel } | undefined {
    const topic = this.#topic();
    if (topic === undefined) return undefined;
    const index = this.#below(topic.partitionCount.promised);
    const partition = storageOf(life).logs.partition(topic.topicId, index);
    if (partition === undefined) return undefined;
    return { partition, model: topic.partition(index) };
  }

  /** What is told to a client while the process lives. */
  #whenDone(life: Life, promise: Promise<void>, onDone: () => void): void {
    void promise.then(
      () => {
        if (!life.crash.hasHappened) onDone();
      },
      (thrown: unknown) => this.#onRefused(life, thrown),
    );
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** The storage of a life that is open. */
export function storageOf({ storage }: Life): Storage {
  if (storage === undefined) throw new Error("not open");
  return storage;
}
