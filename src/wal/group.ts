/**
 * A group: entries that reach the disk by one write. Open while entries join it, then sealed, written and
 * durable, in this order; whoever waits for one of the last two gets a promise of the whole group.
 */

import { assert } from "../core/assert.ts";
import { type WalAddress, walAddressOf } from "./wal-address.ts";
import type { WalFile } from "./wal-files.ts";
import { blockEndOf, GROUP_HEADER_BYTES } from "./wal-format.ts";

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Positions are in `file`. */
export class Group {
  readonly file: WalFile;
  readonly flags: number;
  readonly start: number;
  /** End of the last entry, exclusive. */
  end: number;
  entryCount = 0;
  entriesCrc = 0;
  isWritten = false;
  #nextPosition: number | undefined;
  #written: Deferred | undefined;
  #durable: Deferred | undefined;

  constructor(file: WalFile, start: number, flags: number) {
    this.file = file;
    this.start = start;
    this.flags = flags;
    this.end = start + GROUP_HEADER_BYTES;
  }

  get isOpen(): boolean {
    return this.#nextPosition === undefined;
  }

  /** Where the next group starts; the file's size if that is in the next file. */
  get nextPosition(): number {
    assert(this.#nextPosition !== undefined, "the group is sealed");
    return this.#nextPosition;
  }

  /** No entry joins any more. The bytes up to `nextPosition` are skipped. */
  seal(nextPosition = blockEndOf(this.end)): void {
    assert(this.isOpen && nextPosition >= blockEndOf(this.end), "a group is sealed once");
    this.#nextPosition = nextPosition;
  }

  /** What is durable once this group is: the end of everything up to the next group. */
  get endAddress(): WalAddress {
    return walAddressOf(this.file.sequence, this.nextPosition);
  }

  whenWritten(): Promise<void> {
    this.#written ??= Promise.withResolvers<void>();
    return this.#written.promise;
  }

  whenDurable(): Promise<void> {
    this.#durable ??= Promise.withResolvers<void>();
    return this.#durable.promise;
  }

  markWritten(): void {
    this.isWritten = true;
    this.#written?.resolve();
  }

  markDurable(): void {
    if (!this.isWritten) this.markWritten();
    this.#durable?.resolve();
  }

  fail(reason: unknown): void {
    if (!this.isWritten) this.#written?.reject(reason);
    this.#durable?.reject(reason);
  }
}
