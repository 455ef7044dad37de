/** Where the bytes of an archive come from: by range, wherever it lies. */

import type { Disk, DiskFile } from "../core/disk.ts";
import { uninitializedBytes } from "../core/uninitialized-bytes.ts";

/** An object that is read by range. */
export interface RangeSource {
  /** What people call it, for messages: the path of a file, the key of an object. */
  readonly name: string;
  /** The bytes `[start, end)`, for the caller to keep; fewer only if the object ends before. */
  readRange(start: number, end: number): Promise<Uint8Array>;
}

/** A file of this machine. Reads may overlap; none may begin once `close` is called. */
export class LocalFileSource implements RangeSource {
  readonly name: string;
  readonly #file: DiskFile;

  constructor(file: DiskFile) {
    this.name = file.path;
    this.#file = file;
  }

  static async open(disk: Disk, path: string): Promise<LocalFileSource> {
    return new LocalFileSource(await disk.open(path, "read"));
  }

  async readRange(start: number, end: number): Promise<Uint8Array> {
    const bytes = uninitializedBytes(end - start);
    return bytes.subarray(0, await this.#file.read(bytes, start));
  }

  /** Waits for nobody: the caller knows that no read is under way. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
