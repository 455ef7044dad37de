/** Batches that can't be read and so are not searchable: the first ones are told. */

import type { Logger } from "../core/logger.ts";
import type { IndexReport } from "./indexer-messages.ts";

/** The rest is not logged. */
const LOGGED_MAX = 10;

/** Owns their count. */
export class SkippedBatches {
  readonly #logger: Logger;
  #count = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(report: Extract<IndexReport, { kind: "skipped" }>, topic: string | undefined): void {
    this.#count += 1;
    if (this.#count > LOGGED_MAX) return;
    const { partition, baseOffset, reason } = report;
    this.#logger.warn("batch_not_searchable", { topic, partition, baseOffset, reason });
  }
}
