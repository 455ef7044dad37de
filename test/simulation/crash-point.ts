/** The end of a process in the midst of its work: at its n-th operation on the disk, or when it is told. */

import type { Random } from "../../src/core/clock.ts";
import { nextTurn } from "../../src/core/clock.ts";
import type { Disk, DiskFile } from "../../src/core/disk.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** `kill`: the process dies; `cut`: the power goes. */
export type CrashEnding = "kill" | "cut";

export interface CrashPointOptions {
  readonly disk: SimulatedDisk;
  /** The n-th operation is the last; infinity: none. */
  readonly operation: number;
  readonly ending: CrashEnding;
  /** Chance by which some operations take so long that timers and other work come in between. */
  readonly slowness?: Random;
  /** What the process knew when it ended is looked at here. */
  readonly onCrash?: () => void;
}

const SLOW_SHARE = 0.1;

/** Ends one life of a process. */
export class CrashPoint {
  /** The disk of this life. */
  readonly disk: Disk;
  readonly happened: Promise<void>;
  hasHappened = false;
  /** Operations so far. */
  operationCount = 0;
  readonly #options: CrashPointOptions;
  readonly #tell: () => void;

  constructor(options: CrashPointOptions) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.happened = promise;
    this.#tell = resolve;
    this.#options = options;
    this.disk = this.#counted(options.disk.process());
  }

  /** An operation that is none of the disk's. A dead process does not come back from it. */
  async step(): Promise<void> {
    await this.disk.freeBytes("");
  }

  /** Ends the process now. */
  crash(ending: CrashEnding): void {
    if (this.hasHappened) return;
    this.hasHappened = true;
    this.#options.onCrash?.();
    this.#options.disk[ending]();
    this.#tell();
  }

  /** Every call counts, of the disk and of the files that it opens. */
  #counted<Target extends object>(target: Target): Target {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name);
        if (typeof member !== "function" || name === "lock") return member;
        return async (...parameters: unknown[]) => {
          const pending = Reflect.apply(member, object, parameters) as Promise<unknown>;
          this.#count();
          const result = await pending;
          const { slowness } = this.#options;
          if (slowness !== undefined && slowness() < SLOW_SHARE) await nextTurn();
          return isFile(result) ? this.#counted(result) : result;
        };
      },
    });
  }

  #count(): void {
    this.operationCount += 1;
    if (this.operationCount === this.#options.operation) this.crash(this.#options.ending);
  }
}

function isFile(value: unknown): value is DiskFile {
  return typeof value === "object" && value !== null && "writeDurably" in value;
}
