/** What the indexing of segments needs of others. */

import type { ClientTraffic } from "../core/client-traffic.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { SegmentFacts } from "../segment/segment-facts.ts";
import type { SegmentIndex } from "../segment/segment-index.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import type { GenerationChain, RemovedGenerations } from "./generation-chain.ts";
import type { NamedTopic } from "./indexer-messages.ts";
import type { KeeperPool } from "./keeper-pool.ts";

/** The segments that are registered. */
export interface RegisteredSegments {
  readonly index: Pick<SegmentIndex, "segment" | "segments" | "deadBytes" | "liveBytes">;
  pathOf(segmentId: string): string;
  /** Keeps the object until the result is called. */
  pin(segmentId: string): () => void;
  /**
   * Registers facts in the place of those of the same segments, all at once; without effect on those that are gone.
   * Resolves when that is applied.
   */
  registerIndexes(facts: readonly SegmentFacts[]): Promise<void>;
}

export interface SegmentIndexingOptions {
  readonly segments: RegisteredSegments;
  readonly chain: GenerationChain;
  readonly keepers: KeeperPool;
  readonly directory: string;
  /** Those that are indexed, by id. */
  readonly topics: ReadonlyMap<string, NamedTopic>;
  /** For all indexes that are made from batches at a time. */
  readonly memoryBytesMax: number;
  /** Where the live generation begins, or will. */
  readonly liveStartAddress: () => WalAddress;
  readonly drop: (removed: RemovedGenerations) => void;
  readonly traffic: Pick<ClientTraffic, "whenQuiet">;
  readonly clock: Clock;
  readonly logger: Logger;
}
