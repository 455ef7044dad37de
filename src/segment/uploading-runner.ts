/** Has a Worker do what is to be done in the object store. It is started by the first work, and again if it dies. */

import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import type { ObjectStoreLocation } from "./object-store-url.ts";
import type {
  RequestCount,
  UploadCommand,
  UploadReport,
  UploadResult,
  UploadWork,
} from "./uploading-messages.ts";

const STOPPED = "the broker stops";

export interface UploadingRunnerOptions {
  readonly location: ObjectStoreLocation;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Owns the Worker and the counts of its requests. Works are not to overlap. */
export class UploadingRunner {
  readonly #location: ObjectStoreLocation;
  readonly #worker: SupervisedWorker<UploadCommand, UploadReport>;
  readonly #requests = new Map<string, RequestCount>();
  #command: UploadCommand | undefined;
  #isStopped = false;
  #settle: (report: UploadReport) => void = () => {};

  constructor({ location, clock, logger }: UploadingRunnerOptions) {
    this.#location = location;
    const failed = (reason: string): void => this.#settle({ kind: "failed", reason, requests: [] });
    this.#worker = new SupervisedWorker<UploadCommand, UploadReport>({
      ...{ name: "uploading", url: workerUrl("segment/uploading-worker"), clock, logger },
      onStart: () => {
        if (this.#command !== undefined) this.#worker.post(this.#command);
      },
      onReport: (report) => this.#settle(report),
      onDeath: () => failed("its Worker died"),
    });
  }

  /** All since the start. */
  requests(): Iterable<RequestCount> {
    return this.#requests.values();
  }

  /** @throws Error with a sentence why it could not be done */
  async run(work: UploadWork): Promise<UploadResult> {
    if (this.#isStopped) throw new Error(STOPPED);
    const { promise, resolve } = Promise.withResolvers<UploadReport>();
    this.#settle = resolve;
    this.#command = { location: this.#location, work };
    // One that is started is told in `onStart`.
    if (this.#worker.isRunning) this.#worker.post(this.#command);
    else this.#worker.start();
    const report = await promise;
    this.#command = undefined;
    for (const request of report.requests) this.#count(request);
    if (report.kind === "failed") throw new Error(report.reason);
    return report.result;
  }

  /** What is being sent is given up: it becomes no object, or is found there next time. */
  stop(): void {
    this.#isStopped = true;
    this.#worker.stop();
    this.#settle({ kind: "failed", reason: STOPPED, requests: [] });
  }

  #count({ operation, status, count, sentBytes }: RequestCount): void {
    const key = `${operation} ${status}`;
    const known = this.#requests.get(key) ?? { count: 0, sentBytes: 0 };
    const sum = { count: known.count + count, sentBytes: known.sentBytes + sentBytes };
    this.#requests.set(key, { operation, status, ...sum });
  }
}
