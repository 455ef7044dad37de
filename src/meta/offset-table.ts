/** Groups and what they committed, as far as it is durable. */

import type {
  CommittedOffset,
  MetaCommand,
  PartitionOffset,
  StoredGroup,
  TopicPartition,
} from "./meta-store.ts";
import { offsetSizeBytes } from "./meta-store.ts";

/** In a checkpoint. */
const OFFSETS_PER_COMMAND = 20;

interface GroupEntry {
  stored: StoredGroup | undefined;
  readonly offsets: Map<string, Map<number, CommittedOffset>>;
}

/** Invariant: an entry without a stored group has offsets, and no topic in it is without partitions. */
export class OffsetTable {
  readonly #groups = new Map<string, GroupEntry>();
  #sizeBytes = 0;

  get groupCount(): number {
    return this.#groups.size;
  }

  /** Equals the sum of `offsetSizeBytes` over all offsets. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  groupIds(): Iterable<string> {
    return this.#groups.keys();
  }

  storedGroup(groupId: string): StoredGroup | undefined {
    return this.#groups.get(groupId)?.stored;
  }

  hasCommittedOffsets(groupId: string): boolean {
    return (this.#groups.get(groupId)?.offsets.size ?? 0) > 0;
  }

  committedOffset(groupId: string, { topic, partition }: TopicPartition) {
    return this.#groups.get(groupId)?.offsets.get(topic)?.get(partition);
  }

  *committedOffsets(groupId: string): Iterable<PartitionOffset> {
    const offsets = this.#groups.get(groupId)?.offsets ?? [];
    for (const [topic, partitions] of offsets) {
      for (const [partition, committed] of partitions) yield { topic, partition, ...committed };
    }
  }

  /** The whole table as commands, each of bounded size. */
  *commands(): Iterable<MetaCommand> {
    for (const [groupId, { stored }] of this.#groups) {
      if (stored) yield { kind: "groupStored", group: stored };
      let offsets: PartitionOffset[] = [];
      for (const offset of this.committedOffsets(groupId)) {
        offsets.push(offset);
        if (offsets.length < OFFSETS_PER_COMMAND) continue;
        yield { kind: "offsetsCommitted", groupId, offsets };
        offsets = [];
      }
      if (offsets.length > 0) yield { kind: "offsetsCommitted", groupId, offsets };
    }
  }

  /** Lenient, because a checkpoint may already hold what the entries after it say again. */
  apply(command: MetaCommand): void {
    switch (command.kind) {
      case "offsetsCommitted": {
        const { offsets } = this.#entryOf(command.groupId);
        for (const { topic, partition, ...committed } of command.offsets) {
          const partitions = offsets.get(topic) ?? new Map<number, CommittedOffset>();
          this.#uncount(partitions.get(partition));
          this.#sizeBytes += offsetSizeBytes(committed);
          offsets.set(topic, partitions.set(partition, committed));
        }
        this.#dropIfBare(command.groupId);
        return;
      }
      case "offsetsRemoved":
        this.#removeOffsets(command.groupId, command.partitions);
        return;
      case "groupStored":
        this.#entryOf(command.group.groupId).stored = command.group;
        return;
      case "groupRemoved":
        this.#removeGroup(command.groupId);
        return;
      case "topicDeleted":
        for (const [groupId, { offsets }] of this.#groups) {
          this.#uncountAll(offsets.get(command.name));
          if (offsets.delete(command.name)) this.#dropIfBare(groupId);
        }
        return;
      default:
        return;
    }
  }

  #entryOf(groupId: string): GroupEntry {
    const entry = this.#groups.get(groupId) ?? { stored: undefined, offsets: new Map() };
    this.#groups.set(groupId, entry);
    return entry;
  }

  #removeOffsets(groupId: string, places: readonly TopicPartition[]): void {
    const offsets = this.#groups.get(groupId)?.offsets;
    if (!offsets) return;
    for (const { topic, partition } of places) {
      const partitions = offsets.get(topic);
      this.#uncount(partitions?.get(partition));
      partitions?.delete(partition);
      if (partitions?.size === 0) offsets.delete(topic);
    }
    this.#dropIfBare(groupId);
  }

  #removeGroup(groupId: string): void {
    for (const partitions of this.#groups.get(groupId)?.offsets.values() ?? []) {
      this.#uncountAll(partitions);
    }
    this.#groups.delete(groupId);
  }

  #uncountAll(partitions: ReadonlyMap<number, CommittedOffset> | undefined): void {
    for (const committed of partitions?.values() ?? []) this.#uncount(committed);
  }

  #uncount(committed: CommittedOffset | undefined): void {
    if (committed) this.#sizeBytes -= offsetSizeBytes(committed);
  }

  #dropIfBare(groupId: string): void {
    const entry = this.#groups.get(groupId);
    if (entry && entry.stored === undefined && entry.offsets.size === 0) {
      this.#groups.delete(groupId);
    }
  }
}
