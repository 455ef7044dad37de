/** The merging Worker's thread: carries out one merge, and says what became of it. */

import { blockingDisk } from "../core/blocking-disk.ts";
import { lowerThreadPriority } from "../core/native.ts";
import { mergeSegments } from "./merging-job.ts";
import type { MergeCommand, MergeReport } from "./merging-messages.ts";

declare const self: Worker;

/** Behind all else: nobody waits for it. */
const NICE = 15;

lowerThreadPriority(NICE);

self.onmessage = (event: MessageEvent<MergeCommand>) => {
  // It never rejects.
  void merge(event.data).then((report) => self.postMessage(report));
};

async function merge(command: MergeCommand): Promise<MergeReport> {
  try {
    return { kind: "merged", ...(await mergeSegments(blockingDisk, command)) };
  } catch (thrown) {
    return { kind: "failed", reason: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}
