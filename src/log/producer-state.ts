/**
 * Idempotence of one partition: for each producer its epoch and its last five batches, so that a
 * batch that is sent again is answered with its first offset and a gap is refused.
 * Source: KIP-98 and Apache Kafka's ProducerStateManager. It is rebuilt from the WAL.
 *
 * Checks come before an offset is assigned: a refused batch leaves no hole in the log.
 */

import { ErrorCode, KafkaError } from "../protocol/errors.ts";

/** How many batches a producer may have in flight (Kafka's own constant). */
const BATCHES_KEPT = 5;
/** Producers of one partition; beyond it, the one that was silent longest is forgotten. */
const PRODUCERS_MAX = 20_000;
const SEQUENCE_COUNT = 2 ** 31;

/** What the state has to know of a batch. */
export interface SequencedBatch {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastOffsetDelta: number;
}

/** A batch that is in the log already. */
export interface KeptBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
}

interface Producer {
  epoch: number;
  /** Oldest first; at most `BATCHES_KEPT`; all of `epoch`. */
  batches: KeptBatch[];
  lastSeenMs: number;
}

/** A producer as a checkpoint keeps it. */
export interface StoredProducer {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastSeenMs: number;
  /** Oldest first. */
  readonly batches: readonly KeptBatch[];
}

/** The producers of one partition. */
export class ProducerState {
  readonly #producers = new Map<number, Producer>();

  get producerCount(): number {
    return this.#producers.size;
  }

  /**
   * Whether `batch` may be appended now.
   * @returns the batch in the log that it repeats, or undefined if it is to be appended
   * @throws KafkaError INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER
   */
  check(batch: SequencedBatch): KeptBatch | undefined {
    const producer = this.#producers.get(batch.producerId);
    if (producer === undefined) return undefined; // Its state may have expired: any sequence goes.
    if (batch.producerEpoch < producer.epoch) {
      throw new KafkaError(
        ErrorCode.invalidProducerEpoch,
        `Epoch ${batch.producerEpoch} of producer ${batch.producerId} is older than ${producer.epoch}.`,
      );
    }
    if (batch.producerEpoch > producer.epoch) {
      if (batch.baseSequence !== 0) throw outOfOrder(batch, 0);
      return undefined;
    }
    const lastSequence = sequenceAfter(batch.baseSequence, batch.lastOffsetDelta);
    const repeated = producer.batches.find(
      (kept) => kept.baseSequence === batch.baseSequence && kept.lastSequence === lastSequence,
    );
    if (repeated !== undefined) return repeated;
    const previous = producer.batches.at(-1);
    const expected = previous === undefined ? 0 : sequenceAfter(previous.lastSequence, 1);
    if (batch.baseSequence !== expected) throw outOfOrder(batch, expected);
    return undefined;
  }

  /** Remembers that `batch` is in the log at `baseOffset`. */
  update(batch: SequencedBatch, position: { baseOffset: number; nowMs: number }): void {
    const kept: KeptBatch = {
      baseSequence: batch.baseSequence,
      lastSequence: sequenceAfter(batch.baseSequence, batch.lastOffsetDelta),
      baseOffset: position.baseOffset,
      lastOffset: position.baseOffset + batch.lastOffsetDelta,
    };
    const producer = this.#producers.get(batch.producerId);
    // Set again, so that the map is in the order in which producers were seen last.
    this.#producers.delete(batch.producerId);
    if (producer === undefined || producer.epoch !== batch.producerEpoch) {
      this.#producers.set(batch.producerId, {
        epoch: batch.producerEpoch,
        batches: [kept],
        lastSeenMs: position.nowMs,
      });
      this.#forgetBeyondLimit();
      return;
    }
    this.#producers.set(batch.producerId, producer);
    producer.batches.push(kept);
    if (producer.batches.length > BATCHES_KEPT) producer.batches.shift();
    producer.lastSeenMs = position.nowMs;
  }

  /** All of them, the one that was silent longest first. */
  stored(): readonly StoredProducer[] {
    return [...this.#producers].map(([producerId, { epoch, batches, lastSeenMs }]) => ({
      producerId,
      epoch,
      lastSeenMs,
      batches: [...batches],
    }));
  }

  /** Takes in what `stored` gave. */
  restore(producers: readonly StoredProducer[]): void {
    for (const { producerId, epoch, batches, lastSeenMs } of producers) {
      this.#producers.set(producerId, { epoch, batches: [...batches], lastSeenMs });
    }
  }

  #forgetBeyondLimit(): void {
    if (this.#producers.size <= PRODUCERS_MAX) return;
    const [oldest] = this.#producers.keys();
    if (oldest !== undefined) this.#producers.delete(oldest);
  }

  /** Forgets producers that have not written since `beforeMs`. */
  expire(beforeMs: number): void {
    for (const [producerId, producer] of this.#producers) {
      if (producer.lastSeenMs < beforeMs) this.#producers.delete(producerId);
    }
  }
}

/** `sequence + increment` in the producer's ring of 2^31 numbers. */
function sequenceAfter(sequence: number, increment: number): number {
  return (sequence + increment) % SEQUENCE_COUNT;
}

function outOfOrder(batch: SequencedBatch, expected: number): KafkaError {
  return new KafkaError(
    ErrorCode.outOfOrderSequenceNumber,
    `Producer ${batch.producerId} sent sequence ${batch.baseSequence}; ${expected} comes next.`,
  );
}
