/** The sealing Worker's thread: writes the segments of one round, and says what became of them. */

import { blockingDisk } from "../core/blocking-disk.ts";
import { lowerThreadPriority } from "../core/native.ts";
import { sealSegments } from "./sealing-job.ts";
import type { SealCommand, SealReport } from "./sealing-messages.ts";

declare const self: Worker;

/** Behind the acks, before the search index: what is sealed keeps the WAL short. */
const NICE = 5;

lowerThreadPriority(NICE);

self.onmessage = (event: MessageEvent<SealCommand>) => {
  void answer(event.data); // It never rejects.
};

async function answer(command: SealCommand): Promise<void> {
  let report: SealReport;
  try {
    report = { kind: "sealed", segments: await sealSegments(blockingDisk, command) };
  } catch (thrown) {
    report = { kind: "failed", reason: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  self.postMessage(report);
}
