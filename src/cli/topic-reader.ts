/**
 * Reads partitions of a topic from given positions on, in rounds: one fetch from each leader at a time. It survives
 * moved leaders and a broker that is restarted; records come in the order of their offsets within a partition.
 */

import type { Clock } from "../core/clock.ts";
import type { LogPosition } from "../http/log-position.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { FetchResponsePartitionData } from "../protocol/generated/fetch-response.ts";
import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OFFSET,
  BATCH_LENGTH_OVERHEAD_BYTES,
  type BatchHeader,
  batchEndOf,
  verifyBatch,
} from "../protocol/record-batch.ts";
import {
  byLeader,
  EARLIEST,
  KafkaClient,
  LATEST,
  type TopicLeaders,
  topicError,
} from "./kafka-client.ts";
import { ConnectionError } from "./kafka-connection.ts";

/** A whole batch, checked; records before `fromOffset` were not asked for. */
export interface FetchedBatch {
  readonly partition: number;
  readonly fromOffset: number;
  readonly header: BatchHeader;
  readonly bytes: Uint8Array;
}

export interface TopicReaderOptions {
  readonly bootstrap: string;
  readonly topic: string;
  /** Undefined: all there are now. */
  readonly partition: number | undefined;
  readonly from: LogPosition;
  readonly clock: Clock;
  /** Something that the person may want to know. */
  tell(sentence: string): void;
}

/** How long a cluster may be away before it is given up. */
const AWAY_MS_MAX = 30_000;
const RETRY_MS = 250;

/** The leader is another one now, or soon. */
const MOVED_CODES: ReadonlySet<number> = new Set([
  ErrorCode.notLeaderOrFollower,
  ErrorCode.leaderNotAvailable,
  ErrorCode.replicaNotAvailable,
  ErrorCode.fencedLeaderEpoch,
  ErrorCode.unknownLeaderEpoch,
  ErrorCode.offsetNotAvailable,
]);

export class TopicReader {
  readonly #options: TopicReaderOptions;
  #client: KafkaClient;
  #topic: TopicLeaders;
  /** The next offset of each partition. */
  readonly #positions: Map<number, number>;
  #awaySinceMs: number | undefined;

  private constructor(
    options: TopicReaderOptions,
    start: { client: KafkaClient; topic: TopicLeaders; positions: Map<number, number> },
  ) {
    this.#options = options;
    this.#client = start.client;
    this.#topic = start.topic;
    this.#positions = start.positions;
  }

  /** @throws ConnectionError, KafkaError if there is no such topic or partition */
  static async open(options: TopicReaderOptions): Promise<TopicReader> {
    const client = await KafkaClient.connect(options.bootstrap, options.clock);
    try {
      const whole = await client.topic(options.topic, { mayCreate: false });
      const isWanted = (partition: number): boolean =>
        options.partition === undefined || partition === options.partition;
      const partitions = whole.partitions.filter(({ partition }) => isWanted(partition));
      if (partitions.length === 0) {
        throw new KafkaError(
          ErrorCode.unknownTopicOrPartition,
          `Topic '${options.topic}' has no partition ${options.partition}.`,
        );
      }
      const topic = { ...whole, partitions };
      const positions = await startOffsets(client, topic, options.from);
      return new TopicReader(options, { client, topic, positions });
    } catch (thrown) {
      client.close();
      throw thrown;
    }
  }

  close(): void {
    this.#client.close();
  }

  /** The ends of the partitions as they are now: next offsets to be written. */
  ends(): Promise<Map<number, number>> {
    return this.#client.offsets(this.#topic, LATEST);
  }

  /** Whether everything before `ends` was read. */
  hasReached(ends: ReadonlyMap<number, number>): boolean {
    for (const [partition, offset] of this.#positions) {
      if (offset < (ends.get(partition) ?? 0)) return false;
    }
    return true;
  }

  /** What is there to read on; after a moment nothing, if there is nothing new. Moves on behind it. */
  async read(): Promise<FetchedBatch[]> {
    try {
      const batches = await this.#round();
      this.#awaySinceMs = undefined;
      return batches;
    } catch (thrown) {
      const isMoved = thrown instanceof KafkaError && MOVED_CODES.has(thrown.code);
      if (!isMoved && !(thrown instanceof ConnectionError)) throw thrown;
      await this.#recover(thrown);
      return [];
    }
  }

  async #round(): Promise<FetchedBatch[]> {
    const rounds = [...byLeader(this.#topic.partitions)].map(([leaderId, partitions]) => {
      const positions = partitions.map(({ partition }) => ({
        partition,
        offset: this.#positions.get(partition) ?? 0,
      }));
      return this.#client.fetch(this.#topic.name, leaderId, positions);
    });
    const batches: FetchedBatch[] = [];
    let failure: KafkaError | undefined;
    for (const answer of (await Promise.all(rounds)).flat()) {
      const { errorCode, partitionIndex } = answer;
      if (errorCode === ErrorCode.none) batches.push(...this.#batchesOf(answer));
      else if (errorCode === ErrorCode.offsetOutOfRange) await this.#reset(partitionIndex);
      else failure = topicError(errorCode, this.#topic.name);
    }
    // What was read is behind the positions already: it must be shown first.
    if (failure !== undefined && batches.length === 0) throw failure;
    return batches;
  }

  #batchesOf({ partitionIndex, records }: FetchResponsePartitionData): FetchedBatch[] {
    const batches: FetchedBatch[] = [];
    const fromOffset = this.#positions.get(partitionIndex) ?? 0;
    for (const bytes of wholeBatches(records ?? new Uint8Array(0))) {
      const header = verifyBatch(bytes, 0, bytes.length);
      batches.push({ partition: partitionIndex, fromOffset, header, bytes });
      this.#positions.set(partitionIndex, header.baseOffset + header.lastOffsetDelta + 1);
    }
    return batches;
  }

  /** The offset is gone: on from the oldest or the newest there is. */
  async #reset(partition: number): Promise<void> {
    const position = this.#positions.get(partition) ?? 0;
    const start = (await this.#client.offsets(this.#topic, EARLIEST)).get(partition) ?? 0;
    const end = (await this.ends()).get(partition) ?? 0;
    const offset = position < start ? start : end;
    this.#options.tell(`Offset ${position} of partition ${partition} is gone; on from ${offset}.`);
    this.#positions.set(partition, offset);
  }

  async #recover(failure: Error): Promise<void> {
    const { bootstrap, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#awaySinceMs ??= nowMs;
    if (nowMs - this.#awaySinceMs > AWAY_MS_MAX) throw failure;
    await this.#client.pause(RETRY_MS);
    try {
      const client = await KafkaClient.connect(bootstrap, clock);
      this.#client.close();
      this.#client = client;
      const { name } = this.#topic;
      const { partitions } = await client.topic(name, { mayCreate: false });
      const read = partitions.filter(({ partition }) => this.#positions.has(partition));
      this.#topic = { ...this.#topic, partitions: read };
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
    }
  }
}

/** Where to begin in each partition, never outside of it. */
async function startOffsets(
  client: KafkaClient,
  topic: TopicLeaders,
  from: LogPosition,
): Promise<Map<number, number>> {
  const starts = await client.offsets(topic, EARLIEST);
  const ends = await client.offsets(topic, LATEST);
  const found =
    from.kind === "time"
      ? await client.offsets(topic, from.timestampMs)
      : new Map<number, number>();
  const offsetIn = (partition: number, end: number): number => {
    switch (from.kind) {
      case "beginning":
        return 0;
      case "end":
        return end;
      case "offset":
        return from.offset;
      case "beforeEnd":
        return end - from.offsetCount;
      case "time": {
        const offset = found.get(partition) ?? -1;
        return offset === -1 ? end : offset;
      }
    }
  };
  return new Map(
    topic.partitions.map(({ partition }) => {
      const [start, end] = [starts.get(partition) ?? 0, ends.get(partition) ?? 0];
      return [partition, Math.min(Math.max(offsetIn(partition, end), start), end)];
    }),
  );
}

/** The batches that are whole: brokers cut the last one where the answer is full. */
function* wholeBatches(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let position = 0;
  while (position + BATCH_HEADER_BYTES <= bytes.length) {
    const sizeBytes = BATCH_LENGTH_OVERHEAD_BYTES + view.getInt32(position + BATCH_LENGTH_OFFSET);
    if (position + sizeBytes > bytes.length) return;
    const end = batchEndOf(bytes, position);
    yield bytes.subarray(position, end);
    position = end;
  }
}
