/**
 * What the broker knows besides records: topics, committed offsets, groups, producer ids. `MetaStore` is the seam
 * between those who use it and the engine that keeps it: the WAL of one broker, or later a database of several.
 *
 * Invariant: reads see only commands that are durable, in the order in which they were committed.
 */

/** A topic as committed. Never changed in place: a change makes a new object. */
export interface Topic {
  /** Kafka's form of a UUID: base64url, 22 characters. */
  readonly topicId: string;
  readonly name: string;
  readonly partitionCount: number;
  /** Only what was set for this topic; defaults are `topic-configs.ts`. */
  readonly configs: Readonly<Record<string, string>>;
  readonly createdMs: number;
}

/** What a group committed for one partition. */
export interface CommittedOffset {
  readonly offset: number;
  /** -1 when the client did not say. */
  readonly leaderEpoch: number;
  /** The client's own text; empty when it sent none. */
  readonly metadata: string;
  readonly commitTimestampMs: number;
  /** Set only by clients that ask for their own retention (OffsetCommit v2 to v4). */
  readonly expireTimestampMs?: number;
}

/** Memory that a committed offset takes, about. */
export function offsetSizeBytes({ metadata }: Pick<CommittedOffset, "metadata">): number {
  return 160 + 2 * metadata.length;
}

/** A committed offset with its place. */
export interface PartitionOffset extends CommittedOffset {
  readonly topic: string;
  readonly partition: number;
}

/** Names one partition. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Where a partition's log begins. */
export interface PartitionStart {
  readonly partition: number;
  readonly offset: number;
}

/** A member as it survives a restart. */
export interface StoredMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  /** The metadata of the selected protocol, base64. */
  readonly subscription: string;
  /** Base64. */
  readonly assignment: string;
}

/** A classic group as it survives a restart. */
export interface StoredGroup {
  readonly groupId: string;
  readonly protocolType: string;
  readonly generationId: number;
  /** Null when the group is empty. */
  readonly protocolName: string | null;
  readonly leaderId: string | null;
  /** When the group got into its state; committed offsets of an empty group expire from then. */
  readonly stateTimestampMs: number;
  readonly members: readonly StoredMember[];
}

/** A change. Applying one twice, in order with those after it, gives the same state. */
export type MetaCommand =
  | { readonly kind: "topicCreated"; readonly topic: Topic }
  | { readonly kind: "partitionsAdded"; readonly topicId: string; readonly partitionCount: number }
  | { readonly kind: "topicDeleted"; readonly topicId: string; readonly name: string }
  | {
      readonly kind: "topicConfigsSet";
      readonly topicId: string;
      /** All of the topic's own configs, not only the changed ones. */
      readonly configs: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "offsetsCommitted";
      readonly groupId: string;
      readonly offsets: readonly PartitionOffset[];
    }
  | {
      readonly kind: "offsetsRemoved";
      readonly groupId: string;
      readonly partitions: readonly TopicPartition[];
    }
  | { readonly kind: "groupStored"; readonly group: StoredGroup }
  /** The group and all its committed offsets go. */
  | { readonly kind: "groupRemoved"; readonly groupId: string }
  /**
   * Segments are registered and others given up, at once. The store only brings it to its listeners: the index of
   * segments has a checkpoint of its own.
   */
  | {
      readonly kind: "segmentsChanged";
      /** `encodeSegmentFacts`, base64. */
      readonly added: readonly string[];
      readonly removedIds: readonly string[];
    }
  /** Producer ids below `nextProducerId` are given away. */
  | { readonly kind: "producerIdsAllocated"; readonly nextProducerId: number }
  /** Records below these offsets are deleted. A log start offset never goes back. */
  | {
      readonly kind: "logStartOffsetsSet";
      readonly topicId: string;
      readonly offsets: readonly PartitionStart[];
    };

/** Called for each command when it has been applied. */
export type MetaListener = (command: MetaCommand) => void;

/** Commands and reads. Reads are synchronous and cheap. */
export interface MetaStore {
  /**
   * Makes a change. Resolves when it is durable and visible to reads.
   * @throws KafkaError TOPIC_ALREADY_EXISTS (also while the name is being created), UNKNOWN_TOPIC_OR_PARTITION or
   * UNKNOWN_TOPIC_ID (also while it is being deleted), INVALID_PARTITIONS, RECORD_LIST_TOO_LARGE (the command is
   * larger than an entry may be), KAFKA_STORAGE_ERROR.
   */
  commit(command: MetaCommand): Promise<void>;

  topic(name: string): Topic | undefined;
  topicById(topicId: string): Topic | undefined;
  /** In the order of creation. */
  topics(): Iterable<Topic>;
  readonly topicCount: number;
  /** Settles when the creation of `name` that is under way has; undefined when there is none. Never rejects. */
  topicCreation(name: string): Promise<void> | undefined;
  /** Another topic, existing or being created, whose name differs only in `.` for `_`: Kafka refuses that. */
  collidingTopic(name: string): string | undefined;

  /** Where deleted records ended; 0 where none were deleted, or the topic is unknown. */
  logStartOffset(topicId: string, partition: number): number;
  /** Those of a topic's partitions that are not 0. */
  logStartOffsets(topicId: string): Iterable<PartitionStart>;

  /** Ids of all groups that have members stored or offsets committed. */
  groupIds(): Iterable<string>;
  readonly groupCount: number;
  storedGroup(groupId: string): StoredGroup | undefined;
  committedOffset(groupId: string, place: TopicPartition): CommittedOffset | undefined;
  /** By topic in the order of first commit. */
  committedOffsets(groupId: string): Iterable<PartitionOffset>;
  hasCommittedOffsets(groupId: string): boolean;
  /** Memory that the committed offsets of all groups take, by `offsetSizeBytes`. */
  readonly committedOffsetsBytes: number;

  /** The lowest producer id that nobody was given. */
  readonly nextProducerId: number;

  /** @returns removes the listener. */
  onApplied(listener: MetaListener): () => void;
}
