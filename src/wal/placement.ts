/**
 * Decides where the next entry goes: into the open group, behind it, over the end of the slab, or into the next
 * file. Pure arithmetic over addresses; the disk is `GroupCommit`'s.
 *
 * A *linear* position counts files of one size without the gaps of addresses, so that distances mean something.
 */

import { assert } from "../core/assert.ts";
import type { Slab } from "../core/slab.ts";
import { Group } from "./group.ts";
import type { GroupCommit } from "./group-commit.ts";
import { filePositionOf, fileSequenceOf, type WalAddress, walAddressOf } from "./wal-address.ts";
import type { WalFile, WalFiles } from "./wal-files.ts";
import { BLOCK_BYTES, FILE_HEADER_BYTES, GROUP_HEADER_BYTES, GroupFlag } from "./wal-format.ts";

export interface PlacementOptions {
  readonly slab: Slab;
  readonly files: WalFiles;
  readonly commit: GroupCommit;
  /** Of every file that this run starts. */
  readonly fileBytes: number;
  /** Where the first group goes. */
  readonly file: WalFile;
  readonly position: number;
}

/** The owner of the WAL's growing end. */
export class Placement {
  readonly #slab: Slab;
  readonly #files: WalFiles;
  readonly #commit: GroupCommit;
  readonly #fileBytes: number;
  #file: WalFile;
  /** The newest group; undefined before the first one of a file. */
  #group: Group | undefined;
  #startPosition: number;
  /** From here on all files have the size of this run. */
  readonly #linearStart: WalAddress;

  constructor(options: PlacementOptions) {
    this.#slab = options.slab;
    this.#files = options.files;
    this.#commit = options.commit;
    this.#fileBytes = options.fileBytes;
    this.#file = options.file;
    this.#startPosition = options.position;
    const isOwnSize = options.file.fileBytes === options.fileBytes;
    this.#linearStart = walAddressOf(options.file.sequence + (isOwnSize ? 0 : 1), 0);
  }

  /** Exclusive end of what was appended. */
  get appendedAddress(): WalAddress {
    const group = this.#group;
    const position = group?.isOpen ? group.end : this.#nextGroupPosition;
    return walAddressOf(this.#file.sequence, position);
  }

  /** The linear end of the file in use. */
  get fileEnd(): number {
    return (this.#file.sequence + 1) * this.#fileBytes;
  }

  /** Whether the next group goes into the next file. */
  get isAtFileEnd(): boolean {
    return this.#nextGroupStart === this.#file.fileBytes;
  }

  /** Whether more than half of the file in use is taken. */
  get isPastHalf(): boolean {
    return this.#nextGroupStart > this.#file.fileBytes / 2;
  }

  /** Addresses in a file of another size, which an earlier run has left, count as the start of the next. */
  linearOf(address: WalAddress): number {
    const linear = fileSequenceOf(address) * this.#fileBytes + filePositionOf(address);
    return address < this.#linearStart
      ? fileSequenceOf(this.#linearStart) * this.#fileBytes
      : linear;
  }

  /** The linear end that an entry of `entryBytes` would have; beyond `fileEnd` if it needs the next file. */
  endAfter(entryBytes: number): number {
    const group = this.#group;
    const isJoining = group?.isOpen === true && this.#fits(group, entryBytes);
    if (isJoining) return this.#file.sequence * this.#fileBytes + group.end + entryBytes;
    let position = group?.isOpen ? this.#lapEndOf(group.end) : this.#nextGroupPosition;
    if (position < this.#file.fileBytes && !this.#fitsBehind(position, entryBytes)) {
      position = this.#lapEndOf(position + 1);
    }
    const isRoll = position === this.#file.fileBytes;
    const start = isRoll
      ? this.fileEnd + FILE_HEADER_BYTES
      : this.#file.sequence * this.#fileBytes + position;
    return start + GROUP_HEADER_BYTES + entryBytes;
  }

  /** The group that an entry of `entryBytes` joins now. The caller has checked that there is room. */
  place(entryBytes: number): Group {
    const group = this.#group;
    if (group?.isOpen) {
      if (this.#fits(group, entryBytes)) return group;
      group.seal(this.#lapEndOf(group.end));
    }
    const position = this.#nextGroupPosition;
    if (position < this.#file.fileBytes && !this.#fitsBehind(position, entryBytes)) {
      // A group without entries leads over the end of the slab's lap.
      this.#open(GroupFlag.none).seal(this.#lapEndOf(position + 1));
    }
    if (this.#nextGroupPosition === this.#file.fileBytes) this.#roll();
    return this.#open(GroupFlag.none);
  }

  /** Adds a group without entries; `isLastOfFile` says that the next one goes into the next file. */
  addMarker(flags: number, isLastOfFile = false): void {
    if (this.#group?.isOpen) this.#group.seal();
    if (this.#nextGroupPosition === this.#file.fileBytes) this.#roll();
    const group = this.#open(flags);
    group.seal(isLastOfFile ? this.#file.fileBytes : group.start + BLOCK_BYTES);
  }

  get #nextGroupPosition(): number {
    return this.#group?.nextPosition ?? this.#startPosition;
  }

  get #nextGroupStart(): number {
    return this.#group?.isOpen ? this.#group.end : this.#nextGroupPosition;
  }

  #open(flags: number): Group {
    const group = new Group(this.#file, this.#nextGroupPosition, flags);
    this.#group = group;
    this.#commit.add(group);
    return group;
  }

  #roll(): void {
    const next = this.#files.takeNext();
    assert(next.sequence === this.#file.sequence + 1, "files follow each other");
    this.#file = next;
    this.#group = undefined;
    this.#startPosition = FILE_HEADER_BYTES;
  }

  /** Whether the entry fits between the group's end and the end of the slab's lap. */
  #fits(group: Group, entryBytes: number): boolean {
    return entryBytes <= this.#slab.bytesToEnd(group.end - 1) - 1;
  }

  /** Whether a new group at `position` with the entry in it ends within the slab's lap. */
  #fitsBehind(position: number, entryBytes: number): boolean {
    return GROUP_HEADER_BYTES + entryBytes <= this.#slab.bytesToEnd(position);
  }

  /** The first end of a slab's lap at or behind `position` of the file. */
  #lapEndOf(position: number): number {
    return Math.ceil(position / this.#slab.sizeBytes) * this.#slab.sizeBytes;
  }
}
