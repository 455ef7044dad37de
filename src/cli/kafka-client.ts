/**
 * A Kafka client for subcommands, no more than they need: topics, offsets, produce without idempotence, fetch without
 * sessions. It works against Apache Kafka too. Errors are sentences for the person at the terminal, with the broker's
 * own message where it sends one.
 */

import type { Clock } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { FetchResponsePartitionData } from "../protocol/generated/fetch-response.ts";
import type { MetadataResponse } from "../protocol/generated/metadata-response.ts";
import { UsageError } from "./arguments.ts";
import { type Address, ConnectionError, KafkaConnection } from "./kafka-connection.ts";
import {
  CREATE_TOPICS,
  DELETE_TOPICS,
  FETCH,
  LIST_OFFSETS,
  METADATA,
  PRODUCE,
} from "./spoken-apis.ts";

export interface PartitionLeader {
  readonly partition: number;
  /** -1 while there is none. */
  readonly leaderId: number;
}

export interface TopicLeaders {
  readonly name: string;
  readonly isInternal: boolean;
  /** In order. */
  readonly partitions: readonly PartitionLeader[];
}

/** A new topic; -1 leaves a number to the broker. */
export interface TopicWish {
  readonly name: string;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  readonly configs: ReadonlyMap<string, string>;
}

/** Where to read on. */
interface FetchPosition {
  readonly partition: number;
  readonly offset: number;
}

/** Times with a meaning of their own, for `offsets`. */
export const LATEST = -1;
export const EARLIEST = -2;

const PORT_DEFAULT = 9092;
const REQUEST_MS_MAX = 30_000;
/** Waits for a topic that is being created, or a leader that is being elected. */
const LEADER_MS_MAX = 5_000;
const LEADER_POLL_MS = 100;
const FETCH_WAIT_MS = 500;
const FETCH_BYTES_MAX = 8 * 1024 * 1024;
const FETCH_PARTITION_BYTES_MAX = 1024 * 1024;
const NO_FETCH_SESSION = -1;
const ALL_ACKS = -1;
const CONSUMER = -1;

/** Owns the connections to the brokers of one cluster. */
export class KafkaClient {
  readonly #clock: Clock;
  readonly #bootstrap: KafkaConnection;
  readonly #addresses = new Map<number, Address>();
  readonly #connections = new Map<number, Promise<KafkaConnection>>();
  #controllerId = -1;

  private constructor(bootstrap: KafkaConnection, clock: Clock) {
    this.#bootstrap = bootstrap;
    this.#clock = clock;
  }

  /** Asks the brokers of `bootstrap` (host:port, …) in their order. @throws ConnectionError of the last, UsageError */
  static async connect(bootstrap: string, clock: Clock): Promise<KafkaClient> {
    let failure: unknown;
    for (const address of bootstrap.split(",").map(addressOf)) {
      try {
        return new KafkaClient(await KafkaConnection.open(address, clock), clock);
      } catch (thrown) {
        if (!(thrown instanceof ConnectionError)) throw thrown;
        failure = thrown;
      }
    }
    throw failure;
  }

  close(): void {
    this.#bootstrap.close();
    for (const connecting of this.#connections.values()) {
      // One that failed has told so to whoever wanted it.
      void connecting.then((connection) => connection.close()).catch(() => {});
    }
  }

  /** All topics, by name. */
  async topics(): Promise<TopicLeaders[]> {
    const { topics } = await this.#metadata(null);
    return topics
      .filter(({ errorCode }) => errorCode === ErrorCode.none)
      .map(leadersOf)
      .sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /**
   * One topic. With `mayCreate` the broker may create it, if it does so by itself.
   * @throws KafkaError if there is none
   */
  async topic(name: string, options: { readonly mayCreate: boolean }): Promise<TopicLeaders> {
    const deadlineMs = this.#clock.monotonicMs() + LEADER_MS_MAX;
    for (;;) {
      const { topics } = await this.#metadata([name], options.mayCreate);
      const [topic] = topics;
      const errorCode = topic?.errorCode ?? ErrorCode.unknownTopicOrPartition;
      if (topic !== undefined && errorCode === ErrorCode.none) return leadersOf(topic);
      const isComing =
        errorCode === ErrorCode.leaderNotAvailable ||
        (options.mayCreate && errorCode === ErrorCode.unknownTopicOrPartition);
      if (!isComing || this.#clock.monotonicMs() >= deadlineMs) throw topicError(errorCode, name);
      await this.pause(LEADER_POLL_MS);
    }
  }

  /** By partition: the offset of the first record at or after `timestamp`, -1 if there is none; or of its meaning. */
  async offsets(topic: TopicLeaders, timestamp: number): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    for (const [leaderId, partitions] of byLeader(topic.partitions)) {
      const wanted = partitions.map(({ partition }) => ({ partitionIndex: partition, timestamp }));
      const topics = [{ name: topic.name, partitions: wanted }];
      const connection = await this.#connectionTo(leaderId);
      const answer = await connection.exchange(LIST_OFFSETS, { replicaId: CONSUMER, topics });
      for (const { partitionIndex, errorCode, offset } of answer.topics[0]?.partitions ?? []) {
        if (errorCode !== ErrorCode.none) throw topicError(errorCode, topic.name);
        found.set(partitionIndex, offset);
      }
    }
    return found;
  }

  /** Sends one batch with acks=all. @returns the offset of its first record. @throws KafkaError, ConnectionError */
  async produce(topic: string, leader: PartitionLeader, records: Uint8Array): Promise<number> {
    const connection = await this.#connectionTo(leader.leaderId);
    const partitionData = [{ index: leader.partition, records }];
    const topicData = [{ name: topic, partitionData }];
    const request = { acks: ALL_ACKS, timeoutMs: REQUEST_MS_MAX, topicData };
    const { responses } = await connection.exchange(PRODUCE, request, REQUEST_MS_MAX);
    const answer = responses[0]?.partitionResponses[0];
    if (answer === undefined) throw new Error("The broker's answer says nothing of the partition.");
    if (answer.errorCode !== ErrorCode.none) {
      throw topicError(answer.errorCode, topic, answer.errorMessage);
    }
    return answer.baseOffset;
  }

  /** Reads from one leader; waits a moment if there is nothing new. */
  async fetch(
    topic: string,
    leaderId: number,
    positions: readonly FetchPosition[],
  ): Promise<readonly FetchResponsePartitionData[]> {
    const connection = await this.#connectionTo(leaderId);
    const partitions = positions.map(({ partition, offset }) => ({
      partition,
      fetchOffset: offset,
      partitionMaxBytes: FETCH_PARTITION_BYTES_MAX,
    }));
    const request = {
      replicaId: CONSUMER,
      maxWaitMs: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      sessionEpoch: NO_FETCH_SESSION,
      topics: [{ topic, partitions }],
    };
    const answer = await connection.exchange(FETCH, request, FETCH_WAIT_MS);
    if (answer.errorCode !== ErrorCode.none) throw topicError(answer.errorCode, topic);
    return answer.responses[0]?.partitions ?? [];
  }

  /** @throws KafkaError */
  async createTopic({ name, partitionCount, replicationFactor, configs }: TopicWish) {
    const wanted = {
      name,
      numPartitions: partitionCount,
      replicationFactor,
      assignments: [],
      configs: [...configs].map(([key, value]) => ({ name: key, value })),
    };
    const connection = await this.#controller();
    const request = { topics: [wanted], timeoutMs: REQUEST_MS_MAX, validateOnly: false };
    const { topics } = await connection.exchange(CREATE_TOPICS, request, REQUEST_MS_MAX);
    const errorCode = topics[0]?.errorCode ?? ErrorCode.unknownServerError;
    if (errorCode !== ErrorCode.none) throw topicError(errorCode, name, topics[0]?.errorMessage);
  }

  /** @throws KafkaError */
  async deleteTopic(name: string): Promise<void> {
    const connection = await this.#controller();
    const request = { topicNames: [name], timeoutMs: REQUEST_MS_MAX };
    const { responses } = await connection.exchange(DELETE_TOPICS, request, REQUEST_MS_MAX);
    const errorCode = responses[0]?.errorCode ?? ErrorCode.unknownServerError;
    if (errorCode !== ErrorCode.none) throw topicError(errorCode, name, responses[0]?.errorMessage);
  }

  /** Lets time pass. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(delayMs, resolve));
  }

  async #metadata(names: readonly string[] | null, mayCreate = false): Promise<MetadataResponse> {
    const topics = names?.map((name) => ({ name })) ?? null;
    const request = { topics, allowAutoTopicCreation: mayCreate };
    const answer = await this.#bootstrap.exchange(METADATA, request);
    for (const { nodeId, host, port } of answer.brokers) {
      this.#addresses.set(nodeId, { host, port });
    }
    this.#controllerId = answer.controllerId;
    return answer;
  }

  async #controller(): Promise<KafkaConnection> {
    if (this.#controllerId === -1) await this.#metadata([]);
    return this.#addresses.has(this.#controllerId)
      ? this.#connectionTo(this.#controllerId)
      : this.#bootstrap;
  }

  async #connectionTo(nodeId: number): Promise<KafkaConnection> {
    const address = this.#addresses.get(nodeId);
    if (address === undefined) {
      throw new KafkaError(ErrorCode.leaderNotAvailable, "The partition has no leader now.");
    }
    const { host, port } = this.#bootstrap.address;
    if (address.host === host && address.port === port) return this.#bootstrap;
    const known = await this.#connections.get(nodeId)?.catch(() => undefined);
    if (known !== undefined && !known.isClosed) return known;
    const connecting = KafkaConnection.open(address, this.#clock);
    this.#connections.set(nodeId, connecting);
    return connecting;
  }
}

/** Partitions by the broker that leads them. */
export function byLeader<T extends PartitionLeader>(partitions: readonly T[]): Map<number, T[]> {
  return Map.groupBy(partitions, ({ leaderId }) => leaderId);
}

/** A `--bootstrap` address. @throws UsageError */
function addressOf(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? PORT_DEFAULT);
  if (host === undefined || port === 0 || port > 65535) {
    throw new UsageError(`"${text}" is no address: write host:port.`);
  }
  return { host, port };
}

function leadersOf(topic: MetadataResponse["topics"][number]): TopicLeaders {
  const partitions = topic.partitions
    .map(({ partitionIndex, leaderId }) => ({ partition: partitionIndex, leaderId }))
    .sort((left, right) => left.partition - right.partition);
  return { name: topic.name ?? "", isInternal: topic.isInternal, partitions };
}

/** What the broker said, as a sentence. */
export function topicError(
  errorCode: number,
  topic: string,
  message: string | null = null,
): KafkaError {
  const code = errorCode as ErrorCode; // Any number is passed on.
  if (code === ErrorCode.unknownTopicOrPartition) {
    return new KafkaError(code, `Topic '${topic}' does not exist.`);
  }
  if (code === ErrorCode.invalidTopicException && message === null) {
    return new KafkaError(code, `'${topic}' is no name for a topic.`);
  }
  return new KafkaError(
    code,
    message === null ? errorName(code) : `${message} (${errorName(code)})`,
  );
}

/** Kafka's name of an error: MESSAGE_TOO_LARGE. */
function errorName(errorCode: number): string {
  const name = Object.entries(ErrorCode).find(([, code]) => code === errorCode)?.[0];
  return name?.replace(/[A-Z]/g, "_$&").toUpperCase() ?? `error code ${errorCode}`;
}
