/** What the HTTP edge needs of the log, to show topics and their records: names, reaches, stored batches. */

export interface SourceTopic {
  readonly topicId: string;
  readonly name: string;
  readonly partitionCount: number;
  readonly createdMs: number;
}

/** What a partition holds now, below its high watermark. */
export interface PartitionReach {
  /** First offset kept. */
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
}

export interface PartitionPlace {
  readonly topicId: string;
  readonly partition: number;
}

/** A stretch of a partition to be read from its start. */
export interface ReadStretch {
  /** It may lie inside a batch. */
  readonly offset: number;
  /** Exclusive: batches that start at or beyond it are left out. */
  readonly endOffset: number;
  /** Of all batches together; the first one is there even if it is larger. */
  readonly maxBytes: number;
}

export interface RecordSource {
  /** In the order of their names. */
  topics(): readonly SourceTopic[];
  topic(name: string): SourceTopic | undefined;
  /** Undefined if there is no such partition (any more). */
  reachOf(place: PartitionPlace): PartitionReach | undefined;
  /** Of its batches as they are stored, about; 0 if there is no such partition. */
  sizeBytesOf(place: PartitionPlace): number;
  /** Whole batches in the order of offsets, which nobody changes afterwards; none if there are none (any more). */
  readBatches(place: PartitionPlace, stretch: ReadStretch): Promise<readonly Uint8Array[]>;
  /** Of the first record in offset order with at least this timestamp; undefined if there is none. */
  offsetSince(place: PartitionPlace, timestampMs: number): Promise<number | undefined>;
}
