/**
 * Carries out merges in a Worker, which lives as long as one merge. If it dies, the next one does the merge again
 * from the start; what kills Workers time and again is given up.
 */

import type { ClientTraffic } from "../core/client-traffic.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { type CreateWorker, SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import type { MergeCommand, MergeReport } from "./merging-messages.ts";

export interface MergingRunnerOptions {
  readonly traffic: Pick<ClientTraffic, "shared" | "whenQuiet">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests that want to kill the Worker. */
  readonly createWorker?: CreateWorker;
}

const DEATHS_MAX = 3;

/** Owns the Worker. Merges are not to overlap. */
export class MergingRunner {
  readonly #options: MergingRunnerOptions;
  #worker: SupervisedWorker<MergeCommand, MergeReport> | undefined;
  #settle: (report: MergeReport) => void = () => {};
  #isStopped = false;

  constructor(options: MergingRunnerOptions) {
    this.#options = options;
  }

  /** Begins when clients leave room for it, and pauses when they don't. Never rejects. */
  async run(command: MergeCommand): Promise<MergeReport> {
    const { traffic } = this.#options;
    await traffic.whenQuiet();
    if (this.#isStopped) return STOPPED;
    const { promise, resolve } = Promise.withResolvers<MergeReport>();
    let deathCount = 0;
    const worker = new SupervisedWorker<MergeCommand, MergeReport>({
      ...this.#options,
      name: "merging",
      url: workerUrl("segment/merging-worker"),
      onStart: () => worker.post({ ...command, busy: traffic.shared }),
      onReport: resolve,
      onDeath: () => {
        deathCount += 1;
        if (deathCount === DEATHS_MAX)
          resolve({ kind: "failed", reason: "its Worker died again and again" });
      },
    });
    this.#worker = worker;
    this.#settle = resolve;
    worker.start();
    const report = await promise;
    worker.stop();
    this.#worker = undefined;
    return report;
  }

  /** What is being written stays behind unfinished; it is swept later. */
  stop(): void {
    this.#isStopped = true;
    this.#worker?.stop();
    this.#settle(STOPPED);
  }
}

const STOPPED: MergeReport = { kind: "failed", reason: "the broker stops" };
