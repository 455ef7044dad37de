/** Fills the chain at start: with the generations on disk that are still needed, above the floor that segments give. */

import { systemDisk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import type { GenerationChain } from "./generation-chain.ts";
import type { LoadedGeneration } from "./indexer-messages.ts";
import type { KeeperClient } from "./keeper-client.ts";
import type { SegmentIndexing } from "./segment-indexing.ts";

export interface ChainLoading {
  /** Where the generations lie. */
  readonly directory: string;
  readonly walDirectory: string;
  readonly oldestAddress: WalAddress;
  readonly durableAddress: WalAddress;
  readonly keeper: KeeperClient;
  readonly chain: GenerationChain;
  readonly segmentIndexing: SegmentIndexing;
  readonly logger: Logger;
}

/** @returns false if the keeper was stopped before */
export async function loadChain(loading: ChainLoading): Promise<boolean> {
  const { directory, walDirectory, oldestAddress, durableAddress, logger } = loading;
  const { keeper, chain, segmentIndexing } = loading;
  const floorAddress = segmentIndexing.indexedEnd;
  let generations: readonly LoadedGeneration[] = [];
  if ((await systemDisk.list(directory)).length > 0) {
    const limits = { floorAddress, oldestAddress, durableAddress };
    const report = await keeper.run({ kind: "load", directory, walDirectory, ...limits });
    if (report.kind !== "loaded") return false;
    generations = report.generations;
    for (const dropped of report.dropped) logger.warn("search_index_dropped", { dropped });
  }
  const readableStart = generations[0]?.startAddress ?? oldestAddress;
  // What neither generations nor the WAL can give is made from segments, while the others are searched.
  const isReadable = readableStart <= floorAddress;
  chain.load(generations, isReadable ? floorAddress : segmentIndexing.sealEndFrom(readableStart));
  return true;
}
