/**
 * Which segments go because of deleted records, and which are written again without them: a pure function of what
 * is dead in each segment and when that has to be gone. No lookup returns a deleted record, so this is about bytes.
 *
 *   nothing lives                     the object goes at once
 *   more than a share of it is dead   it is written again at once
 *   something is dead                 it is written again early enough to be gone after `file.delete.delay.ms`;
 *                                     until then it waits, so that several deletions cost one writing
 */

/** A segment with more dead bytes than this share is written again whatever the time. */
const DEAD_SHARE_MAX = 0.3;
/** Writing again has to wait for other work: so much earlier it begins. */
const MARGIN_MS = 30_000;
/** How fast segments are written again at least, and what each costs beside its bytes. */
const REWRITE_BYTES_PER_MS = 20_000;
const REWRITE_MS_MIN = 1000;

/** A segment in which something is dead. */
export interface PurgeCandidate {
  readonly segmentId: string;
  /** Of batches that can still be read. */
  readonly liveBytes: number;
  /** Of batches that cannot. */
  readonly deadBytes: number;
  /** When the first of them have to be gone; infinite where only the share counts. */
  readonly dueMs: number;
}

export interface PurgePlan {
  /** Nothing in them lives. */
  readonly deletedIds: readonly string[];
  /** To be written again now, one after another. */
  readonly rewrittenIds: readonly string[];
  /** When the plan will be another one if nothing else dies; undefined: never. */
  readonly nextMs: number | undefined;
}

export function planPurge(candidates: Iterable<PurgeCandidate>, nowMs: number): PurgePlan {
  const deletedIds: string[] = [];
  const crowded: PurgeCandidate[] = [];
  const waiting: PurgeCandidate[] = [];
  for (const candidate of candidates) {
    const { segmentId, liveBytes, deadBytes } = candidate;
    if (liveBytes === 0) deletedIds.push(segmentId);
    else if (deadBytes > DEAD_SHARE_MAX * (liveBytes + deadBytes)) crowded.push(candidate);
    else if (deadBytes > 0) waiting.push(candidate);
  }
  waiting.sort(compareUrgency);
  const startMs = latestStartMs(waiting);
  // Those behind them in time are no hurry, but would be right after.
  const urgentCount = startMs.findLastIndex((ms) => ms <= nowMs) + 1;
  const rewritten = [...waiting.slice(0, urgentCount), ...crowded].sort(compareUrgency);
  const nextMs = Math.min(...startMs.slice(urgentCount));
  return {
    deletedIds,
    rewrittenIds: rewritten.map(({ segmentId }) => segmentId),
    nextMs: Number.isFinite(nextMs) ? nextMs : undefined,
  };
}

/** For each candidate, when the work up to it has to begin for it to be done in time. */
function latestStartMs(candidates: readonly PurgeCandidate[]): number[] {
  let workMs = MARGIN_MS;
  return candidates.map(({ liveBytes, dueMs }) => {
    workMs += REWRITE_MS_MIN + liveBytes / REWRITE_BYTES_PER_MS;
    return dueMs - workMs;
  });
}

/** By time; of those of one time, the one from which most bytes go. */
function compareUrgency(one: PurgeCandidate, other: PurgeCandidate): number {
  if (one.dueMs !== other.dueMs) return one.dueMs < other.dueMs ? -1 : 1;
  return other.deadBytes - one.deadBytes;
}
