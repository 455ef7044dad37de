/** The indexer's Worker thread: fills the live index, or keeps generations, as its first message says. */

import { systemClock } from "../core/clock.ts";
import { lowerThreadPriority } from "../core/native.ts";
import { keepGenerations } from "./generation-keeper.ts";
import type { IndexerCommand, IndexReport, KeepReport } from "./indexer-messages.ts";
import { Indexing } from "./indexing.ts";

declare const self: Worker;

/** Acks, fetches and searches come first; then what is to become a hit; then what is one already. */
const NICE_INDEXING = 10;
const NICE_KEEPING = 15;

let indexing: Indexing | undefined;

self.onmessage = (event: MessageEvent<IndexerCommand>) => {
  const command = event.data;
  switch (command.kind) {
    case "index":
      lowerThreadPriority(NICE_INDEXING);
      indexing = new Indexing({
        start: command,
        clock: systemClock,
        report: (report: IndexReport) => self.postMessage(report),
      });
      // A failure ends this Worker; the main thread starts another.
      indexing.run().catch(failThread);
      break;
    case "boundary":
    case "durable":
    case "refresh":
    case "topicAdded":
    case "topicRemoved":
    case "sealed":
      indexing?.receive(command);
      break;
    default:
      lowerThreadPriority(NICE_KEEPING);
      keepGenerations(command)
        .then((report: KeepReport) => self.postMessage(report))
        .catch(failThread);
  }
};

function failThread(thrown: unknown): void {
  // Outside any promise, so that the main thread hears of it as this Worker's error.
  setImmediate(() => {
    throw thrown;
  });
}
