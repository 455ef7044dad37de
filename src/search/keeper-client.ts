/**
 * The main thread's side of the Worker that keeps generations. Commands are carried out one after another. The
 * Worker is there only while there is work; if it dies, the command at hand is given to the next one.
 */

import { SupervisedWorker, type SupervisedWorkerOptions } from "../core/supervised-worker.ts";
import type { KeepCommand, KeepReport } from "./indexer-messages.ts";

/** How the Worker is run; the rest is this client's own. */
export type KeeperClientOptions = Pick<
  SupervisedWorkerOptions<KeepReport>,
  "url" | "clock" | "logger" | "createWorker"
>;

interface Task {
  readonly command: KeepCommand;
  readonly resolve: (report: KeepReport) => void;
}

/** Owns the Worker. */
export class KeeperClient {
  readonly #options: KeeperClientOptions;
  /** The first one is being carried out. */
  readonly #tasks: Task[] = [];
  #worker: SupervisedWorker<KeepCommand, KeepReport> | undefined;
  #isStopped = false;

  constructor(options: KeeperClientOptions) {
    this.#options = options;
  }

  /** Resolves with the report on `command`; never if the client is stopped before. */
  run(command: KeepCommand): Promise<KeepReport> {
    return new Promise((resolve) => {
      if (this.#isStopped) return;
      this.#tasks.push({ command, resolve });
      if (this.#tasks.length === 1) this.#carryOut();
    });
  }

  /** Commands that are not carried out yet. */
  get taskCount(): number {
    return this.#tasks.length;
  }

  stop(): void {
    this.#isStopped = true;
    this.#worker?.stop();
  }

  #carryOut(): void {
    if (this.#worker !== undefined) {
      this.#postFirst();
      return;
    }
    this.#worker = new SupervisedWorker<KeepCommand, KeepReport>({
      ...this.#options,
      name: "generation-keeper",
      // It is there only while it works, and a broker that stops waits for that.
      keepsProcess: true,
      onStart: () => this.#postFirst(),
      onReport: (report) => this.#onReport(report),
      onDeath: () => {},
    });
    this.#worker.start();
  }

  #postFirst(): void {
    const task = this.#tasks[0];
    if (task !== undefined) this.#worker?.post(task.command);
  }

  #onReport(report: KeepReport): void {
    const task = this.#tasks.shift();
    task?.resolve(report);
    if (this.#tasks.length > 0) {
      this.#postFirst();
      return;
    }
    // What follows from the report may be the next command.
    queueMicrotask(() => {
      if (this.#tasks.length > 0) return;
      this.#worker?.stop();
      this.#worker = undefined;
    });
  }
}
