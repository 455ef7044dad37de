/**
 * A window that slides forward over a file: large reads, the next one already under way, and any wanted range
 * contiguous in memory. `bytes` and `indexOf` are valid until the next `load`.
 */

import type { DiskFile } from "../core/disk.ts";

/** One read. */
const CHUNK_BYTES = 2 * 1024 * 1024;
/** What may be carried over from the chunk before. */
const CARRY_BYTES = 1024 * 1024;

export interface FileWindowOptions {
  readonly file: DiskFile;
  /** Nothing at or beyond it is read. */
  readonly endPosition: number;
  readonly chunkBytes?: number;
}

/** Owns its buffers; never more than two of them, unless one range is larger than a chunk. */
export class FileWindow {
  bytes: Uint8Array = new Uint8Array(0);
  readonly #file: DiskFile;
  readonly #endPosition: number;
  readonly #chunkBytes: number;
  readonly #carryBytes: number;
  /** Of the file: `bytes[index]` is the byte at `index + #offset`, for positions in [from, to). */
  #offset = 0;
  #from = 0;
  #to = 0;
  #spare: Uint8Array | undefined;
  #ahead: { readonly bytes: Uint8Array; readonly read: Promise<number> } | undefined;

  constructor(options: FileWindowOptions) {
    this.#file = options.file;
    this.#endPosition = options.endPosition;
    this.#chunkBytes = Math.min(options.chunkBytes ?? CHUNK_BYTES, options.endPosition);
    this.#carryBytes = Math.min(CARRY_BYTES, this.#chunkBytes);
  }

  /** Where the byte at `position` lies in `bytes`. */
  indexOf(position: number): number {
    return position - this.#offset;
  }

  /** Whether [position, position + lengthBytes) is in memory. */
  holds(position: number, lengthBytes: number): boolean {
    return position >= this.#from && position + lengthBytes <= this.#to;
  }

  /**
   * Brings [position, position + lengthBytes) into memory, in `bytes` from `indexOf(position)` on.
   * @returns false if the file ends before.
   */
  async load(position: number, lengthBytes: number): Promise<boolean> {
    if (this.holds(position, lengthBytes)) return true;
    if (position + lengthBytes > this.#endPosition) return false;
    if (!(await this.#slide(position))) await this.#jump(position, lengthBytes);
    if (!this.holds(position, lengthBytes)) await this.#jump(position, lengthBytes);
    this.#startAhead();
    return this.holds(position, lengthBytes);
  }

  /** Waits for the read under way, so that the file can be closed. */
  async close(): Promise<void> {
    await this.#ahead?.read.catch(() => {});
  }

  /** Takes the chunk that follows the window, with what is left of the window in front of it. */
  async #slide(position: number): Promise<boolean> {
    const ahead = this.#ahead;
    const carried = this.#to - position;
    if (ahead === undefined || carried < 0 || carried > this.#carryBytes) return false;
    if (position < this.#from) return false;
    this.#ahead = undefined;
    const readBytes = await ahead.read;
    const start = this.#carryBytes - carried;
    ahead.bytes.set(this.bytes.subarray(this.indexOf(position), this.indexOf(this.#to)), start);
    this.#spare = this.bytes.length === ahead.bytes.length ? this.bytes : undefined;
    this.bytes = ahead.bytes;
    this.#offset = position - start;
    this.#from = position;
    this.#to += readBytes;
    return true;
  }

  async #jump(position: number, lengthBytes: number): Promise<void> {
    await this.#ahead?.read.catch(() => {});
    this.#ahead = undefined;
    const wanted = Math.min(Math.max(lengthBytes, this.#chunkBytes), this.#endPosition - position);
    const sizeBytes = Math.max(wanted, this.#carryBytes + this.#chunkBytes);
    if (this.bytes.length < sizeBytes) this.bytes = new Uint8Array(sizeBytes);
    const readBytes = await this.#file.read(this.bytes.subarray(0, wanted), position);
    this.#offset = position;
    this.#from = position;
    this.#to = position + readBytes;
  }

  #startAhead(): void {
    const lengthBytes = Math.min(this.#chunkBytes, this.#endPosition - this.#to);
    if (this.#ahead !== undefined || lengthBytes <= 0) return;
    const bytes = this.#spare ?? new Uint8Array(this.#carryBytes + this.#chunkBytes);
    this.#spare = undefined;
    const target = bytes.subarray(this.#carryBytes, this.#carryBytes + lengthBytes);
    const read = this.#file.read(target, this.#to);
    read.catch(() => {}); // Whoever takes the chunk gets the error.
    this.#ahead = { bytes, read };
  }
}
