/** A Worker without a thread: it runs its job in the process, on the disk that it is given, and may die in it. */

import type { Disk } from "../../src/core/disk.ts";
import type { CreateWorker } from "../../src/core/supervised-worker.ts";

/** What the Worker's script does with a message. It never rejects. */
export type WorkerJob = (disk: Disk, message: unknown) => Promise<unknown>;

export interface SimulatedWorkerOptions {
  readonly disk: Disk;
  readonly job: WorkerJob;
  /** After how many operations on the disk the next Worker dies; undefined: it does not. */
  readonly lifeOf: () => number | undefined;
}

/** Makes such Workers. */
export function simulatedWorkers({ disk, job, lifeOf }: SimulatedWorkerOptions): CreateWorker {
  return () => {
    const worker = new SimulatedWorker(disk, job, lifeOf());
    // Of a Worker only what is here is used.
    return worker as unknown as Worker;
  };
}

class SimulatedWorker extends EventTarget {
  readonly #disk: Disk;
  readonly #job: WorkerJob;
  #operationsLeft: number;
  #isAlive = true;

  constructor(disk: Disk, job: WorkerJob, operations = Number.POSITIVE_INFINITY) {
    super();
    this.#disk = this.#mortal(disk);
    this.#job = job;
    this.#operationsLeft = operations;
  }

  postMessage(message: unknown): void {
    void this.#answer(structuredClone(message)); // The job never rejects.
  }

  terminate(): void {
    this.#isAlive = false;
  }

  unref(): void {}

  async #answer(message: unknown): Promise<void> {
    await null;
    const data = structuredClone(await this.#job(this.#disk, message));
    if (this.#isAlive) this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** A dead Worker never hears of its operations. */
  #mortal<Target extends object>(target: Target): Target {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name);
        if (typeof member !== "function") return member;
        return async (...parameters: unknown[]) => {
          this.#operationsLeft -= 1;
          if (this.#operationsLeft === 0) this.#die();
          if (!this.#isAlive) await new Promise<never>(() => {});
          const result = await (Reflect.apply(member, object, parameters) as Promise<unknown>);
          if (!this.#isAlive) await new Promise<never>(() => {});
          const isFile = typeof result === "object" && result !== null && "writeDurably" in result;
          return isFile ? this.#mortal(result) : result;
        };
      },
    });
  }

  #die(): void {
    this.#isAlive = false;
    this.dispatchEvent(new ErrorEvent("error", { message: "it died of the simulation" }));
  }
}
