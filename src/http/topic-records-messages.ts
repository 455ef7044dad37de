/** What the main thread and the Worker for topic reads tell each other. */

import type { ReadStretch } from "./record-source.ts";
import type { TopicReadLimits } from "./topic-read-limits.ts";
import type { RecordsJob } from "./topic-records-page.ts";
import type { TableJob } from "./topic-table-page.ts";

/** A page to be made. */
export type TopicJob =
  | ({ readonly kind: "records" } & RecordsJob)
  | ({ readonly kind: "table"; readonly limit: number } & TableJob);

/** JSON, also for errors of the client. */
export interface TopicAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** To the Worker. */
export type TopicWorkerCommand =
  /** Answered by questions and one answer, all with its `id`. */
  | {
      readonly kind: "job";
      readonly id: number;
      readonly job: TopicJob;
      readonly limits: TopicReadLimits;
    }
  /** Answers "read". Each batch is a copy of its own. */
  | { readonly kind: "batches"; readonly id: number; readonly batches: readonly Uint8Array[] }
  /** Answers "read": the log cannot be read. */
  | { readonly kind: "failed"; readonly id: number; readonly reason: string };

/** From the Worker. One "read" of a job at a time. */
export type TopicWorkerReport =
  | {
      readonly kind: "read";
      readonly id: number;
      readonly partition: number;
      readonly stretch: ReadStretch;
    }
  | ({
      readonly kind: "answer";
      readonly id: number;
      /** What was not foreseen, for the log. */
      readonly failure: string | undefined;
    } & TopicAnswer);
