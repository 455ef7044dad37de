/**
 * The Worker thread that makes pages of records and tables, so that nothing is decompressed or decoded on the main
 * thread. It reads batches through the main thread, which knows where they lie.
 */

import { systemClock } from "../core/clock.ts";
import { lowerThreadPriority } from "../core/native.ts";
import { SearchError } from "../search/elasticsearch-error.ts";
import { apiErrorBodyOf } from "./api-error.ts";
import type { TopicReadLimits } from "./topic-read-limits.ts";
import type { TopicJob, TopicWorkerCommand, TopicWorkerReport } from "./topic-records-messages.ts";
import { pageOfRecords } from "./topic-records-page.ts";
import type { ReadBatches } from "./topic-records-walk.ts";
import { pageOfTable } from "./topic-table-page.ts";

declare const self: Worker;

/** As searches: behind acks and fetches, before indexing. */
const NICE = 5;
/** A page of records is shorter then; a table, which has no parts, is given up. */
const RECORDS_MS_MAX = 5_000;
const TABLE_MS_MAX = 120_000;

type JobCommand = Extract<TopicWorkerCommand, { kind: "job" }>;
type Reply = Exclude<TopicWorkerCommand, JobCommand>;

/** What each job waits for, by its id. */
const waits = new Map<number, (reply: Reply) => void>();

lowerThreadPriority(NICE);
self.onmessage = ({ data }: MessageEvent<TopicWorkerCommand>) => {
  if (data.kind === "job")
    void answer(data); // It never rejects.
  else waits.get(data.id)?.(data);
};

async function answer({ id, job, limits }: JobCommand): Promise<void> {
  let status = 200;
  let body: Uint8Array;
  let failure: string | undefined;
  try {
    body = await pageOf(job, limits, readerOf(id));
  } catch (thrown) {
    const error = thrown instanceof SearchError ? thrown : failedError("the request failed");
    // The client's fault is the client's; what was not foreseen is for the log.
    if (error !== thrown) failure = thrown instanceof Error ? thrown.stack : String(thrown);
    status = error.status;
    body = new TextEncoder().encode(`${JSON.stringify(apiErrorBodyOf(error))}\n`);
  }
  waits.delete(id);
  report({ kind: "answer", id, status, body, failure }, [body.buffer as ArrayBuffer]);
}

function pageOf(
  job: TopicJob,
  { lengthMax, ...memory }: TopicReadLimits,
  read: ReadBatches,
): Promise<Uint8Array> {
  const limits = { ...memory, clock: systemClock };
  if (job.kind === "records") {
    return pageOfRecords(job, read, { ...limits, lengthMax, elapsedMsMax: RECORDS_MS_MAX });
  }
  return pageOfTable(job, read, { ...limits, keysMax: job.limit, elapsedMsMax: TABLE_MS_MAX });
}

/** Reads one stretch at a time. */
function readerOf(id: number): ReadBatches {
  return async (partition, stretch) => {
    report({ kind: "read", id, partition, stretch });
    const reply = await new Promise<Reply>((resolve) => waits.set(id, resolve));
    if (reply.kind === "failed") throw failedError(reply.reason);
    return reply.batches;
  };
}

function report(message: TopicWorkerReport, transfer: readonly ArrayBuffer[] = []): void {
  self.postMessage(message, { transfer: [...transfer] });
}

function failedError(reason: string): SearchError {
  return new SearchError(500, "search_phase_execution_exception", reason);
}
