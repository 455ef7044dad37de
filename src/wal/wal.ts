/**
 * The write-ahead log: the one place of durability. Entries of all partitions, and of the metadata, one after
 * another; one sync makes everything durable that was appended before it.
 *
 * An append copies its bytes once, into the slab, and returns. The bytes lie in the slab at their address
 * modulo its size, so the slab is write buffer and tail cache in one. `GroupCommit` brings them to disk.
 *
 * Invariants: durableAddress <= writtenAddress <= appendedAddress. A group crosses neither the end of the slab
 * nor that of a file. Bytes that are not durable are never overwritten in the slab.
 */

import { assert } from "../core/assert.ts";
import { systemRandom } from "../core/clock.ts";
import { Slab } from "../core/slab.ts";
import { writeInt32At, writeInt64At } from "../protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { MAGIC_OFFSET, PARTITION_LEADER_EPOCH_OFFSET } from "../protocol/record-batch.ts";
import type { Group } from "./group.ts";
import { GroupCommit } from "./group-commit.ts";
import { IdleMark } from "./idle-mark.ts";
import { Placement } from "./placement.ts";
import { type RecoveredWal, type RecoverySummary, recoverWal } from "./recovery.ts";
import { filePositionOf, fileSequenceOf, type WalAddress, walAddressOf } from "./wal-address.ts";
import { WalFiles } from "./wal-files.ts";
import {
  ENTRY_HEADER_BYTES,
  type EntryHeader,
  EntryKind,
  FILE_HEADER_BYTES,
  GroupFlag,
  isWholeBatch,
  NO_TOPIC_ID,
  nextEntriesCrc,
  writeEntryCrc,
  writeEntryHeader,
} from "./wal-format.ts";
import type { WalBatch, WalOptions, WalSizes } from "./wal-options.ts";
import { WalRoom } from "./wal-room.ts";

const DISK_FREE_BYTES_MIN = 64 * 1024 * 1024;
const SLAB_BYTES_MIN = 16 * 1024;

/** The single writer of the WAL. */
export class Wal {
  /** What was found at start. */
  readonly recovery: RecoverySummary;
  /** The largest batch that can be appended. */
  readonly batchBytesLimit: number;
  readonly #options: WalOptions;
  readonly #slab: Slab;
  readonly #files: WalFiles;
  readonly #commit: GroupCommit;
  readonly #placement: Placement;
  readonly #room: WalRoom;
  readonly #idleMark: IdleMark;
  readonly #listeners: ((durableAddress: WalAddress) => void)[] = [];
  /** The bytes in the slab before it are older than this run. */
  readonly #slabStartAddress: WalAddress;
  #appendedBytes = 0;
  #failure: KafkaError | undefined;
  #isClosed = false;

  /**
   * Opens the WAL, new or old: recovers it, hands every entry to `onEntry`, and makes sure that all of it is
   * durable. @throws WalCorruptionError, WalVersionError, DiskError; then nothing durable has been changed
   */
  static async open(options: WalOptions): Promise<Wal> {
    const { disk, directory, logger, onEntry, fileBytes, slabBytes } = options;
    assert(fileBytes % slabBytes === 0 && slabBytes >= SLAB_BYTES_MIN, "the slab divides the file");
    assert(options.walBytesMax >= 2 * fileBytes, "the WAL holds two files at least");
    await disk.createDirectory(directory);
    const startAddress = options.startAddress ?? 0;
    const { walkStart = 0 } = options;
    const places = { directory, startAddress, walkStart };
    const recovered = await recoverWal({ disk, logger, onEntry, ...places });
    const hasOtherSize = recovered.prepared?.fileBytes !== fileBytes;
    if (recovered.prepared !== undefined && hasOtherSize) {
      await recovered.prepared.file?.close();
      await disk.remove(recovered.prepared.path);
    }
    let grownBytes = () => 0;
    const files = new WalFiles(
      {
        ...options,
        random: options.random ?? systemRandom,
        grownBytes: () => grownBytes(),
        diskFreeBytesMin: options.diskFreeBytesMin ?? DISK_FREE_BYTES_MIN,
      },
      hasOtherSize ? { ...recovered, prepared: undefined } : recovered,
    );
    if (recovered.files.length === 0) {
      await files.prepareNext();
      files.takeNext();
    }
    const wal = new Wal(options, files, recovered);
    grownBytes = () => wal.#appendedBytes;
    await wal.#begin();
    return wal;
  }

  private constructor(options: WalOptions, files: WalFiles, recovered: RecoveredWal) {
    const file = files.file(files.lastSequence);
    const position = recovered.endPosition;
    const slab = new Slab(options.slabBytes);
    this.#options = options;
    this.#files = files;
    this.#slab = slab;
    this.recovery = summaryOf(recovered);
    this.batchBytesLimit = options.slabBytes / 2;
    this.#slabStartAddress = walAddressOf(file.sequence, position);
    const commit = new GroupCommit({
      ...options,
      slab,
      files,
      defer: options.defer ?? setImmediate,
      runNumber: this.runNumber,
      durableAddress: this.#slabStartAddress,
      previousCrc: recovered.previousCrc,
      onDurable: (address) => this.#onDurable(address),
      onFailure: (reason) => this.#fail(reason),
      onSync: options.onSync ?? (() => {}),
    });
    this.#commit = commit;
    const placement = new Placement({ ...options, slab, files, commit, file, position });
    this.#placement = placement;
    this.#room = new WalRoom({ ...options, files, commit, placement });
    this.#idleMark = new IdleMark({ ...options, commit, placement });
  }

  /** Rises with each start: the leader epoch of what this run appends. */
  get runNumber(): number {
    return this.recovery.runNumber + 1;
  }

  /** Exclusive end of what was appended. */
  get appendedAddress(): WalAddress {
    return this.#placement.appendedAddress;
  }

  /** Exclusive end of what a crash of the process leaves. */
  get writtenAddress(): WalAddress {
    return this.#commit.writtenAddress;
  }

  /** Exclusive end of what a power cut leaves. */
  get durableAddress(): WalAddress {
    return this.#commit.durableAddress;
  }

  /** The first address of the oldest file. */
  get startAddress(): WalAddress {
    return walAddressOf(this.#files.firstSequence, FILE_HEADER_BYTES);
  }

  sizes(): WalSizes {
    const { fileCount, sizeBytes } = this.#files;
    const waitingBytes = this.#commit.isAllDurable
      ? 0
      : this.#placement.linearOf(this.appendedAddress) -
        this.#placement.linearOf(this.durableAddress);
    const appendedBytes = this.#appendedBytes;
    return {
      appendedBytes,
      durableBytes: Math.max(0, appendedBytes - waitingBytes),
      fileCount,
      sizeBytes,
    };
  }

  /**
   * Appends a batch: copied once, base offset and leader epoch set in the copy. Synchronous; there must be room
   * (`hasRoom`). The batch is durable when `whenDurable(address)` resolves.
   * @returns the address of the batch's first byte
   * @throws KafkaError CORRUPT_MESSAGE if its length or CRC is wrong, WalFullError, or the failure that stopped
   *   the WAL; then nothing has been appended
   */
  appendBatch(batch: WalBatch): WalAddress {
    const { start, end, bytes } = batch;
    const payloadBytes = end - start;
    assert(payloadBytes <= this.batchBytesLimit, "the batch fits the slab");
    this.#throwIfUnable();
    this.#room.refuseBatch(payloadBytes + ENTRY_HEADER_BYTES);
    const group = this.#placement.place(payloadBytes + ENTRY_HEADER_BYTES);
    const slab = this.#slab.bytes;
    const at = this.#slab.positionOf(group.end);
    const payloadAt = at + ENTRY_HEADER_BYTES;
    const isWhole = start === 0 && end === bytes.length;
    slab.set(isWhole ? bytes : bytes.subarray(start, end), payloadAt);
    // Checked in the copy: what the CRC vouches for is what goes to disk.
    const isMagicKnown = slab[payloadAt + MAGIC_OFFSET] === 2;
    if (!isMagicKnown || !isWholeBatch(slab, payloadAt, payloadAt + payloadBytes)) {
      throw new KafkaError(ErrorCode.corruptMessage, "A record batch's length or CRC is wrong.");
    }
    writeInt64At(slab, payloadAt, batch.baseOffset);
    writeInt32At(slab, payloadAt + PARTITION_LEADER_EPOCH_OFFSET, batch.leaderEpoch);
    const { topicIdBytes, partition, baseOffset, leaderEpoch } = batch;
    const kind = EntryKind.batch;
    return this.#finishEntry(group, {
      kind,
      topicIdBytes,
      partition,
      baseOffset,
      leaderEpoch,
      payloadBytes,
    });
  }

  /**
   * Appends metadata. Needs no `hasRoom`: part of the slab and of the files is kept for it.
   * @returns the address of the payload's first byte @throws as `appendBatch`
   */
  appendMetadata(payload: Uint8Array): WalAddress {
    const entryBytes = payload.length + ENTRY_HEADER_BYTES;
    if (payload.length > this.batchBytesLimit) {
      throw new KafkaError(ErrorCode.kafkaStorageError, "A change of metadata is too large.");
    }
    this.#throwIfUnable();
    this.#room.refuseMetadata(entryBytes);
    const group = this.#placement.place(entryBytes);
    this.#slab.bytes.set(payload, this.#slab.positionOf(group.end) + ENTRY_HEADER_BYTES);
    return this.#finishEntry(group, {
      kind: EntryKind.metadata,
      topicIdBytes: NO_TOPIC_ID,
      partition: -1,
      baseOffset: -1,
      leaderEpoch: -1,
      payloadBytes: payload.length,
    });
  }

  /** Whether a batch of `batchBytes` can be appended now. */
  hasRoom(batchBytes: number): boolean {
    if (this.#failure !== undefined || this.#isClosed) return false;
    return this.#room.isOpenForBatch(batchBytes + ENTRY_HEADER_BYTES);
  }

  /**
   * Resolves when there may be room; ask `hasRoom` again, because others wait too.
   * @throws WalFullError if no room can come by waiting; the failure that stopped the WAL
   */
  async whenRoom(batchBytes: number): Promise<void> {
    this.#throwIfUnable();
    await this.#room.waitForBatch(batchBytes + ENTRY_HEADER_BYTES);
  }

  /** Resolves when what was appended up to `address` survives a crash of the process (acks=1). */
  whenWritten(address: WalAddress): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#commit.whenWritten(address);
  }

  /** Resolves when what was appended up to `address` survives a power cut (acks=all). */
  whenDurable(address: WalAddress): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#commit.whenDurable(address);
  }

  /** Starts to make everything durable that was appended so far. */
  requestSync(): void {
    if (!this.#commit.isAllDurable) this.#commit.requestSync();
  }

  /** Calls `listener` whenever `durableAddress` has risen, before those who wait for it go on. */
  onDurable(listener: (durableAddress: WalAddress) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * The bytes at `address` as they lie in the slab, or undefined if they have left it (or came before this
   * start). Valid only until control is given up.
   */
  viewOf(address: WalAddress, lengthBytes: number): Uint8Array | undefined {
    if (address < this.#slabStartAddress) return undefined;
    const headAddress = this.appendedAddress;
    if (address + lengthBytes > headAddress) return undefined;
    const distance = this.#placement.linearOf(headAddress) - this.#placement.linearOf(address);
    if (distance > this.#slab.sizeBytes) return undefined;
    const position = this.#slab.positionOf(address);
    if (position + lengthBytes > this.#slab.sizeBytes) return undefined;
    return this.#slab.bytes.subarray(position, position + lengthBytes);
  }

  /**
   * Reads from the file what has been written there. The bytes are as the disk gave them: the caller checks
   * the batches' CRCs. @throws WalFreedError, DiskError, KafkaError KAFKA_STORAGE_ERROR
   */
  async read(
    address: WalAddress,
    target: Uint8Array,
    targetStart: number,
    lengthBytes: number,
  ): Promise<void> {
    assert(address + lengthBytes <= this.writtenAddress, "only what was written is read");
    const sequence = fileSequenceOf(address);
    const walFile = this.#files.file(sequence);
    const unpin = this.#files.pin(sequence);
    try {
      const file = walFile.file ?? (await this.#files.opened(walFile));
      const bytes = target.subarray(targetStart, targetStart + lengthBytes);
      const readBytes = await file.read(bytes, filePositionOf(address));
      if (readBytes < lengthBytes) {
        throw new KafkaError(ErrorCode.kafkaStorageError, `${walFile.path} is cut short.`);
      }
    } finally {
      unpin();
    }
  }

  /** Keeps the file of `address` from being freed until the result is called. @throws WalFreedError */
  pin(address: WalAddress): () => void {
    return this.#files.pin(fileSequenceOf(address));
  }

  /** Frees the files that lie wholly before `address`, as soon as nobody reads them. */
  async release(address: WalAddress): Promise<void> {
    await this.#files.release(fileSequenceOf(address));
    this.#room.wake();
  }

  /** Makes everything durable, marks the end as clean, and closes the files. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#idleMark.stop();
    this.#room.fail(closedError());
    try {
      await this.#closeLog();
    } finally {
      this.#commit.stop();
      await this.#files.close();
    }
  }

  async #closeLog(): Promise<void> {
    if (this.#failure !== undefined) return;
    await this.#commit.whenDurable(this.appendedAddress);
    // Written behind a sync of its own, so that it vouches for everything before it.
    this.#placement.addMarker(GroupFlag.closed);
    await this.#commit.whenDurable(this.appendedAddress);
  }

  /** The first group of this run: what was found is durable behind it. */
  async #begin(): Promise<void> {
    const isOtherSize = this.#files.file(this.#files.lastSequence).fileBytes;
    this.#placement.addMarker(GroupFlag.opened, isOtherSize !== this.#options.fileBytes);
    await this.#commit.whenDurable(this.appendedAddress);
  }

  #finishEntry(group: Group, header: EntryHeader): WalAddress {
    const position = group.end;
    const at = this.#slab.positionOf(position);
    writeEntryHeader(this.#slab.bytes, at, header);
    writeEntryCrc(this.#slab.bytes, at, { seed: group.file.seed, position });
    const entryBytes = ENTRY_HEADER_BYTES + header.payloadBytes;
    group.end += entryBytes;
    group.entryCount += 1;
    group.entriesCrc = nextEntriesCrc(this.#slab.bytes, at, group.entriesCrc);
    this.#appendedBytes += entryBytes;
    this.#room.prepareNext();
    return walAddressOf(group.file.sequence, position + ENTRY_HEADER_BYTES);
  }

  #throwIfUnable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isClosed) throw closedError();
  }

  #onDurable(durableAddress: WalAddress): void {
    for (const listener of this.#listeners) listener(durableAddress);
    this.#idleMark.noteDurable(durableAddress);
    this.#room.wake();
  }

  /** A failed write or sync: nothing more can be promised. */
  #fail(cause: unknown): KafkaError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const failure = new KafkaError(
      ErrorCode.kafkaStorageError,
      `The write-ahead log can't be written: ${reason}`,
      { cause },
    );
    this.#failure = failure;
    this.#idleMark.stop();
    this.#room.fail(failure);
    this.#options.onFailure(failure);
    return failure;
  }
}

function summaryOf(recovered: RecoveredWal): RecoverySummary {
  const { isClean, entryCount, recoveredBytes, cutBytes, runNumber } = recovered;
  return { isClean, entryCount, recoveredBytes, cutBytes, runNumber };
}

function closedError(): KafkaError {
  return new KafkaError(ErrorCode.kafkaStorageError, "The write-ahead log is closed.");
}
