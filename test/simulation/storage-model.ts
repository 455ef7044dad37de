/** What a broker's storage has to hold, as those know it who were told: topics, batches, deletions. */

import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { type BatchHeader, readBatchHeader } from "../../src/protocol/record-batch.ts";

/** A property that did not hold. */
export class ViolationError extends Error {
  override readonly name = "ViolationError";
}

/** @throws ViolationError */
export function demand(isTrue: boolean, violation: string): asserts isTrue {
  if (!isTrue) throw new ViolationError(violation);
}

/** A number that only rises: what was promised, and what was asked for and may have come about. */
export class RisingNumber {
  promised = 0;
  readonly #asked = new Set<number>();

  ask(value: number): void {
    this.#asked.add(value);
  }

  promise(value: number): void {
    this.promised = Math.max(this.promised, value);
  }

  /** Takes what was found after a start as the truth. @throws ViolationError */
  find(value: number, what: string): void {
    const isAsked = value > this.promised && this.#asked.has(value);
    demand(value === this.promised || isAsked, `${what} is ${value}, not ${this.promised}`);
    this.promised = value;
    this.#asked.clear();
  }
}

/** A batch in the log, as it is stored. */
export interface StoredBatch {
  readonly bytes: Uint8Array;
  readonly header: BatchHeader;
  readonly endOffset: number;
}

export class PartitionModel {
  readonly name: string;
  readonly logStart = new RisingNumber();
  /** All that were ever appended and not lost, the deleted ones too. */
  batches: StoredBatch[] = [];
  /** Exclusive: what lies before it was acknowledged, or could be read. */
  shownOffset = 0;
  /** Exclusive: what lies before it was in segments. */
  sealedEnd = 0;

  constructor(name: string) {
    this.name = name;
  }

  get endOffset(): number {
    return this.batches.at(-1)?.endOffset ?? 0;
  }

  add(bytes: Uint8Array): void {
    const header = readBatchHeader(bytes, 0);
    const endOffset = header.baseOffset + header.lastOffsetDelta + 1;
    demand(header.baseOffset === this.endOffset, `${this.name}: an append leaves a gap`);
    this.batches.push({ bytes, header, endOffset });
  }

  /** The log ends at `endOffset` after a start: what lies behind it was lost. @returns how many batches */
  cutTo(endOffset: number): number {
    const what = `${this.name} ends at ${endOffset}`;
    demand(endOffset >= this.shownOffset, `${what}, but ${this.shownOffset} was shown`);
    const kept = this.batches.filter((batch) => batch.endOffset <= endOffset);
    const lostCount = this.batches.length - kept.length;
    this.batches = kept;
    demand(this.endOffset === endOffset, `${what}, where no batch ends`);
    this.shownOffset = endOffset;
    return lostCount;
  }

  /** The bytes that a reader finds from the log's start to `endOffset`. */
  expectedBytes(endOffset: number): Uint8Array {
    const isKept = (batch: StoredBatch) =>
      batch.endOffset > this.logStart.promised && batch.endOffset <= endOffset;
    return Buffer.concat(this.batches.filter(isKept).map(({ bytes }) => bytes));
  }

  /** The last batches of a producer, of its latest epoch: a repetition of them has to be recognised. */
  lastOf(producerId: number): readonly StoredBatch[] {
    const all = this.batches.filter(({ header }) => header.producerId === producerId);
    const epoch = all.at(-1)?.header.producerEpoch;
    return all.filter(({ header }) => header.producerEpoch === epoch).slice(-5);
  }
}

export class TopicModel {
  readonly topicId: string;
  readonly name: string;
  state: "creating" | "there" | "deleting" | "gone" = "creating";
  readonly partitionCount = new RisingNumber();
  readonly partitions: PartitionModel[] = [];

  constructor(topicId: string, name: string, partitionCount: number) {
    this.topicId = topicId;
    this.name = name;
    this.partitionCount.promise(partitionCount);
  }

  partition(index: number): PartitionModel {
    for (let next = this.partitions.length; next <= index; next += 1) {
      this.partitions.push(new PartitionModel(`${this.name}-${next}`));
    }
    const partition = this.partitions[index];
    demand(partition !== undefined, "it has just been made");
    return partition;
  }
}

export interface ProducerFields {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

/** What a producer sends. */
export function sentBatch(
  sizes: { readonly recordCount: number; readonly valueBytes: number },
  timestampMs: number,
  producer: ProducerFields | undefined,
): Uint8Array {
  const records = Array.from({ length: sizes.recordCount }, (_, offset) => ({
    offset,
    timestampMs: timestampMs + offset,
    key: null,
    value: new Uint8Array(sizes.valueBytes).fill(timestampMs % 251),
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records, producer ?? {}));
}

/** What happened, for the totals that show that the simulation does something. */
export interface StorageCounts {
  lives: number;
  crashes: number;
  crashesInOpen: number;
  appended: number;
  lost: number;
  duplicates: number;
  seals: number;
  releases: number;
  deletedTopics: number;
  deletedRecords: number;
  merges: number;
  workerDeaths: number;
  failures: number;
  lostIndexes: number;
  generations: number;
}

export function noStorageCounts(): StorageCounts {
  return {
    lives: 0,
    crashes: 0,
    crashesInOpen: 0,
    appended: 0,
    lost: 0,
    duplicates: 0,
    seals: 0,
    releases: 0,
    deletedTopics: 0,
    deletedRecords: 0,
    merges: 0,
    workerDeaths: 0,
    failures: 0,
    lostIndexes: 0,
    generations: 0,
  };
}
