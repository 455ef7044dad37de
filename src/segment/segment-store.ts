/**
 * The segments on the local disk, as the log reads them: which there are (`SegmentIndex`), their open files, and
 * whole batches out of them. A segment that is merged away stays readable for those who are reading it; whoever
 * comes later hears `RangeMovedError` and looks again.
 */

import type { Disk, DiskFile } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import {
  type PartitionPlace,
  RangeMovedError,
  type SealedLog,
  type SealedRange,
} from "../log/sealed-log.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { ArchiveReader } from "./archive-reader.ts";
import { LocalFileSource, type RangeSource } from "./archive-source.ts";
import { RangeReader, READ_OVERHEAD_BYTES } from "./range-reader.ts";
import { type FoundRange, SegmentIndex } from "./segment-index.ts";
import { segmentFileName } from "./segment-writer.ts";
import type { SegmentsChange } from "./segments-change.ts";

/** Segments whose files stay open. */
const OPEN_SEGMENTS_MAX = 64;
export interface SegmentStoreOptions {
  readonly disk: Disk;
  /** Where the segments lie. */
  readonly directory: string;
  readonly logger: Logger;
}

/** Hears of what is about to be deleted. */
export interface DeletionListener {
  topicDeleted(topicId: string): void;
  recordsDeleted(place: PartitionPlace, offset: number): void;
}

interface OpenSegment {
  readonly file: DiskFile;
  readonly reader: ArchiveReader;
  /** As it was when opened: it grows when the search index is appended. */
  readonly lengthBytes: number;
}

/** Owns the index of segments and their open files. */
export class SegmentStore implements SealedLog {
  readonly readOverheadBytes = READ_OVERHEAD_BYTES;
  readonly index: SegmentIndex;
  readonly directory: string;
  readonly #disk: Disk;
  readonly #logger: Logger;
  /** In the order of use, the latest last. */
  readonly #open = new Map<string, Promise<OpenSegment>>();
  readonly #ranges = new RangeReader();
  readonly #pins = new Map<string, number>();
  /** No longer registered; their objects go when nobody reads them. */
  readonly #doomed = new Set<string>();
  readonly #removals = new Set<Promise<void>>();
  #readBytes = 0;
  readonly #listeners = new Set<(change: SegmentsChange) => void>();
  readonly #deletionListeners = new Set<DeletionListener>();

  constructor(options: SegmentStoreOptions, index = new SegmentIndex()) {
    this.index = index;
    this.directory = options.directory;
    this.#disk = options.disk;
    this.#logger = options.logger;
  }

  /** Takes in a registration; applying one again changes nothing. */
  apply(change: SegmentsChange): void {
    this.index.apply(change);
    for (const listener of this.#listeners) listener(change);
  }

  /** Calls `listener` after every change. @returns ends that */
  onChanged(listener: (change: SegmentsChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The topic's records are in no segment any more. */
  deleteTopic(topicId: string): void {
    for (const listener of this.#deletionListeners) listener.topicDeleted(topicId);
    this.index.deleteTopic(topicId);
  }

  /** Records below `offset` are in no segment any more. */
  deleteRecordsBefore(place: PartitionPlace, offset: number): void {
    for (const listener of this.#deletionListeners) listener.recordsDeleted(place, offset);
    this.index.setLogStartOffset(place.topicId, place.partition, offset);
  }

  /** Calls `listener` before every deletion. @returns ends that */
  onDeletion(listener: DeletionListener): () => void {
    this.#deletionListeners.add(listener);
    return () => this.#deletionListeners.delete(listener);
  }

  /** Read of segments' objects to answer consumers and searches; what indexes were asked for is not among it. */
  get readBytes(): number {
    return this.#readBytes;
  }

  endOffset({ topicId, partition }: PartitionPlace): number {
    return this.index.endOffset(topicId, partition) ?? 0;
  }

  rangeAt({ topicId, partition }: PartitionPlace, offset: number): SealedRange | undefined {
    return this.index.rangeOf(topicId, partition, offset);
  }

  rangeSince(
    { topicId, partition }: PartitionPlace,
    { timestampMs, fromOffset }: { readonly timestampMs: number; readonly fromOffset: number },
  ): SealedRange | undefined {
    return this.index.rangeSince(topicId, partition, timestampMs, fromOffset);
  }

  rangeOfMaxTimestamp(
    { topicId, partition }: PartitionPlace,
    fromOffset: number,
  ): SealedRange | undefined {
    return this.index.rangeOfMaxTimestamp(topicId, partition, fromOffset);
  }

  async startSince(range: SealedRange, timestampMs: number): Promise<number> {
    return await this.#reading(range, (found, archive) =>
      this.#ranges.startSince(found, archive, timestampMs),
    );
  }

  /** The base offset of a batch before which at most `sizeBytes` of the range lie. Throws as `read`. */
  async offsetBehindBytes(range: SealedRange, sizeBytes: number): Promise<number> {
    return await this.#reading(range, (found, archive) =>
      this.#ranges.offsetBehindBytes(found, archive, sizeBytes),
    );
  }

  async read(range: SealedRange, offset: number, maxBytes: number): Promise<Uint8Array> {
    return await this.#reading(range, (found, archive) =>
      this.#ranges.read(found, archive, { offset, maxBytes }),
    );
  }

  /** Keeps the segment's object until the result is called. */
  pin(segmentId: string): () => void {
    this.#pins.set(segmentId, (this.#pins.get(segmentId) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const count = (this.#pins.get(segmentId) ?? 1) - 1;
      if (count > 0) {
        this.#pins.set(segmentId, count);
        return;
      }
      this.#pins.delete(segmentId);
      if (this.#doomed.has(segmentId)) this.#startRemoval(segmentId);
    };
  }

  /** Whether somebody reads the segment, or its object is about to be deleted. */
  isHeld(segmentId: string): boolean {
    return this.#pins.has(segmentId) || this.#doomed.has(segmentId);
  }

  /** Deletes the object of a segment that is no longer registered, as soon as nobody reads it. */
  remove(segmentId: string): void {
    this.#doomed.add(segmentId);
    if (!this.#pins.has(segmentId)) this.#startRemoval(segmentId);
  }

  /** Waits for removals under way and closes every file. */
  async close(): Promise<void> {
    await Promise.all(this.#removals);
    for (const segmentId of [...this.#open.keys()]) await this.#close(segmentId);
  }

  pathOf(segmentId: string): string {
    return `${this.directory}/${segmentFileName(segmentId)}`;
  }

  /** Runs `work` with the segment of `range` open and pinned. */
  async #reading<Result>(
    range: SealedRange,
    work: (found: FoundRange, reader: ArchiveReader) => Promise<Result>,
  ): Promise<Result> {
    const { topicId, partition, segmentId, startOffset } = range;
    const found = this.index.rangeOf(topicId, partition, startOffset);
    if (found?.segmentId !== segmentId) throw new RangeMovedError();
    const unpin = this.pin(segmentId);
    try {
      const { reader } = await this.#opened(found);
      return await work(found, reader);
    } catch (thrown) {
      if (thrown instanceof KafkaError) throw thrown;
      throw new KafkaError(ErrorCode.kafkaStorageError, `Segment ${segmentId} can't be read.`, {
        cause: thrown,
      });
    } finally {
      unpin();
    }
  }

  async #opened({ segmentId, lengthBytes }: FoundRange): Promise<OpenSegment> {
    let opening = this.#open.get(segmentId);
    this.#open.delete(segmentId);
    opening ??= this.#openFile(segmentId, lengthBytes);
    this.#open.set(segmentId, opening);
    try {
      const opened = await opening;
      await this.#closeIdle();
      return opened;
    } catch (thrown) {
      if (this.#open.get(segmentId) === opening) this.#open.delete(segmentId);
      throw thrown;
    }
  }

  async #openFile(segmentId: string, lengthBytes: number): Promise<OpenSegment> {
    const file = await this.#disk.open(this.pathOf(segmentId), "read");
    try {
      const source = this.#counted(new LocalFileSource(file));
      const reader = await ArchiveReader.open(source, lengthBytes);
      return { file, reader, lengthBytes };
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }

  #counted(source: RangeSource): RangeSource {
    return {
      name: source.name,
      readRange: async (start, end) => {
        const bytes = await source.readRange(start, end);
        this.#readBytes += bytes.length;
        return bytes;
      },
    };
  }

  async #closeIdle(): Promise<void> {
    for (const segmentId of this.#open.keys()) {
      if (this.#open.size <= OPEN_SEGMENTS_MAX) return;
      if (!this.#pins.has(segmentId)) await this.#close(segmentId);
    }
  }

  async #close(segmentId: string): Promise<void> {
    const opening = this.#open.get(segmentId);
    this.#open.delete(segmentId);
    const opened = await opening?.catch(() => undefined);
    await opened?.file.close();
  }

  #startRemoval(segmentId: string): void {
    const removal = this.#remove(segmentId).finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  /** Never rejects: what could not be removed is told, and swept later. */
  async #remove(segmentId: string): Promise<void> {
    this.#doomed.delete(segmentId);
    try {
      await this.#close(segmentId);
      await this.#disk.remove(this.pathOf(segmentId));
    } catch (thrown) {
      this.#logger.warn("segment_not_removed", { segmentId, reason: String(thrown) });
    }
  }
}
