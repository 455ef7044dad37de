/**
 * Brings groups from the slab to the disk: one write and one sync at a time, and everything appended meanwhile
 * forms the next group. Order is the whole point:
 *
 *   group N is written before group N+1; file N is synced before file N+1 gets its first group;
 *   `durableAddress` rises only after the sync; listeners hear of it before the waiters do.
 *
 * A failed write or sync is final: nothing is tried again, everyone who waits is told.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Slab } from "../core/slab.ts";
import type { Group } from "./group.ts";
import { type WalAddress, walAddressOf } from "./wal-address.ts";
import type { WalFiles } from "./wal-files.ts";
import { blockEndOf, writeGroupHeader } from "./wal-format.ts";

export interface GroupCommitOptions {
  readonly slab: Slab;
  readonly files: WalFiles;
  readonly clock: Clock;
  /** An append that nobody waits for is synced after this time. */
  readonly syncDelayMsMax: number;
  /** Runs its argument soon, when the events at hand have been taken in. */
  readonly defer: (action: () => void) => void;
  readonly runNumber: number;
  /** End of what recovery found durable, and the CRC of the last group before it. */
  readonly durableAddress: WalAddress;
  readonly previousCrc: number;
  readonly onDurable: (durableAddress: WalAddress) => void;
  /** @returns what those who wait are told */
  readonly onFailure: (reason: unknown) => Error;
  readonly onSync: (latencyMs: number) => void;
}

/** The one writer of the WAL's files. */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** In order; the durable ones are gone, the last one may be open. */
  readonly #groups: Group[] = [];
  #durableAddress: WalAddress;
  #writtenAddress: WalAddress;
  #previousCrc: number;
  #state: "idle" | "scheduled" | "running" | "stopped" = "idle";
  #isWriteWanted = false;
  #isSyncWanted = false;
  #cancelSyncTimer: CancelTimer | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#durableAddress = options.durableAddress;
    this.#writtenAddress = options.durableAddress;
    this.#previousCrc = options.previousCrc;
  }

  /** Everything below it is on disk. `durableAddress <= writtenAddress`. */
  get durableAddress(): WalAddress {
    return this.#durableAddress;
  }

  /** Everything below it has reached the operating system. */
  get writtenAddress(): WalAddress {
    return this.#writtenAddress;
  }

  /** Nothing waits to become durable. */
  get isAllDurable(): boolean {
    return this.#groups.length === 0;
  }

  /** Takes a group that has just been opened. It is synced in `syncDelayMsMax` if nobody asks for it earlier. */
  add(group: Group): void {
    this.#groups.push(group);
    this.#cancelSyncTimer ??= this.#options.clock.after(this.#options.syncDelayMsMax, () => {
      this.#cancelSyncTimer = undefined;
      if (!this.isAllDurable) this.requestSync();
    });
  }

  /** Resolves when every group up to `address` (an end, or a place inside an entry) has been written. */
  whenWritten(address: WalAddress): Promise<void> {
    const group = this.#groupOf(address);
    if (group === undefined || group.isWritten) return RESOLVED;
    this.#isWriteWanted = true;
    this.#schedule();
    return group.whenWritten();
  }

  /** Resolves when every group up to `address` (an end, or a place inside an entry) is durable. */
  whenDurable(address: WalAddress): Promise<void> {
    const group = this.#groupOf(address);
    if (group === undefined) return RESOLVED;
    this.requestSync();
    return group.whenDurable();
  }

  /** Makes everything appended so far durable as soon as possible. */
  requestSync(): void {
    this.#isSyncWanted = true;
    this.#schedule();
  }

  /** Nothing is written any more. */
  stop(): void {
    this.#state = "stopped";
    this.#cancelSyncTimer?.();
    this.#cancelSyncTimer = undefined;
  }

  /** The group that holds the byte before `address`; the last one if it is beyond all. */
  #groupOf(address: WalAddress): Group | undefined {
    if (address <= this.#durableAddress) return undefined;
    for (let index = this.#groups.length - 1; index > 0; index -= 1) {
      const group = this.#groups[index];
      if (group !== undefined && walAddressOf(group.file.sequence, group.start) < address) {
        return group;
      }
    }
    return this.#groups[0];
  }

  #schedule(): void {
    if (this.#state !== "idle") return;
    this.#state = "scheduled";
    this.#options.defer(() => {
      void this.#run(); // Never rejects.
    });
  }

  async #run(): Promise<void> {
    this.#state = "running";
    try {
      while (this.#isWriteWanted || this.#isSyncWanted) {
        const isSync = this.#isSyncWanted;
        this.#isWriteWanted = false;
        this.#isSyncWanted = false;
        await this.#commitAll(isSync);
      }
      this.#state = "idle";
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  async #commitAll(isSync: boolean): Promise<void> {
    const last = this.#groups.at(-1);
    if (last?.isOpen) last.seal();
    let left = this.#groups.length;
    while (left > 0) {
      const sequence = this.#groups[0]?.file.sequence;
      let count = 1;
      while (count < left && this.#groups[count]?.file.sequence === sequence) count += 1;
      await this.#commitFile(count, isSync || count < left);
      left -= count;
    }
  }

  /** Writes the first `count` groups, all of one file, and syncs them. */
  async #commitFile(count: number, isSync: boolean): Promise<void> {
    const { files, slab, clock } = this.#options;
    const groups = this.#groups.slice(0, count);
    const first = groups[0];
    if (first === undefined) return;
    const file = first.file.file ?? (await files.opened(first.file));
    const startedMs = clock.monotonicMs();
    const isAlone = count === 1 && !first.isWritten;
    for (const group of groups) {
      if (group.isWritten) continue;
      const position = slab.positionOf(group.start);
      const lengthBytes = this.#finish(group, position);
      const bytes = slab.bytes.subarray(position, position + lengthBytes);
      if (isSync && isAlone) {
        await file.writeDurably(bytes, group.start);
      } else {
        await file.write(bytes, group.start);
        this.#writtenAddress = group.endAddress;
        group.markWritten();
      }
    }
    if (!isSync) return;
    if (!isAlone) await file.sync();
    this.#options.onSync(clock.monotonicMs() - startedMs);
    this.#setDurable(groups);
  }

  /** Writes the group's header and the zeros behind it. @returns the bytes to write, whole blocks. */
  #finish(group: Group, position: number): number {
    const { slab, runNumber } = this.#options;
    const lengthBytes = group.end - group.start;
    const blockBytes = blockEndOf(lengthBytes);
    slab.bytes.fill(0, position + lengthBytes, position + blockBytes);
    this.#previousCrc = writeGroupHeader(slab.bytes, position, {
      flags: group.flags,
      entryCount: group.entryCount,
      entriesCrc: group.entriesCrc,
      position: group.start,
      lengthBytes,
      nextPosition: group.nextPosition,
      previousCrc: this.#previousCrc,
      durableAddress: this.#durableAddress,
      runNumber,
      sequence: group.file.sequence,
      seed: group.file.seed,
    });
    return blockBytes;
  }

  #setDurable(groups: readonly Group[]): void {
    this.#groups.splice(0, groups.length);
    const last = groups.at(-1);
    if (last === undefined) return;
    this.#durableAddress = last.endAddress;
    this.#writtenAddress = Math.max(this.#writtenAddress, last.endAddress);
    this.#options.onDurable(this.#durableAddress);
    for (const group of groups) group.markDurable();
  }

  #fail(reason: unknown): void {
    this.stop();
    const failure = this.#options.onFailure(reason);
    for (const group of this.#groups) group.fail(failure);
  }
}

const RESOLVED = Promise.resolve();
