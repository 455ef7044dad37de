/** What the indexer is given. */

import type { ClientTraffic } from "../core/client-traffic.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { CreateWorker } from "../core/supervised-worker.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import type { ConfiguredTopic } from "./indexed-topics.ts";
import type { RegisteredSegments } from "./segment-indexing-options.ts";

export interface WalIndexerOptions {
  readonly dataDir: string;
  readonly walDirectory: string;
  /** Size of the WAL's files; only for the lag in bytes. */
  readonly walFileBytes: number;
  /** Exclusive end of what is durable in the WAL at the moment. */
  readonly durableAddress: WalAddress;
  /** The oldest address that can still be read from the WAL (`wal.startAddress`). */
  readonly oldestAddress: () => WalAddress;
  /** All topics that exist. */
  readonly topics: Iterable<ConfiguredTopic>;
  /** Memory for the live index and the one that is being frozen, together. */
  readonly liveIndexBytesMax: number;
  /** Segments that get their index at the same time; 1 unless told. */
  readonly segmentConcurrency?: number;
  /** What was sealed. */
  readonly segments: RegisteredSegments;
  /** What can wait, waits for clients. */
  readonly traffic: ClientTraffic;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `neededAddress` has risen. */
  readonly onAdvance: () => void;
  /** For tests that want to kill Workers. */
  readonly createWorker?: CreateWorker;
}
