/**
 * One partition's log: assigns offsets, keeps the index of its batches and its producers' state.
 *
 * Invariants: logStartOffset <= highWatermark <= logEndOffset. `highWatermark` is the durable end:
 * nothing at or beyond it is ever shown, so no offset ever holds two values. Records live in the
 * WAL; the partition knows where.
 */

import { assert } from "../core/assert.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { Wal } from "../wal/wal.ts";
import { ENTRY_HEADER_BYTES } from "../wal/wal-format.ts";
import { BatchIndex } from "./batch-index.ts";
import { type EpochStart, LeaderEpochs } from "./leader-epochs.ts";
import { ProducerState, type StoredProducer } from "./producer-state.ts";
import type { PartitionPlace, SealedLog } from "./sealed-log.ts";

/** What all partitions of a topic share; replaced as a whole when the topic's configs change. */
export interface TopicLog {
  readonly topicId: string;
  readonly topicIdBytes: Uint8Array;
  readonly name: string;
}

/** A validated batch on its way into the log: `bytes[start, end)`. */
export interface IncomingBatch {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly header: BatchHeader;
}

/** Where a batch went. */
export interface Appended {
  readonly baseOffset: number;
  /** End in the WAL, exclusive: durable once the WAL's durable address reaches it. */
  readonly endAddress: number;
  /** The batch was in the log already; `baseOffset` is its first one. */
  readonly isDuplicate: boolean;
}

/** A batch read back from the WAL at start. */
export interface RecoveredBatch {
  readonly header: BatchHeader;
  readonly leaderEpoch: number;
  readonly address: number;
  readonly sizeBytes: number;
  readonly isLegacy: boolean;
  /** The partition's checkpoint covers it: offsets, epochs and producers know of it already. */
  readonly isCheckpointed: boolean;
}

/** What a checkpoint of the logs keeps of a partition. */
export interface PartitionState {
  readonly logEndOffset: number;
  readonly epochs: readonly EpochStart[];
  readonly producers: readonly StoredProducer[];
}

/** The owner of a partition's offsets. */
export class Partition {
  readonly topic: TopicLog;
  readonly index: number;
  readonly place: PartitionPlace;
  /** Of what is still in the WAL and not sealed. */
  readonly batches = new BatchIndex(ENTRY_HEADER_BYTES);
  readonly producers = new ProducerState();
  readonly epochs = new LeaderEpochs();
  /** Called when `highWatermark` or `logStartOffset` has risen, or when the partition is deleted. */
  readonly waiters = new Set<() => void>();
  #logStartOffset = 0;
  #logEndOffset = 0;
  #highWatermark = 0;
  #isDeleted = false;

  readonly #sealed: SealedLog;

  constructor(topic: TopicLog, index: number, sealed: SealedLog) {
    this.topic = topic;
    this.index = index;
    this.place = { topicId: topic.topicId, partition: index };
    this.#sealed = sealed;
  }

  /** First offset that is shown; the batch that holds it may begin before it. */
  get logStartOffset(): number {
    return this.#logStartOffset;
  }

  /** Next offset to be written. */
  get logEndOffset(): number {
    return this.#logEndOffset;
  }

  /** Exclusive end of what consumers see. */
  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** Exclusive end of what read_committed consumers see: without transactions, the high watermark. */
  get lastStableOffset(): number {
    return this.#highWatermark;
  }

  get isDeleted(): boolean {
    return this.#isDeleted;
  }

  /**
   * About how many bytes a fetch from `offset` finds below the high watermark, counted up to
   * `limitBytes`. Of a run that is wanted in part, the bytes are taken to be spread evenly over its offsets.
   */
  availableBytes(offset: number, limitBytes: number): number {
    const endOffset = this.#highWatermark;
    if (offset >= endOffset) return 0;
    if (limitBytes <= 1) return limitBytes;
    let sizeBytes = this.#availableSealedBytes(offset, limitBytes);
    let index = Math.max(0, this.batches.indexOfOffset(offset));
    for (; index < this.batches.runCount && sizeBytes < limitBytes; index += 1) {
      const run = this.batches.runAt(index);
      if (run.baseOffset >= endOffset) break;
      const isLast = index + 1 === this.batches.runCount;
      const runEnd = isLast ? this.#logEndOffset : this.batches.runAt(index + 1).baseOffset;
      const wanted = Math.min(runEnd, endOffset) - Math.max(run.baseOffset, offset);
      sizeBytes += Math.ceil((run.spanBytes * wanted) / (runEnd - run.baseOffset));
    }
    return Math.min(sizeBytes, limitBytes);
  }

  #availableSealedBytes(offset: number, limitBytes: number): number {
    let sizeBytes = 0;
    let range = this.#sealed.rangeAt(this.place, offset);
    while (range !== undefined && sizeBytes < limitBytes) {
      const wanted = range.endOffset - Math.max(range.startOffset, offset);
      const offsetCount = range.endOffset - range.startOffset;
      sizeBytes += Math.ceil((range.sizeBytes * wanted) / offsetCount);
      range = this.#sealed.rangeAt(this.place, range.endOffset);
    }
    return sizeBytes;
  }

  /**
   * Appends a batch behind all others. The WAL must have room for it.
   * @throws KafkaError by the producer state and the WAL; then nothing has changed
   */
  append(wal: Wal, batch: IncomingBatch, now: { leaderEpoch: number; nowMs: number }): Appended {
    const { header } = batch;
    const isIdempotent = header.producerId >= 0;
    if (this.#isDeleted) {
      throw new KafkaError(ErrorCode.unknownTopicOrPartition, "The topic is being deleted.");
    }
    if (isIdempotent) {
      const repeated = this.producers.check(header);
      if (repeated !== undefined) {
        // Its first copy may not be durable yet: the answer waits for everything appended so far.
        const { baseOffset } = repeated;
        return { baseOffset, endAddress: wal.appendedAddress, isDuplicate: true };
      }
    }
    const baseOffset = this.#logEndOffset;
    if (!Number.isSafeInteger(baseOffset + header.lastOffsetDelta + 1)) {
      throw new KafkaError(ErrorCode.invalidRecord, "The partition has no offsets left.");
    }
    const address = wal.appendBatch({
      topicIdBytes: this.topic.topicIdBytes,
      partition: this.index,
      baseOffset,
      leaderEpoch: now.leaderEpoch,
      bytes: batch.bytes,
      start: batch.start,
      end: batch.end,
    });
    this.batches.append({
      baseOffset,
      address,
      sizeBytes: batch.end - batch.start,
      maxTimestampMs: header.maxTimestampMs,
      isLegacy: false,
    });
    if (isIdempotent) this.producers.update(header, { baseOffset, nowMs: now.nowMs });
    this.#logEndOffset = baseOffset + header.lastOffsetDelta + 1;
    return { baseOffset, endAddress: wal.appendedAddress, isDuplicate: false };
  }

  /** Takes in the partition's checkpoint, before what the WAL has. */
  restore(state: PartitionState): void {
    assert(this.#logEndOffset === this.#logStartOffset, "restored before anything in the log");
    this.#logEndOffset = Math.max(this.#logStartOffset, state.logEndOffset);
    this.#highWatermark = this.#logEndOffset;
    for (const { leaderEpoch, startOffset } of state.epochs) {
      this.epochs.assign(leaderEpoch, startOffset);
    }
    this.producers.restore(state.producers);
  }

  /** What a checkpoint keeps, appended but not yet durable batches included. */
  state(): PartitionState {
    return {
      logEndOffset: this.#logEndOffset,
      epochs: this.epochs.starts(),
      producers: this.producers.stored(),
    };
  }

  /** Takes in a batch that the WAL still has, in order of offsets. It is durable. */
  recover(batch: RecoveredBatch, nowMs: number): void {
    const { header, isCheckpointed } = batch;
    const endOffset = header.baseOffset + header.lastOffsetDelta + 1;
    const isDeleted = endOffset <= this.#logStartOffset;
    // A batch that holds the log start offset lies before it in part.
    const isBehind = header.baseOffset >= this.#logEndOffset;
    const isFirst = this.#logEndOffset === this.#logStartOffset;
    assert(isCheckpointed || isDeleted || isBehind || isFirst, "recovered offsets rise");
    if (!isDeleted && header.baseOffset >= this.#sealed.endOffset(this.place)) {
      this.batches.append({
        baseOffset: header.baseOffset,
        address: batch.address,
        sizeBytes: batch.sizeBytes,
        maxTimestampMs: header.maxTimestampMs,
        isLegacy: batch.isLegacy,
      });
    }
    if (isCheckpointed) return;
    if (header.producerId >= 0) {
      // As Apache Kafka does: a producer is as old as its newest record says.
      const lastSeenMs = Math.min(nowMs, header.maxTimestampMs);
      this.producers.update(header, { baseOffset: header.baseOffset, nowMs: lastSeenMs });
    }
    this.epochs.assign(batch.leaderEpoch, header.baseOffset);
    if (isDeleted) return;
    this.#logEndOffset = endOffset;
    this.#highWatermark = endOffset;
  }

  /**
   * Records below `offset` are never shown again; the offset never goes back. A batch that holds it stays whole.
   * At start `offset` may lie beyond the log: its batches are gone already, and the log goes on from there.
   */
  deleteRecordsBefore(offset: number): void {
    if (offset <= this.#logStartOffset) return;
    this.#logStartOffset = offset;
    this.#logEndOffset = Math.max(this.#logEndOffset, offset);
    this.#highWatermark = Math.max(this.#highWatermark, offset);
    this.#wake();
  }

  /** The log goes on from `offset` at least: so far it is sealed, whatever else is known. */
  reach(offset: number): void {
    this.#logEndOffset = Math.max(this.#logEndOffset, offset);
    this.#highWatermark = Math.max(this.#highWatermark, offset);
  }

  /** How many runs of the WAL, from the first on, hold deleted records only. */
  get deletedRunCount(): number {
    if (this.#logStartOffset === this.#logEndOffset) return this.batches.runCount;
    return Math.max(0, this.batches.indexOfOffset(this.#logStartOffset));
  }

  /** How many runs of the WAL, from the first on, lie below `endOffset`: what was sealed is whole runs. */
  runCountBelow(endOffset: number): number {
    return this.batches.indexOfOffset(endOffset - 1) + 1;
  }

  /** Everything below `highWatermark` has become durable. */
  advance(highWatermark: number): void {
    assert(highWatermark <= this.#logEndOffset, "the high watermark is within the log");
    if (highWatermark <= this.#highWatermark) return;
    this.#highWatermark = highWatermark;
  }

  /** Tells the waiters. They may remove themselves. */
  #wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  /** Nothing is read or appended any more. */
  delete(): void {
    this.#isDeleted = true;
    this.#wake();
  }
}
