/** Topics by name and by id. The store keeps two: what was accepted and, a little later, what is durable. */

import { assert } from "../core/assert.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { MetaCommand, Topic } from "./meta-store.ts";

/** Invariant: both maps hold the same topics, and `#nameOfCollisionKey` knows all their names. */
export class TopicTable {
  readonly #byName = new Map<string, Topic>();
  readonly #byId = new Map<string, Topic>();
  readonly #nameOfCollisionKey = new Map<string, string>();

  get size(): number {
    return this.#byName.size;
  }

  topic(name: string): Topic | undefined {
    return this.#byName.get(name);
  }

  topicById(topicId: string): Topic | undefined {
    return this.#byId.get(topicId);
  }

  topics(): Iterable<Topic> {
    return this.#byName.values();
  }

  /** A topic whose name is another but equal once `.` is read as `_`. */
  collidingTopic(name: string): string | undefined {
    const other = this.#nameOfCollisionKey.get(collisionKeyOf(name));
    return other === name ? undefined : other;
  }

  /** @throws KafkaError if `command` cannot be applied. Commands that are not about topics always can. */
  check(command: MetaCommand): void {
    switch (command.kind) {
      case "topicCreated": {
        const { name, topicId, partitionCount } = command.topic;
        assert(partitionCount > 0, `topic ${name} has ${partitionCount} partitions`);
        assert(!this.#byId.has(topicId), `topic id ${topicId} is taken`);
        if (this.#byName.has(name)) {
          throw new KafkaError(ErrorCode.topicAlreadyExists, `Topic '${name}' already exists.`);
        }
        return;
      }
      case "partitionsAdded": {
        const { partitionCount, name } = this.#topicOf(command.topicId);
        if (command.partitionCount <= partitionCount) {
          throw new KafkaError(
            ErrorCode.invalidPartitions,
            `Topic '${name}' has ${partitionCount} partitions, ${command.partitionCount} would not be an increase.`,
          );
        }
        return;
      }
      case "topicDeleted":
      case "topicConfigsSet":
      case "logStartOffsetsSet":
        this.#topicOf(command.topicId);
        return;
      default:
        return;
    }
  }

  /** Lenient, because a checkpoint may already hold what the entries after it say again. */
  apply(command: MetaCommand): void {
    switch (command.kind) {
      case "topicCreated":
        this.#put(command.topic);
        return;
      case "partitionsAdded": {
        const topic = this.#byId.get(command.topicId);
        if (topic) this.#put({ ...topic, partitionCount: command.partitionCount });
        return;
      }
      case "topicConfigsSet": {
        const topic = this.#byId.get(command.topicId);
        if (topic) this.#put({ ...topic, configs: command.configs });
        return;
      }
      case "topicDeleted":
        this.#remove(command.topicId);
        return;
      default:
        return;
    }
  }

  #topicOf(topicId: string): Topic {
    const topic = this.#byId.get(topicId);
    if (!topic) {
      throw new KafkaError(ErrorCode.unknownTopicId, `There is no topic with the id ${topicId}.`);
    }
    return topic;
  }

  #put(topic: Topic): void {
    const former = this.#byName.get(topic.name);
    if (former && former.topicId !== topic.topicId) this.#byId.delete(former.topicId);
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.topicId, topic);
    this.#nameOfCollisionKey.set(collisionKeyOf(topic.name), topic.name);
  }

  #remove(topicId: string): void {
    const topic = this.#byId.get(topicId);
    if (!topic) return;
    this.#byId.delete(topicId);
    this.#byName.delete(topic.name);
    this.#nameOfCollisionKey.delete(collisionKeyOf(topic.name));
  }
}

function collisionKeyOf(name: string): string {
  return name.replaceAll(".", "_");
}
