/** The machine's disk, with a gate before every sync of the WAL: closed, what was written stays unsynced. */

import { type Disk, DiskError, type DiskFile, systemDisk } from "../../src/core/disk.ts";

export class GatedDisk {
  readonly disk: Disk;
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => {};
  #isFailing = false;

  constructor() {
    this.disk = {
      ...systemDisk,
      open: async (path, mode) => this.#gated(await systemDisk.open(path, mode)),
      create: async (path, sizeBytes) => this.#gated(await systemDisk.create(path, sizeBytes)),
    };
  }

  closeGate(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  openGate(): void {
    this.#open();
  }

  /** From now on a sync fails. */
  fail(): void {
    this.#isFailing = true;
  }

  #gated(file: DiskFile): DiskFile {
    if (!file.path.includes("/wal/")) return file;
    const pass = async (): Promise<void> => {
      await this.#gate;
      if (this.#isFailing) throw new DiskError("failed", file.path);
    };
    return {
      path: file.path,
      sizeBytes: () => file.sizeBytes(),
      read: (target, position) => file.read(target, position),
      write: (bytes, position) => file.write(bytes, position),
      writeDurably: async (bytes, position) => {
        await file.write(bytes, position);
        await pass();
        await file.sync();
      },
      sync: async () => {
        await pass();
        await file.sync();
      },
      resize: (sizeBytes) => file.resize(sizeBytes),
      close: () => file.close(),
    };
  }
}
