/**
 * Fills a file that is not in use yet with zeros, so that later syncs overwrite blocks instead of allocating them
 * (about a third cheaper). Filling a file costs more than it saves while the log grows fast (it writes
 * everything twice), so it goes on only while the log grows more slowly than the filling, and ends at once when
 * somebody waits for the file. What is left over stays a hole, which reads as zeros too.
 */

import type { Clock } from "../core/clock.ts";
import type { DiskFile } from "../core/disk.ts";

/** Small enough to delay a group's sync by little. */
const STEP_BYTES_MAX = 256 * 1024;
const STEPS_MIN = 16;
/** Between two steps. */
const PAUSE_MS = 20;

export interface ZeroFillOptions {
  readonly clock: Clock;
  /** Bytes that the log has grown by so far. */
  readonly grownBytes: () => number;
}

/** Fills one file at a time. */
export class ZeroFill {
  readonly #options: ZeroFillOptions;
  #isHurried = false;
  #endPause: (() => void) | undefined;

  constructor(options: ZeroFillOptions) {
    this.#options = options;
  }

  /** Fills `file` from `start` to `end`, as far as there is time. */
  async fill(file: DiskFile, { start, end }: { start: number; end: number }): Promise<void> {
    const zeros = new Uint8Array(Math.min(STEP_BYTES_MAX, Math.ceil((end - start) / STEPS_MIN)));
    let grownBytes = this.#options.grownBytes();
    for (let position = start; position < end; position += zeros.length) {
      await this.#pause();
      const nowBytes = this.#options.grownBytes();
      if (this.#isHurried || nowBytes - grownBytes > zeros.length) return;
      grownBytes = nowBytes;
      await file.write(zeros.subarray(0, end - position), position);
      await file.sync();
    }
  }

  /** Nobody waits for the next file yet. */
  takeTime(): void {
    this.#isHurried = false;
  }

  /** Ends the filling under way soon, and the next one unless there is time again. */
  hurry(): void {
    this.#isHurried = true;
    this.#endPause?.();
  }

  #pause(): Promise<void> {
    if (this.#isHurried) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(PAUSE_MS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }
}
