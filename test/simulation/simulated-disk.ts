/**
 * A disk in memory that loses what a real one may lose. Every operation takes a random number of turns.
 *
 *   write   reaches the cache, sector by sector over time; some sectors go to disk early
 *   sync    brings the file's dirty sectors to disk; may fail: then some are there, and the cache says
 *           that all are clean (as Linux does)
 *   kill    the process dies: the cache stays, an unfinished write stays as far as it got
 *   cut     the power goes: of the dirty sectors a random part is on disk, in any order; of the names
 *           changed since their directory's sync, the first few of each directory
 */

import { dirname } from "node:path";
import type { Random } from "../../src/core/clock.ts";
import { type Disk, type DiskEntry, DiskError, type DiskFile } from "../../src/core/disk.ts";

/** What a disk keeps or loses as a whole. */
const SECTOR_BYTES = 512;
const TURNS_MAX = 4;

export interface DiskFaults {
  /** Chance that a sync, or the sync of a durable write, fails. */
  readonly syncFailure: number;
  /** Bytes that can be stored. */
  readonly capacityBytes: number;
  /** Chance that a dirty sector survives a power cut. */
  readonly sectorSurvival: number;
}

interface Inode {
  cached: Uint8Array;
  stored: Uint8Array;
  modifiedMs: number;
  readonly dirty: Set<number>;
  /** Sectors that take room. */
  readonly allocated: Set<number>;
}

type NameChange = { readonly from?: string; readonly to?: string; readonly inode: Inode };

/** The machine's disk over all runs; `process()` is how one run sees it. */
export class SimulatedDisk {
  /** The time that files get which are written to. */
  nowMs = 0;
  readonly #random: Random;
  readonly #faults: DiskFaults;
  /** What the running system sees, and what is on disk with the changes since then. */
  #names = new Map<string, Inode>();
  #storedNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  #generation = 0;

  constructor(random: Random, faults: DiskFaults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** The process that ran dies; what it was doing never answers. */
  kill(): void {
    this.#generation += 1;
  }

  /** The power goes: only what is stored remains. */
  cut(): void {
    this.kill();
    const groups = [...Map.groupBy(this.#nameChanges, directoryOf).values()];
    // One draw at least, so that seeds that were noted keep their histories.
    for (const changes of groups.length === 0 ? [[]] : groups) {
      const kept = Math.floor(this.#random() * (changes.length + 1));
      for (const change of changes.slice(0, kept)) apply(this.#storedNames, change);
    }
    this.#nameChanges = [];
    this.#names = new Map(this.#storedNames);
    for (const inode of new Set(this.#names.values())) {
      for (const sector of inode.dirty) {
        if (this.#random() < this.#faults.sectorSurvival) store(inode, sector);
      }
      inode.dirty.clear();
      inode.cached = inode.stored.slice();
    }
  }

  /** Turns one bit on disk and in the cache. */
  flipBit(path: string, position: number, bit: number): void {
    const inode = this.#names.get(path);
    if (inode === undefined) return;
    for (const bytes of [inode.cached, inode.stored]) {
      bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
    }
  }

  /** A file is gone, on disk too. */
  lose(path: string): void {
    this.#names.delete(path);
    this.#storedNames.delete(path);
    this.#nameChanges = this.#nameChanges.filter(({ to }) => to !== path);
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** The disk as a new process sees it. */
  process(): Disk {
    const generation = this.#generation;
    const turn = () => this.#turns(generation);
    const names = this.#names;
    const change = (nameChange: NameChange): void => {
      apply(names, nameChange);
      this.#nameChanges.push(nameChange);
    };
    return {
      open: async (path) => {
        await turn();
        const inode = names.get(path);
        if (inode === undefined) throw new DiskError("missing", path);
        return this.#fileOf(path, inode, turn);
      },
      create: async (path, sizeBytes) => {
        await turn();
        const inode: Inode = {
          cached: new Uint8Array(sizeBytes),
          stored: new Uint8Array(sizeBytes),
          modifiedMs: this.nowMs,
          dirty: new Set(),
          allocated: new Set(),
        };
        change({ to: path, inode });
        return this.#fileOf(path, inode, turn);
      },
      rename: async ({ from, to }) => {
        await turn();
        const inode = names.get(from);
        if (inode === undefined) throw new DiskError("missing", from);
        change({ from, to, inode });
      },
      link: async ({ from, to }) => {
        await turn();
        const inode = names.get(from);
        if (inode === undefined) throw new DiskError("missing", from);
        if (names.has(to)) throw new DiskError("exists", to);
        change({ to, inode });
      },
      remove: async (path) => {
        await turn();
        const inode = names.get(path);
        if (inode === undefined) throw new DiskError("missing", path);
        change({ from: path, inode });
      },
      list: async (directory) => {
        await turn();
        const start = `${directory}/`;
        const paths = [...names.keys()].filter((path) => path.startsWith(start));
        return paths.map((path) => path.slice(start.length)).sort();
      },
      entries: async (directory) => {
        await turn();
        return entriesBelow(`${directory}/`, names.keys());
      },
      createDirectory: turn,
      syncDirectory: async (directory) => {
        await turn();
        const isHere = (nameChange: NameChange) => directoryOf(nameChange) === directory;
        for (const here of this.#nameChanges.filter(isHere)) apply(this.#storedNames, here);
        this.#nameChanges = this.#nameChanges.filter((nameChange) => !isHere(nameChange));
      },
      stat: async (path) => {
        await turn();
        const inode = names.get(path);
        if (inode === undefined) throw new DiskError("missing", path);
        return { sizeBytes: inode.cached.length, modifiedMs: inode.modifiedMs };
      },
      freeBytes: async () => {
        await turn();
        return this.#freeBytes();
      },
      lock: () => ({ release: () => {} }),
    };
  }

  #fileOf(path: string, inode: Inode, turn: () => Promise<void>): DiskFile {
    let isClosed = false;
    const checkOpen = (): void => {
      if (isClosed) throw new Error(`${path} is used after it was closed`);
    };
    const write = async (bytes: Uint8Array, position: number): Promise<void> => {
      checkOpen();
      // In pieces, so that a buffer changed too early is noticed.
      const middle = SECTOR_BYTES * Math.floor((this.#random() * bytes.length) / SECTOR_BYTES);
      await turn();
      this.#writeCached(path, inode, bytes.subarray(0, middle), position);
      await turn();
      this.#writeCached(path, inode, bytes.subarray(middle), position + middle);
    };
    const sync = async (isWanted: (sector: number) => boolean): Promise<void> => {
      const sectors = [...inode.dirty].filter(isWanted);
      await turn();
      const hasFailed = this.#random() < this.#faults.syncFailure;
      for (const sector of sectors) {
        if (!hasFailed || this.#random() < this.#faults.sectorSurvival) store(inode, sector);
        inode.dirty.delete(sector);
      }
      if (hasFailed) throw new DiskError("failed", path, "simulated");
      resizeStored(inode);
    };
    return {
      path,
      sizeBytes: async () => {
        await turn();
        return inode.cached.length;
      },
      read: async (target, position) => {
        checkOpen();
        await turn();
        const found = inode.cached.subarray(position, position + target.length);
        target.set(found);
        return found.length;
      },
      write,
      writeDurably: async (bytes, position) => {
        await write(bytes, position);
        const end = position + bytes.length;
        await sync(
          (sector) => (sector + 1) * SECTOR_BYTES > position && sector * SECTOR_BYTES < end,
        );
      },
      sync: async () => {
        checkOpen();
        await sync(() => true);
      },
      resize: async (sizeBytes) => {
        checkOpen();
        await turn();
        resize(inode, sizeBytes);
      },
      close: async () => {
        checkOpen();
        isClosed = true;
        await turn();
      },
    };
  }

  #writeCached(path: string, inode: Inode, bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    inode.modifiedMs = this.nowMs;
    if (position + bytes.length > inode.cached.length) {
      const larger = new Uint8Array(position + bytes.length);
      larger.set(inode.cached);
      inode.cached = larger;
    }
    const first = Math.floor(position / SECTOR_BYTES);
    const last = Math.floor((position + bytes.length - 1) / SECTOR_BYTES);
    for (let sector = first; sector <= last; sector += 1) {
      if (!inode.allocated.has(sector) && this.#freeBytes() < SECTOR_BYTES) {
        throw new DiskError("full", path);
      }
      inode.allocated.add(sector);
      inode.dirty.add(sector);
      const start = Math.max(0, sector * SECTOR_BYTES - position);
      const end = Math.min(bytes.length, (sector + 1) * SECTOR_BYTES - position);
      inode.cached.set(bytes.subarray(start, end), position + start);
      if (this.#random() < 0.02) store(inode, sector);
    }
  }

  #freeBytes(): number {
    if (this.#faults.capacityBytes === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER;
    let sectors = 0;
    for (const inode of new Set(this.#names.values())) sectors += inode.allocated.size;
    return this.#faults.capacityBytes - sectors * SECTOR_BYTES;
  }

  async #turns(generation: number): Promise<void> {
    for (let left = Math.floor(this.#random() * TURNS_MAX); left >= 0; left -= 1) await null;
    // A dead process never hears of its operations, and they go no further.
    if (generation !== this.#generation) await new Promise<never>(() => {});
  }
}

/** Directories are what stands before a slash. */
function entriesBelow(start: string, paths: Iterable<string>): DiskEntry[] {
  const found = new Map<string, DiskEntry>();
  for (const path of paths) {
    if (!path.startsWith(start)) continue;
    const [name = "", ...below] = path.slice(start.length).split("/");
    found.set(name, { name, isDirectory: below.length > 0 });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function apply(names: Map<string, Inode>, { from, to, inode }: NameChange): void {
  if (from !== undefined) names.delete(from);
  if (to !== undefined) names.set(to, inode);
}

/** Files are renamed within their directory only. */
function directoryOf({ from, to }: NameChange): string {
  return dirname(to ?? from ?? "");
}

/** Brings one sector from the cache to the disk. */
function store(inode: Inode, sector: number): void {
  resizeStored(inode);
  const start = sector * SECTOR_BYTES;
  inode.stored.set(inode.cached.subarray(start, start + SECTOR_BYTES), start);
}

/** Changes the length at once, on disk too: as if it were lost, it would look like a crash before. */
function resize(inode: Inode, sizeBytes: number): void {
  for (const kind of ["cached", "stored"] as const) {
    const bytes = new Uint8Array(
      kind === "cached" ? sizeBytes : Math.min(sizeBytes, inode.stored.length),
    );
    bytes.set(inode[kind].subarray(0, bytes.length));
    inode[kind] = bytes;
  }
  for (const sectors of [inode.dirty, inode.allocated]) {
    for (const sector of sectors) if (sector * SECTOR_BYTES >= sizeBytes) sectors.delete(sector);
  }
}

function resizeStored(inode: Inode): void {
  if (inode.stored.length >= inode.cached.length) return;
  const larger = new Uint8Array(inode.cached.length);
  larger.set(inode.stored);
  inode.stored = larger;
}
