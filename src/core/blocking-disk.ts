/**
 * The machine's file system for Workers that do nothing else meanwhile: the calling thread waits, at its own
 * priority. The thread pool, which few threads of normal priority share, is left to acknowledgements and fetches.
 * Promises are settled when they are returned; a loop over them lets no message in.
 */

import fs from "node:fs";
import { assert } from "./assert.ts";
import { type Disk, type DiskFile, diskErrorOf, systemDisk } from "./disk.ts";

const { O_CREAT, O_DSYNC, O_RDONLY, O_RDWR, O_TRUNC } = fs.constants;

/** What is rare, or hardly takes time, goes to the thread pool all the same. */
export const blockingDisk: Disk = {
  ...systemDisk,
  open: (path, mode) => settled(path, () => openFile(path, mode)),
  create: (path, sizeBytes) => settled(path, () => createFile(path, sizeBytes)),
};

function openFile(path: string, mode: "read" | "readWrite"): BlockingFile {
  return new BlockingFile(path, fs.openSync(path, mode === "read" ? O_RDONLY : O_RDWR));
}

function createFile(path: string, sizeBytes: number): BlockingFile {
  const descriptor = fs.openSync(path, O_CREAT | O_RDWR | O_TRUNC);
  fs.ftruncateSync(descriptor, sizeBytes);
  return new BlockingFile(path, descriptor);
}

/** One open file of the machine. */
class BlockingFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  #durableDescriptor: number | undefined;
  /** A closed descriptor's number soon stands for another file: it must never be used again. */
  #isClosed = false;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  sizeBytes(): Promise<number> {
    return this.#settled(() => fs.fstatSync(this.#descriptor).size);
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#settled(() => {
      let doneBytes = 0;
      while (doneBytes < target.length) {
        const restBytes = target.length - doneBytes;
        const at = position + doneBytes;
        const count = fs.readSync(this.#descriptor, target, doneBytes, restBytes, at);
        if (count === 0) break;
        doneBytes += count;
      }
      return doneBytes;
    });
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#settled(() => writeAll(this.#descriptor, bytes, position));
  }

  writeDurably(bytes: Uint8Array, position: number): Promise<void> {
    return this.#settled(() => {
      this.#durableDescriptor ??= fs.openSync(this.path, O_RDWR | O_DSYNC);
      writeAll(this.#durableDescriptor, bytes, position);
    });
  }

  sync(): Promise<void> {
    return this.#settled(() => fs.fdatasyncSync(this.#descriptor));
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#settled(() => fs.ftruncateSync(this.#descriptor, sizeBytes));
  }

  close(): Promise<void> {
    return this.#settled(() => {
      this.#isClosed = true;
      if (this.#durableDescriptor !== undefined) fs.closeSync(this.#durableDescriptor);
      fs.closeSync(this.#descriptor);
    });
  }

  #settled<Result>(call: () => Result): Promise<Result> {
    assert(!this.#isClosed, `${this.path} is closed`);
    return settled(this.path, call);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  let doneBytes = 0;
  while (doneBytes < bytes.length) {
    const restBytes = bytes.length - doneBytes;
    doneBytes += fs.writeSync(descriptor, bytes, doneBytes, restBytes, position + doneBytes);
  }
}

function settled<Result>(path: string, call: () => Result): Promise<Result> {
  try {
    return Promise.resolve(call());
  } catch (thrown) {
    return Promise.reject(diskErrorOf(path, thrown));
  }
}
