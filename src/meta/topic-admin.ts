/** The rules by which topics are created, grown and deleted; every door (Kafka, HTTP) goes through them. */

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { randomUuid } from "../protocol/uuid.ts";
import type { MetaStore, Topic } from "./meta-store.ts";
import type { ConfigValues, TopicConfigs } from "./topic-configs.ts";
import { topicNameFaultOf } from "./topic-name.ts";

/** Partitions that one request may create in all (Kafka's own limit). */
export const REQUEST_PARTITION_COUNT_MAX = 10_000;
/** The client leaves it to the broker. */
const BROKER_DEFAULT = -1;

/** A topic to create, as CreateTopics says it. */
export interface NewTopic {
  readonly name: string;
  /** -1: the broker's default, or what `assignments` say. */
  readonly partitionCount: number;
  /** -1: the broker's default. */
  readonly replicationFactor: number;
  readonly assignments: readonly ReplicaAssignment[];
  readonly configs: Readonly<Record<string, string | null>>;
}

/** The brokers that a client wants to hold a partition. */
export interface ReplicaAssignment {
  readonly partitionIndex: number;
  readonly brokerIds: readonly number[];
}

export interface TopicAdminOptions {
  readonly meta: MetaStore;
  readonly configs: TopicConfigs;
  readonly clock: Clock;
  readonly brokerId: number;
  /** Partitions of a topic whose creator does not say (`num.partitions`). */
  readonly numPartitions: number;
  /** Partitions of all topics together. */
  readonly partitionsMax: number;
}

/** Checks, then commits. Every method throws a KafkaError with the code that the client is to see. */
export class TopicAdmin {
  readonly #options: TopicAdminOptions;
  /** By name: settles when the last change of the topic's configs has. */
  readonly #configChanges = new Map<string, Promise<void>>();

  constructor(options: TopicAdminOptions) {
    this.#options = options;
  }

  /** The topic that `create` would make. @throws KafkaError */
  plan(wanted: NewTopic): Topic {
    const { meta, clock } = this.#options;
    const { name } = wanted;
    const nameFault = topicNameFaultOf(name);
    if (nameFault !== undefined) throw invalidTopic(nameFault);
    if (meta.topic(name) !== undefined || meta.topicCreation(name) !== undefined) {
      throw new KafkaError(ErrorCode.topicAlreadyExists, `Topic '${name}' already exists.`);
    }
    const colliding = meta.collidingTopic(name);
    if (colliding !== undefined) {
      throw invalidTopic(`Topic '${name}' collides with existing topic: ${colliding}`);
    }
    const partitionCount = this.#partitionCountOf(wanted);
    this.#checkTotal(partitionCount);
    return {
      topicId: randomUuid(),
      name,
      partitionCount,
      configs: this.#configsOf(wanted.configs),
      createdMs: clock.nowMs(),
    };
  }

  /** Creates a topic; it is usable when this resolves. */
  async create(wanted: NewTopic): Promise<Topic> {
    const topic = this.plan(wanted);
    await this.#options.meta.commit({ kind: "topicCreated", topic });
    return topic;
  }

  /** Creates a topic with all defaults, or waits for whoever is creating it. */
  async ensure(name: string): Promise<Topic> {
    const { meta } = this.#options;
    await meta.topicCreation(name);
    const existing = meta.topic(name);
    if (existing !== undefined) return existing;
    const defaults = { partitionCount: BROKER_DEFAULT, replicationFactor: BROKER_DEFAULT };
    try {
      return await this.create({ name, ...defaults, assignments: [], configs: {} });
    } catch (thrown) {
      // Somebody else was faster, while this creation waited for room in the log.
      if (!(thrown instanceof KafkaError) || thrown.code !== ErrorCode.topicAlreadyExists) {
        throw thrown;
      }
      await meta.topicCreation(name);
      const created = meta.topic(name);
      if (created === undefined) throw thrown;
      return created;
    }
  }

  /** Raises the number of partitions. `isTrial`: only checks. */
  async grow(
    name: string,
    partitionCount: number,
    details: { assignments: readonly (readonly number[])[] | null; isTrial: boolean },
  ): Promise<void> {
    const topic = this.#options.meta.topic(name);
    if (topic === undefined) {
      throw new KafkaError(
        ErrorCode.unknownTopicOrPartition,
        "This server does not host this topic-partition.",
      );
    }
    this.#checkGrowth(topic, partitionCount, details.assignments);
    if (details.isTrial) return;
    const { topicId } = topic;
    await this.#options.meta.commit({ kind: "partitionsAdded", topicId, partitionCount });
  }

  /**
   * Gives a topic the own configs that `change` makes of those it has. Changes of one topic come one after another.
   * `isTrial`: only checks.
   */
  async changeConfigs(
    name: string,
    change: (own: ConfigValues) => ConfigValues,
    { isTrial }: { readonly isTrial: boolean },
  ): Promise<void> {
    const before = this.#configChanges.get(name) ?? Promise.resolve();
    const changed = before.then(() => this.#changeConfigsNow(name, change, isTrial));
    const settled = changed.catch(() => {}); // The caller hears of it.
    this.#configChanges.set(name, settled);
    try {
      await changed;
    } finally {
      if (this.#configChanges.get(name) === settled) this.#configChanges.delete(name);
    }
  }

  /** Deletes a topic; its records are gone from every read when this resolves. */
  async delete(topic: Topic): Promise<void> {
    const { topicId, name } = topic;
    await this.#options.meta.commit({ kind: "topicDeleted", topicId, name });
  }

  async #changeConfigsNow(
    name: string,
    change: (own: ConfigValues) => ConfigValues,
    isTrial: boolean,
  ): Promise<void> {
    const { meta, configs } = this.#options;
    const nameFault = topicNameFaultOf(name);
    if (nameFault !== undefined) throw invalidTopic(nameFault);
    const topic = meta.topic(name);
    const own = topic?.configs ?? {};
    const changed = change(own);
    configs.validate(changed);
    if (topic === undefined) {
      throw new KafkaError(
        ErrorCode.unknownTopicOrPartition,
        `The topic '${name}' does not exist.`,
      );
    }
    if (isTrial || isDeepStrictEqual(own, changed)) return;
    await meta.commit({ kind: "topicConfigsSet", topicId: topic.topicId, configs: changed });
  }

  #partitionCountOf(wanted: NewTopic): number {
    if (wanted.assignments.length > 0) return this.#assignedPartitionCountOf(wanted);
    if (wanted.replicationFactor !== BROKER_DEFAULT && wanted.replicationFactor !== 1) {
      throw new KafkaError(
        ErrorCode.invalidReplicationFactor,
        wanted.replicationFactor <= 0
          ? "Replication factor must be larger than 0, or -1 to use the default value."
          : `Unable to replicate the partition ${wanted.replicationFactor} time(s): there is 1 broker.`,
      );
    }
    if (wanted.partitionCount === BROKER_DEFAULT) return this.#options.numPartitions;
    if (wanted.partitionCount <= 0) {
      throw new KafkaError(
        ErrorCode.invalidPartitions,
        "Number of partitions was set to an invalid non-positive value.",
      );
    }
    return wanted.partitionCount;
  }

  #assignedPartitionCountOf({ assignments, partitionCount, replicationFactor }: NewTopic): number {
    if (partitionCount !== BROKER_DEFAULT || replicationFactor !== BROKER_DEFAULT) {
      throw new KafkaError(
        ErrorCode.invalidRequest,
        "A manual partition assignment was specified, but the number of partitions or the replication factor was not set to -1.",
      );
    }
    const indexes = assignments.map(({ partitionIndex }) => partitionIndex).sort((a, b) => a - b);
    if (indexes.some((partitionIndex, place) => partitionIndex !== place)) {
      throw new KafkaError(
        ErrorCode.invalidReplicaAssignment,
        "partitions should be a consecutive 0-based integer sequence",
      );
    }
    for (const { brokerIds } of assignments) this.#checkBrokers(brokerIds);
    return assignments.length;
  }

  #checkBrokers(brokerIds: readonly number[]): void {
    const isHere = brokerIds.length === 1 && brokerIds[0] === this.#options.brokerId;
    if (isHere) return;
    throw new KafkaError(
      ErrorCode.invalidReplicaAssignment,
      `The manual partition assignment must name broker ${this.#options.brokerId} and no other.`,
    );
  }

  #checkGrowth(
    topic: Topic,
    partitionCount: number,
    assignments: readonly (readonly number[])[] | null,
  ): void {
    const { partitionCount: current } = topic;
    if (partitionCount <= current) {
      const problem =
        partitionCount === current
          ? `Topic already has ${current} partition(s).`
          : `The topic ${topic.name} currently has ${current} partition(s); ${partitionCount} would not be an increase.`;
      throw new KafkaError(ErrorCode.invalidPartitions, problem);
    }
    this.#checkTotal(partitionCount - current);
    if (assignments === null) return;
    if (assignments.length !== partitionCount - current) {
      throw new KafkaError(
        ErrorCode.invalidReplicaAssignment,
        `Attempted to add ${partitionCount - current} additional partition(s), but only ${assignments.length} assignment(s) were specified.`,
      );
    }
    for (const brokerIds of assignments) this.#checkBrokers(brokerIds);
  }

  /** @throws KafkaError POLICY_VIOLATION if there would be too many partitions */
  #checkTotal(addedCount: number): void {
    let partitionCount = addedCount;
    for (const topic of this.#options.meta.topics()) partitionCount += topic.partitionCount;
    const { partitionsMax } = this.#options;
    if (addedCount <= REQUEST_PARTITION_COUNT_MAX && partitionCount <= partitionsMax) return;
    throw new KafkaError(
      ErrorCode.policyViolation,
      `Excessively large number of partitions: ${addedCount} more, where one request may create ${REQUEST_PARTITION_COUNT_MAX} and this broker has at most ${partitionsMax}.`,
    );
  }

  #configsOf(wanted: Readonly<Record<string, string | null>>): Record<string, string> {
    this.#options.configs.validate(wanted);
    const configs: Record<string, string> = {};
    for (const [name, value] of Object.entries(wanted)) {
      if (value !== null) configs[name] = value;
    }
    return configs;
  }
}

function invalidTopic(message: string): KafkaError {
  return new KafkaError(ErrorCode.invalidTopicException, message);
}
