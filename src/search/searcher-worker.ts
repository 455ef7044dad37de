/** The search Worker thread. */

import { systemClock } from "../core/clock.ts";
import { lowerThreadPriority } from "../core/native.ts";
import type { SearcherCommand, SearcherReport } from "./searcher-messages.ts";
import { Searching } from "./searching.ts";

declare const self: Worker;

/** Behind acks and fetches, before indexing. */
const NICE = 5;

lowerThreadPriority(NICE);
const searching = new Searching({
  clock: systemClock,
  report: (report: SearcherReport, transfer: readonly ArrayBuffer[] = []) =>
    self.postMessage(report, { transfer: [...transfer] }),
});
self.onmessage = (event: MessageEvent<SearcherCommand>) => searching.receive(event.data);
