/**
 * A Worker that is started again when it dies, later each time. Messages to a Worker that is not running are
 * dropped: whoever starts it tells it everything it needs in `onStart`.
 */

import type { CancelTimer, Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";

/** Makes a Worker; `name` is the one in the log. */
export type CreateWorker = (url: string, name: string) => Worker;

export interface SupervisedWorkerOptions<Report> {
  /** For the log. */
  readonly name: string;
  readonly url: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A fresh Worker is there: send it what it starts with. */
  readonly onStart: () => void;
  readonly onReport: (report: Report) => void;
  /** The Worker is gone; another is started after a while, unless `stop` was called. */
  readonly onDeath: () => void;
  /** Whether the process lives on for it; unless told so, it does not. */
  readonly keepsProcess?: boolean;
  /** For tests that want to kill it. */
  readonly createWorker?: CreateWorker;
}

const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 30_000;
/** One that has lived for so long was well: the next death counts as the first. */
const HEALTHY_MS = 60_000;

/** Owns one Worker thread at a time. */
export class SupervisedWorker<Command, Report> {
  readonly #options: SupervisedWorkerOptions<Report>;
  #worker: Worker | undefined;
  #isStopped = false;
  #startedMs = 0;
  #backoffMs = BACKOFF_MS_MIN;
  #cancelRestart: CancelTimer | undefined;
  #restartCount = 0;

  constructor(options: SupervisedWorkerOptions<Report>) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** How often it was started again after a death. */
  get restartCount(): number {
    return this.#restartCount;
  }

  /** Starts the Worker if it is neither running nor about to be started again. */
  start(): void {
    if (this.#isStopped || this.#worker !== undefined || this.#cancelRestart !== undefined) return;
    this.#start();
  }

  post(command: Command, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker?.postMessage(command, { transfer: [...transfer] });
  }

  /** Ends the Worker, as a crash would. It is started again. */
  kill(reason: string): void {
    const worker = this.#worker;
    if (worker === undefined) return;
    worker.terminate();
    this.#onDeath(worker, reason);
  }

  /** Ends the Worker for good. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelRestart?.();
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.terminate();
  }

  #start(): void {
    const { name, url, clock, onStart, onReport, createWorker } = this.#options;
    const worker = createWorker?.(url, name) ?? new Worker(url);
    this.#worker = worker;
    this.#startedMs = clock.monotonicMs();
    worker.addEventListener("message", (event: MessageEvent<Report>) => {
      if (this.#worker === worker) onReport(event.data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      worker.terminate();
      this.#onDeath(worker, event.message);
    });
    worker.addEventListener("close", () => this.#onDeath(worker, "it was terminated"));
    if (this.#options.keepsProcess !== true) worker.unref();
    onStart();
  }

  #onDeath(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const { name, clock, logger, onDeath } = this.#options;
    if (clock.monotonicMs() - this.#startedMs >= HEALTHY_MS) this.#backoffMs = BACKOFF_MS_MIN;
    logger.error("worker_died", { worker: name, reason, restartInMs: this.#backoffMs });
    this.#cancelRestart = clock.after(this.#backoffMs, () => {
      this.#cancelRestart = undefined;
      if (this.#isStopped) return;
      this.#restartCount += 1;
      this.#start();
    });
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MS_MAX);
    onDeath();
  }
}
