/** The main thread's side of the Worker for topic reads: it starts with the first one and gets batches read for it. */

import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { type CreateWorker, SupervisedWorker } from "../core/supervised-worker.ts";
import { workerUrl } from "../core/worker-url.ts";
import { SearchError } from "../search/elasticsearch-error.ts";
import type { RecordSource } from "./record-source.ts";
import { type TopicReadLimits, topicReadLimitsOf } from "./topic-read-limits.ts";
import type {
  TopicAnswer,
  TopicJob,
  TopicWorkerCommand,
  TopicWorkerReport,
} from "./topic-records-messages.ts";

export interface TopicJobRunnerOptions {
  readonly source: Pick<RecordSource, "readBatches">;
  /** For all jobs together. */
  readonly memoryBytesMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests that want to kill the Worker. */
  readonly createWorker?: CreateWorker;
}

interface RunningJob {
  readonly id: number;
  readonly job: TopicJob;
  readonly finish: (outcome: TopicAnswer | SearchError) => void;
}

/** Jobs that wait for it; more are refused. */
const WAITING_MAX = 16;

/** Owns the Worker and the jobs in it. */
export class TopicJobRunner {
  readonly #options: TopicJobRunnerOptions;
  readonly #worker: SupervisedWorker<TopicWorkerCommand, TopicWorkerReport>;
  readonly #running = new Map<number, RunningJob>();
  #waiting: RunningJob[] = [];
  /** Jobs in the Worker at a time. */
  readonly #runningMax: number;
  readonly #limits: TopicReadLimits;
  #nextId = 1;

  constructor(options: TopicJobRunnerOptions) {
    const { clock, logger, createWorker } = options;
    const { runningMax, ...limits } = topicReadLimitsOf(options.memoryBytesMax);
    this.#runningMax = runningMax;
    this.#limits = limits;
    this.#options = options;
    this.#worker = new SupervisedWorker<TopicWorkerCommand, TopicWorkerReport>({
      name: "topic-reader",
      url: workerUrl("http/topic-records-worker"),
      clock,
      logger,
      ...(createWorker ? { createWorker } : {}),
      onStart: () => {
        for (const { id, job } of this.#running.values())
          this.#worker.post({ kind: "job", id, job, limits });
      },
      onReport: (report) => this.#onReport(report),
      onDeath: () => this.#failAll("the Worker for topic reads died"),
    });
  }

  /** @throws SearchError 429, 500, 503 */
  run(job: TopicJob): Promise<TopicAnswer> {
    if (this.#waiting.length >= WAITING_MAX) {
      const reason = `rejected: ${WAITING_MAX} topic reads are waiting`;
      throw new SearchError(429, "es_rejected_execution_exception", reason);
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const finish = (outcome: TopicAnswer | SearchError): void => {
        this.#running.delete(id);
        if (outcome instanceof SearchError) reject(outcome);
        else resolve(outcome);
        this.#startNext();
      };
      this.#waiting.push({ id, job, finish });
      this.#startNext();
    });
  }

  stop(): void {
    this.#worker.stop();
    const stopped = new SearchError(503, "service_unavailable_exception", "the broker is stopping");
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { finish } of [...waiting, ...this.#running.values()]) finish(stopped);
  }

  #startNext(): void {
    if (this.#running.size >= this.#runningMax) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    const { id, job } = next;
    this.#running.set(id, next);
    const limits = this.#limits;
    if (this.#worker.isRunning) this.#worker.post({ kind: "job", id, job, limits });
    else this.#worker.start();
  }

  #onReport(report: TopicWorkerReport): void {
    const running = this.#running.get(report.id);
    if (running === undefined) return;
    if (report.kind === "read") {
      void this.#read(running, report); // It never rejects.
      return;
    }
    const { status, body, failure } = report;
    if (failure !== undefined) this.#options.logger.error("topic_read_failed", { reason: failure });
    running.finish({ status, body });
  }

  async #read(
    { id, job }: RunningJob,
    { partition, stretch }: Extract<TopicWorkerReport, { kind: "read" }>,
  ): Promise<void> {
    try {
      const { topicId } = job;
      const read = await this.#options.source.readBatches({ topicId, partition }, stretch);
      // They are given away, and a view would take what else is in its buffer with it.
      const batches = read.map((batch) => new Uint8Array(batch));
      const transfer = batches.map(({ buffer }) => buffer);
      if (this.#running.has(id)) this.#worker.post({ kind: "batches", id, batches }, transfer);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#options.logger.error("topic_read_failed", { reason });
      if (!this.#running.has(id)) return;
      this.#worker.post({ kind: "failed", id, reason: "the log could not be read" });
    }
  }

  #failAll(reason: string): void {
    const error = new SearchError(500, "search_phase_execution_exception", reason);
    for (const { finish } of [...this.#running.values()]) finish(error);
  }
}
