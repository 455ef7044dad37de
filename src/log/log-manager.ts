/**
 * All partitions of the broker: found by topic id and index, created and deleted with their topics,
 * filled from the WAL at start, and moved on when the WAL has become durable.
 */

import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { Wal } from "../wal/wal.ts";
import { LiveRuns } from "./live-runs.ts";
import {
  type Appended,
  type IncomingBatch,
  Partition,
  type PartitionState,
  type RecoveredBatch,
} from "./partition.ts";
import type { PartitionPlace, SealedLog } from "./sealed-log.ts";

export interface LogManagerOptions {
  readonly clock: Clock;
  /** Written into each batch; rises at each unclean start. */
  readonly leaderEpoch: number;
  /** Limit of the memory that the batch indexes of all partitions take together. */
  readonly batchIndexBytesMax: number;
  readonly sealed: SealedLog;
}

/** An append whose batch is not durable yet. */
interface PendingAppend {
  readonly partition: Partition;
  readonly endAddress: number;
  readonly endOffset: number;
}

/** The single writer of all logs. */
export class LogManager {
  #leaderEpoch: number;
  #wal: Wal | undefined;
  readonly #clock: Clock;
  readonly #batchIndexBytesMax: number;
  readonly #sealed: SealedLog;
  readonly #topics = new Map<string, Partition[]>();
  /** In WAL order; those before `#pendingStart` are durable. */
  #pending: PendingAppend[] = [];
  #pendingStart = 0;
  #batchIndexBytes = 0;
  readonly #liveRuns = new LiveRuns();
  /** By topic id: checkpoints of partitions that the WAL has yet to create; none once attached. */
  readonly #restorable = new Map<string, Map<number, PartitionState>>();

  constructor(options: LogManagerOptions) {
    this.#clock = options.clock;
    this.#leaderEpoch = options.leaderEpoch;
    this.#batchIndexBytesMax = options.batchIndexBytesMax;
    this.#sealed = options.sealed;
  }

  /** From here on batches can be appended; before, they can be recovered. */
  attach(wal: Wal): void {
    assert(this.#wal === undefined, "attached twice");
    this.#wal = wal;
    this.#restorable.clear();
    for (const partition of this.partitions()) {
      partition.reach(this.#sealed.endOffset(partition.place));
      partition.epochs.assign(this.leaderEpoch, partition.logEndOffset);
    }
    wal.onDurable((address) => this.#onDurable(address));
  }

  /**
   * The epoch of what is appended: the given one, or one above those found in the WAL, should the
   * broker's identity have been lost.
   */
  get leaderEpoch(): number {
    return this.#leaderEpoch;
  }

  /** Memory of all batch indexes. */
  get batchIndexBytes(): number {
    return this.#batchIndexBytes;
  }

  /** Creates partitions up to `partitionCount` for a topic that is new or has grown. */
  ensureTopic(topic: { topicId: string; name: string; partitionCount: number }): void {
    const partitions = this.#topics.get(topic.topicId) ?? [];
    const shared = partitions[0]?.topic ?? {
      topicId: topic.topicId,
      topicIdBytes: Buffer.from(topic.topicId, "base64url"),
      name: topic.name,
    };
    for (let index = partitions.length; index < topic.partitionCount; index += 1) {
      const partition = new Partition(shared, index, this.#sealed);
      // Before the log is recovered, its own entries tell the epochs.
      if (this.#wal !== undefined) partition.epochs.assign(this.leaderEpoch, 0);
      const state = this.#restorable.get(topic.topicId)?.get(index);
      if (state !== undefined) partition.restore(state);
      partitions.push(partition);
    }
    this.#topics.set(topic.topicId, partitions);
  }

  /** Forgets a topic's partitions. Its WAL entries are skipped from now on. */
  deleteTopic(topicId: string): void {
    const partitions = this.#topics.get(topicId) ?? [];
    this.#topics.delete(topicId);
    for (const partition of partitions) {
      this.#batchIndexBytes -= partition.batches.sizeBytes;
      for (let index = 0; index < partition.batches.runCount; index += 1) {
        this.#liveRuns.remove(partition.batches.runAt(index).address);
      }
      partition.delete();
    }
  }

  /** Hides a partition's records below `offset`, and forgets where they lie. */
  deleteRecordsBefore({ topicId, partition: index }: PartitionPlace, offset: number): void {
    const partition = this.partition(topicId, index);
    if (partition === undefined) return;
    const isRecovering = this.#wal === undefined;
    assert(isRecovering || offset <= partition.highWatermark, "what is deleted is durable");
    partition.deleteRecordsBefore(offset);
    this.#forgetRuns(partition, partition.deletedRunCount);
  }

  /** The partition, if it exists. */
  partition(topicId: string, index: number): Partition | undefined {
    return this.#topics.get(topicId)?.[index];
  }

  /** Every partition of every topic. */
  *partitions(): Generator<Partition> {
    for (const partitions of this.#topics.values()) yield* partitions;
  }

  /** Appends to `partition`; the batch is shown once the WAL is durable up to the returned address. */
  append(partition: Partition, batch: IncomingBatch): Appended {
    if (this.#batchIndexBytes >= this.#batchIndexBytesMax) {
      throw new KafkaError(
        ErrorCode.kafkaStorageError,
        `The index of batches in the WAL has reached its limit of ${this.#batchIndexBytesMax} bytes.`,
      );
    }
    assert(this.#wal !== undefined, "append before attach");
    const { sizeBytes: indexBytesBefore, runCount: runCountBefore } = partition.batches;
    const now = { leaderEpoch: this.leaderEpoch, nowMs: this.#clock.nowMs() };
    const appended = partition.append(this.#wal, batch, now);
    this.#account(partition, indexBytesBefore, runCountBefore);
    if (!appended.isDuplicate) {
      this.#pending.push({
        partition,
        endAddress: appended.endAddress,
        endOffset: partition.logEndOffset,
      });
    }
    return appended;
  }

  /** Takes in a batch found in the WAL at start; of a topic that is gone, nothing is done. */
  recover(place: { topicId: string; partition: number }, batch: RecoveredBatch): void {
    const partition = this.partition(place.topicId, place.partition);
    if (partition === undefined) return;
    if (batch.leaderEpoch > this.#leaderEpoch) this.#leaderEpoch = batch.leaderEpoch + 1;
    const { sizeBytes: indexBytesBefore, runCount: runCountBefore } = partition.batches;
    partition.recover(batch, this.#clock.nowMs());
    this.#account(partition, indexBytesBefore, runCountBefore);
  }

  /**
   * Takes in a partition's checkpoint before the WAL. The metadata may lag behind it: then the partition is created
   * by an entry of the WAL, and gets it there.
   */
  restore({ topicId, partition: index }: PartitionPlace, state: PartitionState): void {
    assert(this.#wal === undefined, "restored before attach");
    const lastEpoch = state.epochs.at(-1)?.leaderEpoch ?? 0;
    if (lastEpoch > this.#leaderEpoch) this.#leaderEpoch = lastEpoch + 1;
    const partition = this.partition(topicId, index);
    if (partition !== undefined) {
      partition.restore(state);
      return;
    }
    const states = this.#restorable.get(topicId) ?? new Map<number, PartitionState>();
    this.#restorable.set(topicId, states.set(index, state));
  }

  /** Forgets where in the WAL a partition's batches below `endOffset` lie: they are found in a segment now. */
  forgetSealed({ topicId, partition: index }: PartitionPlace, endOffset: number): void {
    const partition = this.partition(topicId, index);
    if (partition === undefined) return;
    this.#forgetRuns(partition, partition.runCountBelow(endOffset));
  }

  /** The oldest WAL file with a batch of a topic that exists; undefined if there is none. */
  get oldestLiveSequence(): number | undefined {
    return this.#liveRuns.oldestSequence;
  }

  /** Forgets producers that have been silent since `beforeMs`. */
  expireProducers(beforeMs: number): void {
    for (const partition of this.partitions()) partition.producers.expire(beforeMs);
  }

  /** Forgets the first `count` runs of a partition. */
  #forgetRuns({ batches }: Partition, count: number): void {
    const bytesBefore = batches.sizeBytes;
    for (let run = 0; run < count; run += 1) this.#liveRuns.remove(batches.runAt(run).address);
    batches.dropFirst(count);
    this.#batchIndexBytes += batches.sizeBytes - bytesBefore;
  }

  #account(partition: Partition, indexBytesBefore: number, runCountBefore: number): void {
    const { batches } = partition;
    this.#batchIndexBytes += batches.sizeBytes - indexBytesBefore;
    if (batches.runCount === runCountBefore) return;
    this.#liveRuns.add(batches.runAt(batches.runCount - 1).address);
  }

  #onDurable(durableAddress: number): void {
    const touched = new Set<Partition>();
    let next = this.#pending[this.#pendingStart];
    while (next !== undefined && next.endAddress <= durableAddress) {
      next.partition.advance(next.endOffset);
      touched.add(next.partition);
      this.#pendingStart += 1;
      next = this.#pending[this.#pendingStart];
    }
    if (this.#pendingStart > 1024 && this.#pendingStart * 2 > this.#pending.length) {
      this.#pending = this.#pending.slice(this.#pendingStart);
      this.#pendingStart = 0;
    }
    // A fetch of many partitions waits at each of them, and looks at all of them when called: once is enough.
    const waiters = new Set<() => void>();
    for (const partition of touched) {
      for (const waiter of partition.waiters) waiters.add(waiter);
    }
    for (const waiter of waiters) waiter();
  }
}
