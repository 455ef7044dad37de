/**
 * What one Fetch answer reads of each partition, and its way into memory: nothing is loaded from disk
 * before memory for it has been reserved.
 */

import { eachAtATime } from "../core/lanes.ts";
import {
  bytesToLoad,
  isEmptyPlan,
  isMoved,
  type LogTiers,
  loadRead,
  planRead,
  type ReadPlan,
} from "../log/log-reader.ts";
import type { Partition } from "../log/partition.ts";
import { ErrorCode, errorCodeOf } from "../protocol/errors.ts";
import type { AnswerMemory, Reservation } from "./fetch-memory.ts";
import type { FetchPartition } from "./fetch-session.ts";
import type { ClientConnection } from "./handler.ts";

/** A fetch waits at least this long for memory, so that its client does not ask in a loop. */
const MEMORY_WAIT_MS_MIN = 1000;
/** And at most this long, however patient it is. */
const MEMORY_WAIT_MS_MAX = 10_000;
/** Reservations need not be smaller: one read from disk costs about the same. */
const LEAST_BYTES = 64 * 1024;
/** The thread pool, which acknowledgements wait for too, is not to be filled. */
const LOADS_AT_A_TIME = 2;

/** One partition of a request: what to read, or why not. */
export interface PartitionFetch {
  readonly asked: FetchPartition;
  readonly partition: Partition | undefined;
  /** What to answer when the topic is deleted meanwhile. */
  readonly deletedCode: number;
  errorCode: number;
  plan: ReadPlan | undefined;
}

/** How an answer holds what it was planned to hold. */
export type LoadedFetch =
  /** Everything is in the slab, and nothing is reserved. */
  | { readonly kind: "slab" }
  | { readonly kind: "reserved"; readonly reservation: Reservation }
  /** There was no memory in time: the answer holds no batches. */
  | { readonly kind: "none" }
  | { readonly kind: "abandoned" };

export interface FetchLoad {
  readonly tiers: LogTiers;
  readonly memory: AnswerMemory;
  readonly connection: ClientConnection;
  readonly fetches: readonly PartitionFetch[];
  readonly maxBytes: number;
  readonly maxWaitMs: number;
}

/** Plans `fetches` and gets into memory what is not there. The caller settles what is reserved. */
export async function planAndLoad(load: FetchLoad): Promise<LoadedFetch> {
  const { tiers, memory, connection, fetches, maxBytes } = load;
  planFetches(tiers, fetches, maxBytes);
  const coldBytes = coldBytesOf(tiers, fetches);
  if (coldBytes === 0 && !(memory.isExhausted && hasPlan(fetches))) return { kind: "slab" };
  const leastBytes = leastBytesOf(load);
  const reservation = await memory.reserve({
    connectionId: connection.id,
    wantedBytes: Math.max(coldBytes, leastBytes),
    leastBytes,
    waitMs: Math.min(Math.max(load.maxWaitMs, MEMORY_WAIT_MS_MIN), MEMORY_WAIT_MS_MAX),
    onAbandon: (listener) => connection.onClose(listener),
  });
  if (reservation === undefined) {
    for (const fetch of fetches) fetch.plan = undefined;
    return isGone(connection) ? { kind: "abandoned" } : { kind: "none" };
  }
  try {
    // Meanwhile topics may have gone, and batches have left the slab.
    planFetches(tiers, fetches, maxBytes);
    if (coldBytesOf(tiers, fetches) > reservation.sizeBytes) {
      planFetches(tiers, fetches, Math.min(maxBytes, reservation.sizeBytes));
    }
    reservation.resize(Math.max(leastBytes, coldBytesOf(tiers, fetches)));
    const lanes = { laneCount: LOADS_AT_A_TIME, isStopped: () => isGone(connection) };
    await eachAtATime(fetches, lanes, async (fetch) => {
      if (fetch.plan !== undefined) await loadOne(tiers, fetch, fetch.plan);
    });
  } catch (thrown) {
    reservation.release();
    throw thrown;
  }
  return { kind: "reserved", reservation };
}

/** Whether the client has gone. */
export function isGone(connection: ClientConnection): boolean {
  let isClosed = false;
  const remove = connection.onClose(() => {
    isClosed = true;
  });
  remove();
  return isClosed;
}

/** Tells of topics and records that have been deleted since they were found. */
export function refuseDeleted(fetches: readonly PartitionFetch[]): void {
  for (const fetch of fetches) {
    const { asked, partition, errorCode } = fetch;
    if (partition === undefined) continue;
    // What could not be read may have been deleted while it was read.
    const isRead = errorCode === ErrorCode.none || errorCode === ErrorCode.kafkaStorageError;
    if (partition.isDeleted) fetch.errorCode = fetch.deletedCode;
    else if (isRead && asked.fetchOffset < partition.logStartOffset) {
      fetch.errorCode = ErrorCode.offsetOutOfRange;
    } else continue;
    fetch.plan = undefined;
  }
}

/** Decides what to read of each partition, in order. */
function planFetches(tiers: LogTiers, fetches: readonly PartitionFetch[], maxBytes: number): void {
  refuseDeleted(fetches);
  let leftBytes = maxBytes;
  let isOneBatchDue = true;
  for (const fetch of fetches) {
    const { asked, partition } = fetch;
    fetch.plan = undefined;
    if (partition === undefined || fetch.errorCode !== ErrorCode.none) continue;
    if (leftBytes <= 0 && !isOneBatchDue) continue;
    const plan = planRead(tiers, partition, {
      offset: asked.fetchOffset,
      endOffset: partition.highWatermark,
      maxBytes: Math.max(0, Math.min(asked.maxBytes, leftBytes)),
      isOneBatchDue,
    });
    if (isEmptyPlan(plan)) continue;
    isOneBatchDue = false;
    leftBytes -= partition.availableBytes(asked.fetchOffset, plan.limits.maxBytes);
    fetch.plan = plan;
  }
}

async function loadOne(tiers: LogTiers, fetch: PartitionFetch, plan: ReadPlan): Promise<void> {
  try {
    await loadRead(tiers, plan);
  } catch (thrown) {
    const { partition } = fetch;
    fetch.plan = undefined;
    if (!isMoved(thrown) || partition === undefined) {
      fetch.errorCode = errorCodeOf(thrown);
      return;
    }
    fetch.plan = planRead(tiers, partition, plan.limits);
    await loadOne(tiers, fetch, fetch.plan);
  }
}

/** What the smallest answer loads. Leaves that plan behind. */
function leastBytesOf({ tiers, fetches, maxBytes }: FetchLoad): number {
  planFetches(tiers, fetches, 0);
  const oneBatchBytes = coldBytesOf(tiers, fetches);
  return Math.max(oneBatchBytes, Math.min(maxBytes, LEAST_BYTES));
}

function coldBytesOf(tiers: LogTiers, fetches: readonly PartitionFetch[]): number {
  let sizeBytes = 0;
  for (const { plan } of fetches) if (plan !== undefined) sizeBytes += bytesToLoad(tiers, plan);
  return sizeBytes;
}

function hasPlan(fetches: readonly PartitionFetch[]): boolean {
  return fetches.some(({ plan }) => plan !== undefined);
}
