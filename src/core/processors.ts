/** The machine's processors. */

import { availableParallelism } from "node:os";

/** How many threads can run at the same time, by what the process is allowed. */
export function processorCount(): number {
  return availableParallelism();
}
