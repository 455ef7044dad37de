/**
 * Sends records to a topic's partitions, each in the order in which they came. A partition has one batch under way at
 * a time; what comes meanwhile becomes the next one, so that single lines go out at once and many go out together.
 *
 * A batch that the broker refuses for one of its records is cut in two, until the record alone is refused; everything
 * else that goes wrong ends the sending.
 */

import type { Clock, Random } from "../core/clock.ts";
import { batchOf, encodeBatch } from "../protocol/canonical-record.ts";
import type { CompressionType } from "../protocol/compression-type.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { RecordHeader } from "../protocol/record-writer.ts";
import type { KafkaClient, PartitionLeader, TopicLeaders } from "./kafka-client.ts";
import { partitionOf } from "./partitioner.ts";

export interface OutgoingRecord {
  /** Where in the input it was, counted from 1. */
  readonly line: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

export interface RecordSenderOptions {
  readonly client: KafkaClient;
  readonly topic: TopicLeaders;
  readonly compression: CompressionType;
  /** Undefined: by key, or any. */
  readonly partition: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** They follow each other from that offset on. The next batch waits for it. */
  onDelivered(
    records: readonly OutgoingRecord[],
    place: { readonly partition: number; readonly baseOffset: number },
  ): Promise<void>;
  /** The broker refused this record; the others go on. */
  onRefused(record: OutgoingRecord, reason: string): void;
}

interface Queue {
  readonly partition: number;
  records: OutgoingRecord[];
  sizeBytes: number;
  sending: Promise<void> | undefined;
}

/** Below the brokers' default limit of 1 MiB, which counts after compression. */
const BATCH_BYTES_MAX = 512 * 1024;
const BATCH_RECORDS_MAX = 10_000;
/** Of all records that wait; then `add` waits. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** A record's part in the batch beside its key, value and headers, about. */
const RECORD_OVERHEAD_BYTES = 24;
/** For a leader that has moved, or replicas that are missing. */
const RETRY_MS_MAX = 10_000;
const RETRY_MS = 200;

/** The fault is one record's. */
const RECORD_CODES: ReadonlySet<number> = new Set([
  ErrorCode.messageTooLarge,
  ErrorCode.recordListTooLarge,
  ErrorCode.invalidRecord,
  ErrorCode.invalidTimestamp,
]);
/** Nothing was appended, and soon it may be. */
const RETRIED_CODES: ReadonlySet<number> = new Set([
  ErrorCode.notLeaderOrFollower,
  ErrorCode.leaderNotAvailable,
  ErrorCode.notEnoughReplicas,
]);

export class RecordSender {
  readonly #options: RecordSenderOptions;
  readonly #queues = new Map<number, Queue>();
  #topic: TopicLeaders;
  #waitingBytes = 0;
  /** Records without a key go here until a batch is full. */
  #anyIndex: number;
  readonly #failure = Promise.withResolvers<never>();

  constructor(options: RecordSenderOptions) {
    this.#options = options;
    this.#topic = options.topic;
    this.#anyIndex = Math.floor(options.random() * options.topic.partitions.length);
    this.#failure.promise.catch(() => {}); // For whoever looks.
  }

  /** Rejects when the sending has ended for good. */
  get failure(): Promise<never> {
    return this.#failure.promise;
  }

  /** Takes a record; waits while too many do. @throws what has ended the sending */
  async add(record: OutgoingRecord): Promise<void> {
    const queue = this.#queueOf(this.#partitionOf(record.key));
    const sizeBytes = sizeBytesOf(record);
    queue.records.push(record);
    queue.sizeBytes += sizeBytes;
    this.#waitingBytes += sizeBytes;
    const isFull = queue.sizeBytes >= BATCH_BYTES_MAX;
    if (isFull) this.#start(queue);
    if (isFull && record.key === null) this.#anyIndex += 1;
    while (this.#waitingBytes > WAITING_BYTES_MAX) await this.#oneSent();
  }

  /** Sends what waits, without waiting for it. */
  nudge(): void {
    for (const queue of this.#queues.values()) this.#start(queue);
  }

  /** Resolves when everything is delivered or refused. @throws what has ended the sending */
  async drain(): Promise<void> {
    this.nudge();
    for (const queue of this.#queues.values()) await queue.sending;
  }

  #partitionOf(key: Uint8Array | null): number {
    const { partitions } = this.#topic;
    if (this.#options.partition !== undefined) return this.#options.partition;
    const index =
      key === null ? this.#anyIndex % partitions.length : partitionOf(key, partitions.length);
    return partitions[index]?.partition ?? 0;
  }

  #queueOf(partition: number): Queue {
    let queue = this.#queues.get(partition);
    if (queue === undefined) {
      queue = { partition, records: [], sizeBytes: 0, sending: undefined };
      this.#queues.set(partition, queue);
    }
    return queue;
  }

  #start(queue: Queue): void {
    if (queue.sending !== undefined || queue.records.length === 0) return;
    queue.sending = this.#sendAll(queue);
    queue.sending.catch(this.#failure.reject);
  }

  /** Sends batch after batch until nothing waits. A failure stays in `sending`. */
  async #sendAll(queue: Queue): Promise<void> {
    while (queue.records.length > 0) {
      const batch = takeBatch(queue);
      await this.#deliver(queue.partition, batch);
      for (const record of batch) this.#waitingBytes -= sizeBytesOf(record);
    }
    queue.sending = undefined;
  }

  async #oneSent(): Promise<void> {
    this.nudge();
    const sending = [...this.#queues.values()].flatMap((queue) => queue.sending ?? []);
    await Promise.race(sending);
  }

  async #deliver(partition: number, records: readonly OutgoingRecord[]): Promise<void> {
    const { compression, onDelivered, onRefused } = this.#options;
    const batch = batchOf(
      records.map((record, offset) => ({ ...record, offset, attributes: 0 })),
      { compression },
    );
    try {
      const baseOffset = await this.#produce(partition, encodeBatch(batch));
      await onDelivered(records, { partition, baseOffset });
    } catch (thrown) {
      if (!(thrown instanceof KafkaError && RECORD_CODES.has(thrown.code))) throw thrown;
      const [first] = records;
      if (records.length === 1 && first !== undefined) {
        onRefused(first, thrown.message);
        return;
      }
      const middle = Math.ceil(records.length / 2);
      await this.#deliver(partition, records.slice(0, middle));
      await this.#deliver(partition, records.slice(middle));
    }
  }

  /** @returns the offset of the batch's first record */
  async #produce(partition: number, batch: Uint8Array): Promise<number> {
    const { client, clock } = this.#options;
    const { name } = this.#topic;
    const deadlineMs = clock.monotonicMs() + RETRY_MS_MAX;
    for (;;) {
      try {
        return await client.produce(name, this.#leaderOf(partition), batch);
      } catch (thrown) {
        const isRetried = thrown instanceof KafkaError && RETRIED_CODES.has(thrown.code);
        if (!isRetried || clock.monotonicMs() >= deadlineMs) throw thrown;
        await client.pause(RETRY_MS);
        this.#topic = await client.topic(name, { mayCreate: false });
      }
    }
  }

  #leaderOf(wanted: number): PartitionLeader {
    const leader = this.#topic.partitions.find(({ partition }) => partition === wanted);
    if (leader !== undefined) return leader;
    const sentence = `Topic '${this.#topic.name}' has no partition ${wanted}.`;
    throw new KafkaError(ErrorCode.unknownTopicOrPartition, sentence);
  }
}

/** The next batch of the queue: as much as fits, but one record at least. */
function takeBatch(queue: Queue): OutgoingRecord[] {
  let batchBytes = 0;
  let count = 0;
  for (const record of queue.records) {
    batchBytes += sizeBytesOf(record);
    if (count === BATCH_RECORDS_MAX || (count > 0 && batchBytes > BATCH_BYTES_MAX)) break;
    count += 1;
  }
  const batch = queue.records.slice(0, count);
  queue.records = queue.records.slice(count);
  for (const record of batch) queue.sizeBytes -= sizeBytesOf(record);
  return batch;
}

function sizeBytesOf({ key, value, headers }: OutgoingRecord): number {
  let sizeBytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) sizeBytes += header.key.length + (header.value?.length ?? 0) + 4;
  return sizeBytes;
}
