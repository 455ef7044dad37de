/** Where partitions begin whose first records were deleted, as far as that is durable. */

import type { MetaCommand, PartitionStart } from "./meta-store.ts";

/** Partitions that one command may name, so that it is small enough for an entry. */
export const PARTITIONS_PER_COMMAND = 1000;

/** Invariant: every offset in it is above 0 and never falls. */
export class LogStartOffsets {
  readonly #byTopicId = new Map<string, Map<number, number>>();

  /** 0 where nothing was deleted. */
  offsetOf(topicId: string, partition: number): number {
    return this.#byTopicId.get(topicId)?.get(partition) ?? 0;
  }

  /** The topic's partitions whose first records were deleted. */
  *offsetsOf(topicId: string): Iterable<PartitionStart> {
    const offsets = this.#byTopicId.get(topicId) ?? [];
    for (const [partition, offset] of offsets) yield { partition, offset };
  }

  /** The whole table as commands, each of bounded size. */
  *commands(): Iterable<MetaCommand> {
    for (const topicId of this.#byTopicId.keys()) {
      const offsets = [...this.offsetsOf(topicId)];
      for (let start = 0; start < offsets.length; start += PARTITIONS_PER_COMMAND) {
        const part = offsets.slice(start, start + PARTITIONS_PER_COMMAND);
        yield { kind: "logStartOffsetsSet", topicId, offsets: part };
      }
    }
  }

  /** Lenient, because a checkpoint may already hold what the entries after it say again. */
  apply(command: MetaCommand): void {
    if (command.kind === "topicDeleted") this.#byTopicId.delete(command.topicId);
    if (command.kind !== "logStartOffsetsSet") return;
    const offsets = this.#byTopicId.get(command.topicId) ?? new Map<number, number>();
    for (const { partition, offset } of command.offsets) {
      if (offset > (offsets.get(partition) ?? 0)) offsets.set(partition, offset);
    }
    if (offsets.size > 0) this.#byTopicId.set(command.topicId, offsets);
  }
}
