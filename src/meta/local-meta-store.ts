/**
 * `MetaStore` over the WAL of this broker: a command is an entry, and takes effect when that entry is durable.
 *
 * Two views: `#accepted` is ahead and decides what the next command may do (so a name is taken from the moment its
 * creation was accepted); `#topics` and `#offsets` are durable and answer reads.
 */

import { assert } from "../core/assert.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { LogStartOffsets } from "./log-start-offsets.ts";
import { decodeMetaCommand, encodeMetaCommand, MetaRecoveryError } from "./meta-command.ts";
import type {
  CommittedOffset,
  MetaCommand,
  MetaListener,
  MetaStore,
  PartitionOffset,
  PartitionStart,
  StoredGroup,
  Topic,
  TopicPartition,
} from "./meta-store.ts";
import { OffsetTable } from "./offset-table.ts";
import { TopicTable } from "./topic-table.ts";

/** The largest command. Kafka's limit for the same is 1 MiB (`message.max.bytes`); JSON takes more. */
export const META_ENTRY_BYTES_LIMIT = 2 * 1024 * 1024;

/** What the store needs of the WAL. */
export interface MetaLog {
  /** Appends synchronously. @returns the address of the entry. @throws KafkaError KAFKA_STORAGE_ERROR */
  appendMetadata(payload: Uint8Array): number;
  /** Rejects if the entry at `address` will never be durable. */
  whenDurable(address: number): Promise<void>;
  /** Exclusive end of what was appended. */
  readonly appendedAddress: number;
  /** Exclusive end of what is durable. */
  readonly durableAddress: number;
  /** Whether an append is sure to succeed; it may without. */
  hasRoom(lengthBytes: number): boolean;
  /** Resolves when there may be room. @throws KafkaError KAFKA_STORAGE_ERROR if there will be none. */
  whenRoom(lengthBytes: number): Promise<void>;
}

interface Pending {
  readonly address: number;
  readonly command: MetaCommand;
}

/** Life: constructed, `restore` and `recover` for what the disk holds, then `attach`, then `commit`. */
export class LocalMetaStore implements MetaStore {
  readonly #accepted = new TopicTable();
  readonly #topics = new TopicTable();
  readonly #offsets = new OffsetTable();
  readonly #logStarts = new LogStartOffsets();
  readonly #creations = new Map<string, Promise<void>>();
  readonly #listeners = new Set<MetaListener>();
  /** In the order of addresses: accepted, not yet known durable. */
  readonly #pending: Pending[] = [];
  #nextProducerId = 0;
  #log: MetaLog | undefined;
  /** Commits that wait for room; those behind them must not overtake. */
  #room: Promise<void> | undefined;
  /** Entries below it are in the state. */
  #appliedEnd = 0;

  /**
   * Metadata before this address of the log is in the state, and durable. It moves on with the log, also while only
   * records are appended, but never beyond what is durable: a start takes a checkpoint for another log's if it does.
   */
  get appliedEnd(): number {
    if (this.#log === undefined) return this.#appliedEnd;
    const durableEnd = Math.max(this.#appliedEnd, this.#log.durableAddress);
    // Records may lie between the durable end and a command that is not durable either.
    return Math.min(durableEnd, this.#pending[0]?.address ?? durableEnd);
  }

  /** The whole state as commands. Those committed while it is read may be in it or not. */
  *commands(): Iterable<MetaCommand> {
    for (const topic of this.#topics.topics()) yield { kind: "topicCreated", topic };
    yield* this.#logStarts.commands();
    yield* this.#offsets.commands();
    yield { kind: "producerIdsAllocated", nextProducerId: this.#nextProducerId };
  }

  /** Takes in a command of a checkpoint that covers entries below `coveredEnd`. */
  restore(command: MetaCommand, coveredEnd: number): void {
    assert(this.#log === undefined, "restore after attach");
    this.#apply(command);
    this.#accepted.apply(command);
    this.#appliedEnd = coveredEnd;
  }

  /**
   * Takes in a metadata entry that the WAL found at start, in order. Entries that the checkpoint covers are skipped;
   * registrations of segments are told from `registrationsEnd` on, which is where their own checkpoint ends.
   * @throws MetaRecoveryError if it cannot be understood.
   */
  recover(address: number, payload: Uint8Array, registrationsEnd = 0): void {
    assert(this.#log === undefined, "recover after attach");
    if (address < Math.min(this.#appliedEnd, registrationsEnd)) return;
    const command = decodeMetaCommand(payload);
    if (command.kind === "segmentsChanged") {
      if (address >= registrationsEnd) this.#tell(command);
    } else if (address >= this.#appliedEnd) {
      this.#accepted.apply(command);
      this.#apply(command);
    }
    this.#appliedEnd = Math.max(this.#appliedEnd, address + 1);
  }

  /** From here on commands can be committed. @throws MetaRecoveryError if the log is not the checkpoint's. */
  attach(log: MetaLog): void {
    assert(this.#log === undefined, "attached twice");
    if (log.appendedAddress < this.#appliedEnd) {
      throw new MetaRecoveryError(
        "The metadata checkpoint is newer than the write-ahead log: one of them was replaced. Restore both from one backup.",
      );
    }
    this.#log = log;
  }

  async commit(command: MetaCommand): Promise<void> {
    const payload = encodeMetaCommand(command);
    if (payload.length > META_ENTRY_BYTES_LIMIT) {
      throw new KafkaError(
        ErrorCode.recordListTooLarge,
        `A change of ${payload.length} bytes is over the limit of ${META_ENTRY_BYTES_LIMIT}.`,
      );
    }
    const log = this.#attachedLog();
    const applied = this.#room === undefined ? this.#maybeAppend(log, command, payload) : undefined;
    await (applied ?? this.#appendInTurn(log, command, payload));
  }

  topic(name: string): Topic | undefined {
    return this.#topics.topic(name);
  }

  topicById(topicId: string): Topic | undefined {
    return this.#topics.topicById(topicId);
  }

  topics(): Iterable<Topic> {
    return this.#topics.topics();
  }

  get topicCount(): number {
    return this.#topics.size;
  }

  topicCreation(name: string): Promise<void> | undefined {
    return this.#creations.get(name);
  }

  collidingTopic(name: string): string | undefined {
    return this.#accepted.collidingTopic(name);
  }

  logStartOffset(topicId: string, partition: number): number {
    return this.#logStarts.offsetOf(topicId, partition);
  }

  logStartOffsets(topicId: string): Iterable<PartitionStart> {
    return this.#logStarts.offsetsOf(topicId);
  }

  groupIds(): Iterable<string> {
    return this.#offsets.groupIds();
  }

  get groupCount(): number {
    return this.#offsets.groupCount;
  }

  storedGroup(groupId: string): StoredGroup | undefined {
    return this.#offsets.storedGroup(groupId);
  }

  committedOffset(groupId: string, place: TopicPartition): CommittedOffset | undefined {
    return this.#offsets.committedOffset(groupId, place);
  }

  committedOffsets(groupId: string): Iterable<PartitionOffset> {
    return this.#offsets.committedOffsets(groupId);
  }

  hasCommittedOffsets(groupId: string): boolean {
    return this.#offsets.hasCommittedOffsets(groupId);
  }

  get committedOffsetsBytes(): number {
    return this.#offsets.sizeBytes;
  }

  get nextProducerId(): number {
    return this.#nextProducerId;
  }

  onApplied(listener: MetaListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #attachedLog(): MetaLog {
    assert(this.#log !== undefined, "commit before attach");
    return this.#log;
  }

  /** Waits until all commits before have appended and there is room. */
  async #appendInTurn(log: MetaLog, command: MetaCommand, payload: Uint8Array): Promise<void> {
    const before = this.#room;
    const appended = (async () => {
      await before;
      while (!log.hasRoom(payload.length)) await log.whenRoom(payload.length);
      // Wrapped, so that the next commit waits for the append only.
      return { applied: this.#append(log, command, payload) };
    })();
    const turn = appended.then(
      () => {},
      () => {},
    );
    this.#room = turn;
    const { applied } = await appended.finally(() => {
      if (this.#room === turn) this.#room = undefined;
    });
    await applied;
  }

  /** Undefined: the log has no room now, even in what it keeps for metadata. */
  #maybeAppend(log: MetaLog, command: MetaCommand, payload: Uint8Array): Promise<void> | undefined {
    try {
      return this.#append(log, command, payload);
    } catch (thrown) {
      const isRoomMissing =
        thrown instanceof KafkaError && thrown.code === ErrorCode.kafkaStorageError;
      if (isRoomMissing) return undefined;
      throw thrown;
    }
  }

  /** Everything up to the append happens in the caller's turn. @returns resolves when it is applied. */
  #append(log: MetaLog, command: MetaCommand, payload: Uint8Array): Promise<void> {
    this.#accepted.check(command);
    const address = log.appendMetadata(payload);
    this.#accepted.apply(command);
    this.#pending.push({ address, command });
    const applied = this.#applyWhenDurable(log, address);
    if (command.kind === "topicCreated") this.#announceCreation(command.topic.name, applied);
    return applied;
  }

  async #applyWhenDurable(log: MetaLog, address: number): Promise<void> {
    await log.whenDurable(address);
    for (
      let first = this.#pending[0];
      first && first.address <= address;
      first = this.#pending[0]
    ) {
      this.#pending.shift();
      this.#appliedEnd = first.address + 1;
      this.#apply(first.command);
    }
  }

  #announceCreation(name: string, applied: Promise<void>): void {
    const settled = applied.catch(() => {}).then(() => void this.#creations.delete(name));
    this.#creations.set(name, settled);
  }

  #apply(command: MetaCommand): void {
    this.#topics.apply(command);
    this.#offsets.apply(command);
    this.#logStarts.apply(command);
    if (command.kind === "producerIdsAllocated") {
      this.#nextProducerId = Math.max(this.#nextProducerId, command.nextProducerId);
    }
    this.#tell(command);
  }

  #tell(command: MetaCommand): void {
    for (const listener of this.#listeners) listener(command);
  }
}
