/**
 * The gateway to files. Everything runs on the thread pool; nothing blocks the event loop.
 *
 * `write` reaches the operating system only: it survives a crash of the process, not of the machine.
 * What `writeDurably` wrote, and all that was written before `sync`, survives both. A name (created,
 * renamed or removed) survives once its directory is synced.
 */

import { Database } from "bun:sqlite";
import fs from "node:fs";
import { dirname } from "node:path";
import { assert } from "./assert.ts";

export type DiskErrorKind =
  | "denied"
  | "exists"
  | "failed"
  | "full"
  | "locked"
  | "missing"
  | "readOnly";

/** What the file system refused, as one sentence for the one who runs the broker. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly kind: DiskErrorKind;
  readonly path: string;

  constructor(kind: DiskErrorKind, path: string, cause?: unknown) {
    super(sentenceOf(kind, path, cause), { cause });
    this.kind = kind;
    this.path = path;
  }
}

/** An open file. The caller may touch a buffer again when the promise is settled, not before. */
export interface DiskFile {
  readonly path: string;
  sizeBytes(): Promise<number>;
  /** Fills `target` from `position` on. @returns the bytes read: fewer only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Writes all of `bytes` and waits until they are on disk. Says nothing about earlier writes. */
  writeDurably(bytes: Uint8Array, position: number): Promise<void>;
  /** Waits until everything written is on disk. A failed sync must not be tried again. */
  sync(): Promise<void>;
  /** Cuts the file, or lengthens it by zeros without storing them. On disk with the next `sync`. */
  resize(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

/** A name in a directory. */
export interface DiskEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

export interface FileStatus {
  readonly sizeBytes: number;
  /** When it was last written to, in milliseconds since 1970-01-01 UTC. */
  readonly modifiedMs: number;
}

/** Held until released, or until the process ends in any way. */
export interface DiskLock {
  release(): void;
}

/** A file system. Every method rejects with `DiskError`. */
export interface Disk {
  /** Opens a file that exists. */
  open(path: string, mode: "read" | "readWrite"): Promise<DiskFile>;
  /** Creates an empty file, or empties the one there, and gives it `sizeBytes` of zeros without storing them. */
  create(path: string, sizeBytes: number): Promise<DiskFile>;
  rename(paths: { readonly from: string; readonly to: string }): Promise<void>;
  /** Gives a file another name on the same file system. @throws DiskError "exists" if that is taken */
  link(paths: { readonly from: string; readonly to: string }): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; none if the directory is missing. */
  list(directory: string): Promise<string[]>;
  /** What is in a directory, sorted by name; nothing if the directory is missing. */
  entries(directory: string): Promise<DiskEntry[]>;
  /** Creates the directory and those above it where they are missing. */
  createDirectory(directory: string): Promise<void>;
  syncDirectory(directory: string): Promise<void>;
  stat(path: string): Promise<FileStatus>;
  /** Bytes that this process could still write there. */
  freeBytes(directory: string): Promise<number>;
  /** Takes the lock that `path` stands for. @throws DiskError "locked" if another holder lives. */
  lock(path: string): DiskLock;
}

/** The machine's file system. */
export const systemDisk: Disk = {
  async open(path, mode) {
    const { O_RDONLY, O_RDWR } = fs.constants;
    if (mode === "read") return new SystemFile(path, await openDescriptor(path, O_RDONLY));
    return openForWriting(path, O_RDWR);
  },
  async create(path, sizeBytes) {
    const { O_CREAT, O_RDWR, O_TRUNC } = fs.constants;
    const file = await openForWriting(path, O_RDWR | O_CREAT | O_TRUNC);
    await file.resize(sizeBytes);
    return file;
  },
  rename: ({ from, to }) => settled<void>(from, (done) => fs.rename(from, to, done)),
  link: ({ from, to }) => settled<void>(to, (done) => fs.link(from, to, done)),
  remove: (path) => settled<void>(path, (done) => fs.unlink(path, done)),
  async list(directory) {
    try {
      const names = await settled<string[]>(directory, (done) => fs.readdir(directory, done));
      return names.sort();
    } catch (thrown) {
      if (thrown instanceof DiskError && thrown.kind === "missing") return [];
      throw thrown;
    }
  },
  async entries(directory) {
    try {
      const found = await settled<fs.Dirent[]>(directory, (done) =>
        fs.readdir(directory, { withFileTypes: true }, done),
      );
      const entries = found.map((each) => ({ name: each.name, isDirectory: each.isDirectory() }));
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    } catch (thrown) {
      if (thrown instanceof DiskError && thrown.kind === "missing") return [];
      throw thrown;
    }
  },
  async createDirectory(directory) {
    const first = await settled<string | undefined>(directory, (done) =>
      fs.mkdir(directory, { recursive: true }, done),
    );
    if (first === undefined) return;
    for (let created = directory; created.length >= first.length; created = dirname(created)) {
      await this.syncDirectory(dirname(created));
    }
  },
  async syncDirectory(directory) {
    const descriptor = await openDescriptor(directory, fs.constants.O_RDONLY);
    try {
      await settled<void>(directory, (done) => fs.fsync(descriptor, done));
    } finally {
      await settled<void>(directory, (done) => fs.close(descriptor, done));
    }
  },
  async stat(path) {
    const status = await settled<fs.Stats>(path, (done) => fs.stat(path, done));
    return { sizeBytes: status.size, modifiedMs: status.mtimeMs };
  },
  async freeBytes(directory) {
    const status = await settled<fs.StatsFs>(directory, (done) => fs.statfs(directory, done));
    return status.bavail * status.bsize;
  },
  lock: lockFile,
};

/** The bytes of a whole file; undefined if there is none. */
export async function readWholeFile(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (thrown) {
    if (thrown instanceof DiskError && thrown.kind === "missing") return undefined;
    throw thrown;
  }
  try {
    const bytes = new Uint8Array(await file.sizeBytes());
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

/** Puts `bytes` in the place of a file: after a crash there is the old one or the new one, whole. */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  await replaceFileBy(disk, path, (file) => file.write(bytes, 0));
}

/** The same with what `write` writes, piece by piece. @throws DiskError; then the old file still holds */
export async function replaceFileBy(
  disk: Disk,
  path: string,
  write: (file: DiskFile) => Promise<void>,
): Promise<void> {
  const aside = `${path}.tmp`;
  const file = await disk.create(aside, 0);
  try {
    await write(file);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename({ from: aside, to: path });
  await disk.syncDirectory(dirname(path));
}

/** Removes a directory with all that is in it, or a file; nothing happens if there is none. Not synced. */
export function removeTree(path: string): Promise<void> {
  return settled<void>(path, (done) => fs.rm(path, { recursive: true, force: true }, done));
}

/** One open file of the machine. */
class SystemFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  /** The same file, opened so that a write waits for the disk: one trip to the thread pool, not two. */
  readonly #durableDescriptor: number | undefined;
  /** A closed descriptor's number soon stands for another file: it must never be used again. */
  #isClosed = false;

  constructor(path: string, descriptor: number, durableDescriptor?: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#durableDescriptor = durableDescriptor;
  }

  resize(sizeBytes: number): Promise<void> {
    this.#checkOpen();
    return settled<void>(this.path, (done) => fs.ftruncate(this.#descriptor, sizeBytes, done));
  }

  async sizeBytes(): Promise<number> {
    const status = await settled<fs.Stats>(this.path, (done) => fs.fstat(this.#descriptor, done));
    return status.size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    this.#checkOpen();
    let doneBytes = 0;
    while (doneBytes < target.length) {
      const start = doneBytes;
      const count = await settled<number>(this.path, (done) =>
        fs.read(this.#descriptor, target, start, target.length - start, position + start, done),
      );
      if (count === 0) break;
      doneBytes += count;
    }
    return doneBytes;
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#writeAll(this.#descriptor, bytes, position);
  }

  writeDurably(bytes: Uint8Array, position: number): Promise<void> {
    assert(this.#durableDescriptor !== undefined, "the file is open for writing");
    return this.#writeAll(this.#durableDescriptor, bytes, position);
  }

  sync(): Promise<void> {
    this.#checkOpen();
    return settled<void>(this.path, (done) => fs.fdatasync(this.#descriptor, done));
  }

  async close(): Promise<void> {
    this.#checkOpen();
    this.#isClosed = true;
    const durable = this.#durableDescriptor;
    if (durable !== undefined) await settled<void>(this.path, (done) => fs.close(durable, done));
    await settled<void>(this.path, (done) => fs.close(this.#descriptor, done));
  }

  #checkOpen(): void {
    assert(!this.#isClosed, `${this.path} is closed`);
  }

  async #writeAll(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
    this.#checkOpen();
    let doneBytes = 0;
    while (doneBytes < bytes.length) {
      const start = doneBytes;
      doneBytes += await settled<number>(this.path, (done) =>
        fs.write(descriptor, bytes, start, bytes.length - start, position + start, done),
      );
    }
  }
}

async function openForWriting(path: string, flags: number): Promise<SystemFile> {
  const descriptor = await openDescriptor(path, flags);
  const { O_DSYNC, O_RDWR } = fs.constants;
  return new SystemFile(path, descriptor, await openDescriptor(path, O_RDWR | O_DSYNC));
}

function openDescriptor(path: string, flags: number): Promise<number> {
  return settled<number>(path, (done) => fs.open(path, flags, done));
}

/** Runs a callback function of `node:fs`; its error becomes a `DiskError`. */
function settled<Result>(
  path: string,
  start: (done: (error: Error | null, result?: Result) => void) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error) reject(diskErrorOf(path, error));
      else resolve(result as Result);
    });
  });
}

/** What an error of `node:fs` means for the one who runs the broker. */
export function diskErrorOf(path: string, error: unknown): DiskError {
  return new DiskError(kindOf(error as Error), path, error);
}

function kindOf(error: Error): DiskErrorKind {
  switch ((error as NodeJS.ErrnoException).code) {
    case "EEXIST":
      return "exists";
    case "ENOENT":
      return "missing";
    case "ENOSPC":
    case "EDQUOT":
      return "full";
    case "EROFS":
      return "readOnly";
    case "EACCES":
    case "EPERM":
      return "denied";
    default:
      return "failed";
  }
}

function sentenceOf(kind: DiskErrorKind, path: string, cause: unknown): string {
  switch (kind) {
    case "denied":
      return `There is no permission for ${path}.`;
    case "exists":
      return `${path} exists already.`;
    case "full":
      return `The disk is full: ${path} can't grow.`;
    case "locked":
      return `${path} is locked: another broker uses this data directory.`;
    case "missing":
      return `${path} does not exist.`;
    case "readOnly":
      return `${path} is on a read-only file system.`;
    case "failed":
      return `The disk failed at ${path}: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}

/** Collected as garbage, a database would be closed, and its lock free. */
const heldLocks = new Set<Database>();

/**
 * An exclusive lock that the kernel drops when the process ends, however it ends. SQLite brings it: an
 * exclusive transaction on an empty database is a POSIX record lock, and nothing is ever written.
 * Node's file API has no lock, and a file with a process id in it lies after a crash in a container.
 */
function lockFile(path: string): DiskLock {
  let database: Database | undefined;
  try {
    database = new Database(path, { create: true });
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("BEGIN EXCLUSIVE");
  } catch (thrown) {
    database?.close();
    const { code } = thrown as { code?: string };
    if (code === "SQLITE_BUSY") throw new DiskError("locked", path, thrown);
    throw new DiskError(kindOfDirectory(dirname(path)), path, thrown);
  }
  const held = database;
  heldLocks.add(held);
  return {
    release: () => {
      heldLocks.delete(held);
      held.close();
    },
  };
}

/** Why nothing can be created in `directory`. */
function kindOfDirectory(directory: string): DiskErrorKind {
  try {
    fs.accessSync(directory, fs.constants.W_OK);
    return "failed";
  } catch (thrown) {
    return kindOf(thrown as Error);
  }
}
