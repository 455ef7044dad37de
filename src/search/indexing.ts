/**
 * Fills the live index from the WAL; runs in the indexer's Worker. It follows the durable address that the main
 * thread announces, and reports what has become searchable.
 *
 * A generation is one live index and the range of the WAL it covers. When it is full it is left to the keeper
 * to be frozen, and the next one begins; a second full one waits until the first is frozen, so that at most
 * two are in memory. Every batch is in exactly one generation: ranges meet, and a generation whose Worker
 * died is made anew from its start.
 */

import { blockingDisk } from "../core/blocking-disk.ts";
import type { BusyCell } from "../core/client-traffic.ts";
import type { Clock } from "../core/clock.ts";
import { LiveIndex } from "../core/native.ts";
import { RecordPack } from "../core/record-pack.ts";
import { KafkaError } from "../protocol/errors.ts";
import type { WalEntry } from "../wal/group-scan.ts";
import { type WalAddress, walBytesBetween } from "../wal/wal-address.ts";
import { WalReader } from "../wal/wal-reader.ts";
import { packEntry } from "./document.ts";
import type { IndexCommand, IndexReport } from "./indexer-messages.ts";

/** Between commits: a record is to be a hit within a second, and a commit takes time itself. */
const COMMIT_PAUSE_MS_MIN = 400;
const COMMIT_PAUSE_MS_MAX = 1_000;
/** Packed records that go to the shim together. */
const PACK_BYTES = 512 * 1024;
/** A pack that one large batch has made larger is not kept. */
const PACK_BYTES_KEPT = 4 * PACK_BYTES;
/** Commands are let in at least as often as so much of the WAL is read. */
const BREATH_BYTES = 4 * 1024 * 1024;
/** Commits take at most this share of the time. */
const COMMIT_TIME_SHARE_MAX = 0.4;
/** So far behind, hits are late whatever is done. */
const YIELD_LAG_BYTES = 32 * 1024 * 1024;
/** One pause. */
const YIELD_MS = 250;
type IndexStart = Extract<IndexCommand, { kind: "index" }>;

export interface IndexingOptions {
  readonly start: IndexStart;
  readonly clock: Clock;
  readonly report: (report: IndexReport) => void;
}

/** Owns the live index that is being filled. `receive` never throws; `run` ends when `stop` was called, or rejects. */
export class Indexing {
  readonly #clock: Clock;
  readonly #report: (report: IndexReport) => void;
  readonly #reader: WalReader;
  readonly #walFileBytes: number;
  readonly #generationBytesMax: number;
  readonly #topicNames: Map<string, string>;
  #durableAddress: WalAddress;
  /** Everything before it is in the live index or an earlier one, or in `#pack`. */
  #indexedAddress: WalAddress;
  #committedAddress: WalAddress;
  /** What lies before it is to be committed without delay. */
  #refreshAddress = 0;
  #isSealing: boolean;
  #isStopped = false;
  #live: LiveIndex | undefined;
  readonly #packBytesMax: number;
  #pack = new RecordPack(PACK_BYTES);
  #documentCount = 0;
  #uncommittedCount = 0;
  /** Of records; the index knows its own size only after a commit. */
  #uncommittedBytes = 0;
  #lastCommitMs = Number.NEGATIVE_INFINITY;
  #commitPauseMs = COMMIT_PAUSE_MS_MIN;
  /** Where this generation began. */
  #startAddress: WalAddress;
  /** Ascending; where generations end. */
  #boundaries: WalAddress[];
  readonly #toldTopicIds = new Set<string>();
  readonly #untoldTopicIds = new Set<string>();
  readonly #busy: BusyCell;
  /** Resolves the wait for the next command. */
  #wake: () => void = () => {};

  constructor({ start, clock, report }: IndexingOptions) {
    this.#clock = clock;
    this.#report = report;
    this.#reader = new WalReader({ directory: start.walDirectory, disk: blockingDisk });
    this.#walFileBytes = start.walFileBytes;
    this.#busy = start.busy;
    this.#generationBytesMax = start.generationBytesMax;
    this.#packBytesMax = Math.min(PACK_BYTES, start.generationBytesMax / 4);
    this.#topicNames = new Map(start.topics.map(({ topicId, name }) => [topicId, name]));
    this.#durableAddress = start.durableAddress;
    this.#indexedAddress = start.startAddress;
    this.#committedAddress = start.startAddress;
    this.#startAddress = start.startAddress;
    this.#boundaries = start.boundaries.filter((address) => address > start.startAddress);
    this.#isSealing = start.isSealing;
  }

  /** Takes a command that is not the first. */
  receive(command: Exclude<IndexCommand, IndexStart>): void {
    switch (command.kind) {
      case "durable":
        this.#durableAddress = Math.max(this.#durableAddress, command.address);
        break;
      case "boundary":
        if (command.address >= this.#indexedAddress) this.#boundaries.push(command.address);
        break;
      case "refresh":
        this.#durableAddress = Math.max(this.#durableAddress, command.address);
        this.#refreshAddress = Math.max(this.#refreshAddress, command.address);
        break;
      case "topicAdded":
        this.#topicNames.set(command.topic.topicId, command.topic.name);
        break;
      case "topicRemoved":
        this.#topicNames.delete(command.topicId);
        break;
      case "sealed":
        this.#isSealing = false;
        break;
    }
    this.#wake();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** Indexes until it is stopped. Rejects with what made it impossible to go on. */
  async run(): Promise<void> {
    this.#createIndex();
    while (!this.#isStopped) {
      if (this.#isAtBoundary()) await this.#endAtBoundary();
      else if (this.#indexedAddress < this.#durableAddress) await this.#indexChunks();
      else if (this.#committedAddress < this.#indexedAddress) await this.#commitWhenDue();
      else await this.#nextCommand();
    }
  }

  #isAtBoundary(): boolean {
    const boundary = this.#boundaries[0];
    return boundary !== undefined && boundary <= this.#indexedAddress;
  }

  /** Ends the generation where a seal ends. */
  async #endAtBoundary(): Promise<void> {
    const end = this.#indexedAddress;
    this.#boundaries = this.#boundaries.filter((address) => address > end);
    if (end > this.#startAddress) await this.#seal();
  }

  /** Reads on to what is durable now, or to where a seal ends. */
  async #indexChunks(): Promise<void> {
    const endAddress = Math.min(this.#durableAddress, this.#boundaries[0] ?? this.#durableAddress);
    let breathAddress = this.#indexedAddress;
    for await (const chunk of this.#reader.entriesFrom(this.#indexedAddress, endAddress)) {
      if (this.#isStopped) return;
      for (const entry of chunk.entries) this.#add(entry);
      this.#indexedAddress = chunk.endAddress;
      const isFull = this.#pack.sizeBytes >= this.#packBytesMax;
      if (!isFull && chunk.endAddress - breathAddress < BREATH_BYTES) continue;
      if (isFull) await this.#flushAndCommit();
      breathAddress = chunk.endAddress;
      await this.#breathe();
      await this.#yieldToClients();
    }
    // The last group may end in padding up to the file's end.
    this.#indexedAddress = Math.max(this.#indexedAddress, endAddress);
    // Also where more is durable by now: a steady stream must not put off its own hits.
    await this.#flushAndCommit();
  }

  async #flushAndCommit(): Promise<void> {
    this.#flush();
    if (this.#isCommitDue()) this.#commit();
    if (this.#isFull()) await this.#seal();
  }

  /**
   * Pauses while clients are busy and the index is too far behind for fresh hits anyway. Whoever waits for a refresh
   * ends that.
   */
  async #yieldToClients(): Promise<void> {
    while (!this.#isStopped && this.#refreshAddress <= this.#committedAddress) {
      const lag = [this.#indexedAddress, this.#durableAddress] as const;
      if (Atomics.load(this.#busy, 0) === 0) return;
      if (walBytesBetween(...lag, this.#walFileBytes) < YIELD_LAG_BYTES) return;
      await this.#pause(YIELD_MS);
    }
  }

  #add(entry: WalEntry): void {
    if (entry.kind !== "batch") return;
    const topic = this.#topicNames.get(entry.topicId);
    // Of a topic that was deleted, or is not indexed.
    if (topic === undefined) return;
    try {
      const count = packEntry(this.#pack, entry, topic);
      if (count > 0 && !this.#toldTopicIds.has(entry.topicId)) {
        this.#untoldTopicIds.add(entry.topicId);
      }
    } catch (thrown) {
      if (!(thrown instanceof KafkaError)) throw thrown;
      const { topicId, partition, baseOffset } = entry;
      const reason = thrown.message;
      this.#report({ kind: "skipped", topicId, partition, baseOffset, reason });
    }
  }

  #flush(): void {
    if (this.#pack.recordCount > 0) {
      const live = this.#live ?? this.#createIndex();
      this.#tellTopics(live);
      this.#uncommittedCount += live.add(this.#pack.bytes());
      this.#uncommittedBytes += this.#pack.sizeBytes;
    }
    if (this.#pack.sizeBytes > PACK_BYTES_KEPT) this.#pack = new RecordPack(PACK_BYTES);
    else this.#pack.reset();
  }

  #tellTopics(live: LiveIndex): void {
    const topicIds = [...this.#untoldTopicIds];
    if (topicIds.length === 0) return;
    for (const topicId of topicIds) this.#toldTopicIds.add(topicId);
    this.#untoldTopicIds.clear();
    this.#report({ kind: "topics", indexNumber: live.number, topicIds });
  }

  #isFull(): boolean {
    if (this.#documentCount + this.#uncommittedCount === 0) return false;
    return this.#sizeBytes() >= this.#generationBytesMax;
  }

  #sizeBytes(): number {
    return this.#live?.stats().live?.sizeBytes ?? 0;
  }

  /** Ends this generation and begins the next one, once the one before it is frozen. */
  async #seal(): Promise<void> {
    this.#commit();
    while (this.#isSealing && !this.#isStopped) await this.#nextCommand();
    const { number } = this.#live ?? this.#createIndex();
    this.#isSealing = true;
    this.#report({ kind: "full", indexNumber: number });
    this.#createIndex();
  }

  #createIndex(): LiveIndex {
    const live = new LiveIndex();
    this.#live = live;
    this.#documentCount = 0;
    this.#uncommittedCount = 0;
    this.#uncommittedBytes = 0;
    this.#toldTopicIds.clear();
    this.#untoldTopicIds.clear();
    const startAddress = this.#committedAddress;
    this.#startAddress = startAddress;
    this.#report({ kind: "created", indexNumber: live.number, startAddress });
    return live;
  }

  #isCommitDue(): boolean {
    if (this.#uncommittedCount === 0) return false;
    if (this.#uncommittedBytes >= this.#generationBytesMax) return true;
    return this.#clock.monotonicMs() >= this.#nextCommitMs();
  }

  #nextCommitMs(): number {
    const isRefresh = this.#refreshAddress > this.#committedAddress;
    if (isRefresh && this.#refreshAddress <= this.#indexedAddress) return Number.NEGATIVE_INFINITY;
    return this.#lastCommitMs + this.#commitPauseMs;
  }

  /** Commits, or waits until it is time to or something else happens. */
  async #commitWhenDue(): Promise<void> {
    const isEmpty = this.#uncommittedCount === 0;
    const delayMs = this.#nextCommitMs() - this.#clock.monotonicMs();
    if (!isEmpty && delayMs > 0) {
      await this.#nextCommand(delayMs);
      return;
    }
    this.#commit();
    if (this.#isFull()) await this.#seal();
  }

  /** Makes searchable what was added. */
  #commit(): void {
    const startMs = this.#clock.monotonicMs();
    const live = this.#live ?? this.#createIndex();
    if (this.#uncommittedCount > 0) {
      live.commit();
      const elapsedMs = this.#clock.monotonicMs() - startMs;
      this.#lastCommitMs = startMs + elapsedMs;
      const pauseMs = elapsedMs / COMMIT_TIME_SHARE_MAX - elapsedMs;
      this.#commitPauseMs = Math.min(Math.max(pauseMs, COMMIT_PAUSE_MS_MIN), COMMIT_PAUSE_MS_MAX);
    }
    this.#documentCount += this.#uncommittedCount;
    this.#uncommittedCount = 0;
    this.#uncommittedBytes = 0;
    this.#committedAddress = this.#indexedAddress;
    this.#report({
      kind: "committed",
      indexNumber: live.number,
      endAddress: this.#committedAddress,
      documentCount: this.#documentCount,
      sizeBytes: this.#sizeBytes(),
    });
  }

  /** Resolves at the next command, or after `delayMs`. */
  #nextCommand(delayMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = delayMs === undefined ? () => {} : this.#clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#isStopped) this.#wake();
    });
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(delayMs, resolve));
  }

  /** Lets commands in. */
  #breathe(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
