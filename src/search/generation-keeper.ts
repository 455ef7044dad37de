/** Keeps generations of the search index: the work of the indexer's Worker in its second role. */

import { systemClock } from "../core/clock.ts";
import { closeIndex } from "../core/native.ts";
import {
  faultOfGeneration,
  freezeGeneration,
  loadGenerations,
  removeGeneration,
} from "./generation-store.ts";
import type { KeepCommand, KeepReport } from "./indexer-messages.ts";
import { indexSegment } from "./segment-keeper.ts";

/** Carries out one command. Rejects if that is impossible. */
export async function keepGenerations(command: KeepCommand): Promise<KeepReport> {
  switch (command.kind) {
    case "load":
      return { kind: "loaded", ...(await loadGenerations(command, command)) };
    case "freeze": {
      const startMs = systemClock.monotonicMs();
      const { indexNumber, facts, excludedTopicIds } = command;
      const generation = await freezeGeneration(command, indexNumber, facts, excludedTopicIds);
      return { kind: "frozen", generation, elapsedMs: systemClock.monotonicMs() - startMs };
    }
    case "indexSegment":
      return await keepSegment(command);
    case "verify": {
      const { directory, range } = command;
      return { kind: "verified", range, fault: faultOfGeneration(directory, range) };
    }
    case "drop":
      closeAll(command.indexNumbers);
      for (const range of command.ranges) await removeGeneration(command.directory, range);
      return { kind: "dropped" };
  }
}

/** What is wrong with one segment, or the disk, must not stop the rest. */
async function keepSegment(
  command: Extract<KeepCommand, { kind: "indexSegment" }>,
): Promise<KeepReport> {
  const startMs = systemClock.monotonicMs();
  try {
    const segment = await indexSegment(command);
    return { kind: "segmentIndexed", segment, elapsedMs: systemClock.monotonicMs() - startMs };
  } catch (thrown) {
    return { kind: "segmentNotIndexed", reason: String(thrown) };
  }
}

function closeAll(indexNumbers: readonly number[]): void {
  for (const indexNumber of indexNumbers) {
    try {
      closeIndex(indexNumber);
    } catch {
      // It is closed already: the command came twice because the Worker before this one died.
    }
  }
}
