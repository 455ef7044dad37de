/**
 * Objects in a directory: the key is the path below it. An object is written aside, synced, and then linked under its
 * key, which fails if the key is taken, also by another process; names are synced before `put` resolves. Directories
 * stay when their last object goes.
 */

import { dirname } from "node:path";
import { type Clock, systemClock, systemRandomBytes } from "../core/clock.ts";
import { type Disk, DiskError, type DiskFile } from "../core/disk.ts";
import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { bodySizeBytes, hasBody, readBody } from "./object-body.ts";
import {
  checkObjectKey,
  isObjectKey,
  type ObjectBody,
  ObjectExistsError,
  ObjectMissingError,
  type ObjectStat,
  type ObjectStore,
  ObjectStoreError,
} from "./object-store.ts";

/** Below the store's directory; no key has a part that begins with a dot. */
export const ASIDE_DIRECTORY = ".put";
/** What lies aside so long without having been written to was left by a process that died. */
const ASIDE_GRACE_MS = 24 * 3_600_000;
const PIECE_BYTES = 1024 * 1024;
/** Directories whose names are known to be on disk. */
const SYNCED_DIRECTORIES_MAX = 10_000;

export interface FileObjectStoreOptions {
  readonly disk: Disk;
  /** An absolute path; created by the first `put`. */
  readonly directory: string;
  readonly clock?: Clock;
  /** Names what is written aside. */
  readonly bytesByChance?: (count: number) => Uint8Array;
}

export class FileObjectStore implements ObjectStore {
  readonly name: string;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #bytesByChance: (count: number) => Uint8Array;
  readonly #syncedDirectories = new Set<string>();
  #isAsideCleaned = false;

  constructor(options: FileObjectStoreOptions) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#clock = options.clock ?? systemClock;
    this.#bytesByChance = options.bytesByChance ?? systemRandomBytes;
    this.name = `file://${options.directory}`;
  }

  async put(key: string, body: ObjectBody): Promise<void> {
    const path = this.#pathOf(key);
    await this.#failing(key, async () => {
      await this.#createDirectory(dirname(path));
      const status = await presentOrUndefined(this.#disk.stat(path));
      if (status === undefined) await this.#writeAndLink(path, body);
      else if (!(await hasBody(this, key, body))) throw new ObjectExistsError(this.name, key);
      // Also if it was there: whoever wrote it may have died before.
      await this.#disk.syncDirectory(dirname(path));
    });
  }

  async readRange(key: string, start: number, end: number): Promise<Uint8Array> {
    const path = this.#pathOf(key);
    return await this.#failing(key, async () => {
      const file = await this.#open(key, path);
      try {
        const bytes = uninitializedBytes(end - start);
        return bytes.subarray(0, await file.read(bytes, start));
      } finally {
        await file.close();
      }
    });
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    const path = this.#pathOf(key);
    return await this.#failing(key, async () => {
      const status = await presentOrUndefined(this.#disk.stat(path));
      return status === undefined ? undefined : { key, ...status };
    });
  }

  list(
    prefix: string,
    { startAfter = "" }: { readonly startAfter?: string } = {},
  ): AsyncIterable<ObjectStat> {
    return this.#walk("", { prefix, startAfter });
  }

  async delete(keys: readonly string[]): Promise<void> {
    const paths = keys.map((key) => this.#pathOf(key));
    const directories = new Set(paths.map(dirname));
    for (const path of paths) {
      await this.#failing(path, () => presentOrUndefined(this.#disk.remove(path)));
    }
    for (const directory of directories) {
      await this.#failing(directory, () => presentOrUndefined(this.#disk.syncDirectory(directory)));
    }
  }

  async close(): Promise<void> {}

  #pathOf(key: string): string {
    checkObjectKey(key);
    return `${this.#directory}/${key}`;
  }

  /** Leaves what another put has linked meanwhile, if it is the same. @throws ObjectExistsError */
  async #writeAndLink(path: string, body: ObjectBody): Promise<void> {
    const key = path.slice(this.#directory.length + 1);
    const asideDirectory = `${this.#directory}/${ASIDE_DIRECTORY}`;
    await this.#createDirectory(asideDirectory);
    await this.#cleanAsideOnce(asideDirectory);
    const aside = `${asideDirectory}/${Buffer.from(this.#bytesByChance(12)).toString("hex")}`;
    try {
      await writePieces(await this.#disk.create(aside, 0), body);
      await this.#disk.link({ from: aside, to: path });
    } catch (thrown) {
      if (!(thrown instanceof DiskError && thrown.kind === "exists")) throw thrown;
      if (!(await hasBody(this, key, body))) throw new ObjectExistsError(this.name, key);
    } finally {
      await presentOrUndefined(this.#disk.remove(aside));
    }
  }

  /** Creates what is missing of the path down from the store's directory, and has all of its names on disk. */
  async #createDirectory(directory: string): Promise<void> {
    if (this.#syncedDirectories.has(directory)) return;
    await this.#disk.createDirectory(directory);
    // A process that died may have created some without having synced their names.
    for (let below = directory; below.length >= this.#directory.length; below = dirname(below)) {
      await this.#disk.syncDirectory(dirname(below));
    }
    if (this.#syncedDirectories.size >= SYNCED_DIRECTORIES_MAX) this.#syncedDirectories.clear();
    this.#syncedDirectories.add(directory);
  }

  /** Removes what dead processes left; what is being written is younger. */
  async #cleanAsideOnce(asideDirectory: string): Promise<void> {
    if (this.#isAsideCleaned) return;
    this.#isAsideCleaned = true;
    for (const name of await this.#disk.list(asideDirectory)) {
      const path = `${asideDirectory}/${name}`;
      const status = await presentOrUndefined(this.#disk.stat(path));
      if (status === undefined || this.#clock.nowMs() - status.modifiedMs < ASIDE_GRACE_MS)
        continue;
      await presentOrUndefined(this.#disk.remove(path));
    }
  }

  /** Objects below `directory`, which is empty or ends in a slash, as a part of their keys. */
  async *#walk(
    directory: string,
    bounds: { readonly prefix: string; readonly startAfter: string },
  ): AsyncGenerator<ObjectStat> {
    const path = `${this.#directory}/${directory}`.slice(0, -1);
    const entries = await this.#failing(path, () => this.#disk.entries(path));
    const names = entries.map((each) => (each.isDirectory ? `${each.name}/` : each.name));
    // As bytes `a-` < `a/` < `a0`, whereas of the names `a` comes first.
    for (const name of names.sort()) {
      const key = directory + name;
      const isBelow = name.endsWith("/");
      if (!isObjectKey(isBelow ? key.slice(0, -1) : key) || !canHold(key, isBelow, bounds))
        continue;
      if (isBelow) {
        yield* this.#walk(key, bounds);
      } else {
        const found = await this.stat(key);
        if (found !== undefined) yield found;
      }
    }
  }

  async #open(key: string, path: string): Promise<DiskFile> {
    const file = await presentOrUndefined(this.#disk.open(path, "read"));
    if (file === undefined) throw new ObjectMissingError(this.name, key);
    return file;
  }

  /** Runs `work`; what the disk refuses becomes the store's error. */
  async #failing<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof DiskError)) throw thrown;
      throw new ObjectStoreError(`${this.name} failed at ${key}: ${thrown.message}`, {
        cause: thrown,
      });
    }
  }
}

/** Whether `key`, or a key that begins with it, is within the bounds of a listing. */
function canHold(
  key: string,
  isBelow: boolean,
  { prefix, startAfter }: { readonly prefix: string; readonly startAfter: string },
): boolean {
  if (!isBelow) return key.startsWith(prefix) && key > startAfter;
  const isOfPrefix = key.startsWith(prefix) || prefix.startsWith(key);
  return isOfPrefix && (key > startAfter || startAfter.startsWith(key));
}

/** Writes all of the body and waits until it is on disk. Closes the file. */
async function writePieces(file: DiskFile, body: ObjectBody): Promise<void> {
  try {
    const sizeBytes = bodySizeBytes(body);
    for (let start = 0; start < sizeBytes; start += PIECE_BYTES) {
      const end = Math.min(sizeBytes, start + PIECE_BYTES);
      await file.write(await readBody(body, { start, end }), start);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What the disk answers; undefined if there is no such file. */
async function presentOrUndefined<Result>(answer: Promise<Result>): Promise<Result | undefined> {
  try {
    return await answer;
  } catch (thrown) {
    if (thrown instanceof DiskError && thrown.kind === "missing") return undefined;
    throw thrown;
  }
}
