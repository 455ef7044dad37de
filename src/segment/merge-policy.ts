/**
 * Which segments are merged next: pure functions over candidates. What a merge of them makes is
 * `merging-plan.ts`'s question.
 *
 * There are two kinds of lineages:
 *
 *   shared  segments of several topics, by level. `fanIn` of one level become one of the next, except that a topic
 *           with `ownBytesMin` or more among them leaves for a segment of its own. So a topic that trickles lies in
 *           a handful of objects per level, and one with much leaves after the first merge.
 *   own     segments of one topic, in the order of the log. They grow in tiers of size until they are larger than
 *           half of the topic's target, and are then left alone. The target is `segmentBytes`, and grows with the
 *           topic so that it never has many more than `segmentsPerTopic` objects.
 *
 * Rewriting: once per level, or per tier. A larger target later costs a third on top: it grows fourfold, when the
 * lineage has grown fourfold too.
 */

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export interface MergeLimits {
  /** As many of one level or tier are merged. */
  readonly fanIn: number;
  /** More than `fanIn` are merged at once after a backlog, up to this count. */
  readonly inputCountMax: number;
  /** In batches: a topic with so much in one merge gets a segment of its own. */
  readonly ownBytesMin: number;
  /** To which own segments grow at least, where there is enough. */
  readonly segmentBytes: number;
  /** To which the segments of the largest topics grow. */
  readonly segmentBytesMax: number;
  /** The target of own segments is raised when a topic would have more. */
  readonly segmentsPerTopic: number;
  /** Of one segment: bounds the memory that merging its search index takes. */
  readonly recordCountMax: number;
  /** Of all inputs of a job: bounds what planning it takes, and keeps its registration, one entry, below 2 MiB. */
  readonly rangeCountMax: number;
  /** To which shared segments grow. */
  readonly sharedBytesMax: number;
  /** Of all inputs of a job: bounds the room on disk that it takes until they are deleted. */
  readonly jobBytesMax: number;
}

export const MERGE_LIMITS: MergeLimits = {
  fanIn: 10,
  inputCountMax: 64,
  ownBytesMin: 8 * MIB,
  segmentBytes: 256 * MIB,
  segmentBytesMax: 8 * GIB,
  segmentsPerTopic: 48,
  recordCountMax: 16_000_000,
  rangeCountMax: 30_000,
  sharedBytesMax: GIB,
  jobBytesMax: 8 * GIB,
};

/** What the policy knows of a segment. */
export interface MergeCandidate {
  readonly segmentId: string;
  readonly level: number;
  /** Of its range of the WAL: the order of a lineage. */
  readonly startAddress: number;
  /** Of its batches. */
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly rangeCount: number;
  /** It is not merged before, so that its search index can be there. */
  readonly readyMs: number;
}

export interface OwnCandidate extends MergeCandidate {
  /** The segment of the lineage before this one from which it was found to be separated by others' ranges. */
  readonly separatedFrom: string | undefined;
}

/** Own segments are told apart by tiers of size; all below this are of the first. */
const TIER_BYTES = 64 * 1024;
/** A merge that would mostly rewrite one large segment waits for more. */
const GROWTH_MIN = 2;
const TARGET_STEP = 4;

/**
 * The next shared segments to merge; a single one is only split by topic.
 * @param lineage all shared segments, in the order of the log
 */
export function sharedWindow(
  lineage: readonly MergeCandidate[],
  limits: MergeLimits,
  nowMs: number,
): readonly MergeCandidate[] | undefined {
  const isGrown = ({ level, sizeBytes }: MergeCandidate) => sizeBytes > maxOf(level) / 2;
  // One that was merged has no topic left that could leave it; a sealed one may consist of nothing else.
  const maxOf = (level: number) =>
    level === 0 ? limits.jobBytesMax : Math.min(limits.sharedBytesMax, limits.jobBytesMax);
  const large = lineage.find(
    ({ level, sizeBytes, readyMs }) =>
      level === 0 &&
      sizeBytes > limits.jobBytesMax / 2 &&
      sizeBytes <= limits.jobBytesMax &&
      readyMs <= nowMs,
  );
  if (large !== undefined) return [large];
  return firstWindow(stretchesOf(lineage, isGrown, nowMs), limits, {
    rankOf: ({ level }) => level,
    boundsOf: (level) => ({ bytesMax: maxOf(level), recordCountMax: Number.POSITIVE_INFINITY }),
  });
}

/**
 * The next of a topic's own segments to merge: at least two.
 * @param lineage all of the topic, in the order of the log
 */
export function ownWindow(
  lineage: readonly OwnCandidate[],
  limits: MergeLimits,
  nowMs: number,
): readonly OwnCandidate[] | undefined {
  const bytesMax = ownTargetBytes(bytesOf(lineage), limits);
  const bounds = { bytesMax, recordCountMax: limits.recordCountMax };
  const isGrown = ({ sizeBytes, recordCount }: MergeCandidate) =>
    sizeBytes > bounds.bytesMax / 2 || recordCount > bounds.recordCountMax / 2;
  return firstWindow(stretchesOf(lineage, isGrown, nowMs), limits, {
    rankOf: ({ sizeBytes }) => tierOf(sizeBytes, limits.fanIn),
    boundsOf: () => bounds,
  });
}

/** How large the own segments of a topic with so many bytes become. */
export function ownTargetBytes(topicBytes: number, limits: MergeLimits): number {
  const largest = Math.min(limits.segmentBytesMax, limits.jobBytesMax);
  let target = limits.segmentBytes;
  while (target < largest && topicBytes > target * limits.segmentsPerTopic) target *= TARGET_STEP;
  return Math.min(target, largest);
}

interface Bounds {
  readonly bytesMax: number;
  readonly recordCountMax: number;
}

/** What differs between the kinds of lineages. */
interface Ranking {
  /** Level or tier: `fanIn` of one rank make one of the next. */
  readonly rankOf: (candidate: MergeCandidate) => number;
  /** Of what is merged from candidates of this rank. */
  readonly boundsOf: (rank: number) => Bounds;
}

/** Neighbours that may still grow, and whether one that is grown comes right behind them. */
interface Stretch<Candidate> {
  readonly candidates: Candidate[];
  isClosed: boolean;
}

/** The lineage without what is left alone, cut there and where others' ranges are known to lie between. */
function stretchesOf<Candidate extends MergeCandidate & Partial<OwnCandidate>>(
  lineage: readonly Candidate[],
  isGrown: (candidate: MergeCandidate) => boolean,
  nowMs: number,
): Stretch<Candidate>[] {
  const stretches: Stretch<Candidate>[] = [];
  let current: Stretch<Candidate> = { candidates: [], isClosed: false };
  let before: Candidate | undefined;
  for (const candidate of lineage) {
    const isLeft = isGrown(candidate) || candidate.readyMs > nowMs;
    const isSeparated = before !== undefined && candidate.separatedFrom === before.segmentId;
    if (isLeft || isSeparated) {
      current.isClosed = isGrown(candidate);
      stretches.push(current);
      current = { candidates: [], isClosed: false };
    }
    if (!isLeft) current.candidates.push(candidate);
    before = candidate;
  }
  return [...stretches, current];
}

function firstWindow<Candidate extends MergeCandidate>(
  stretches: readonly Stretch<Candidate>[],
  limits: MergeLimits,
  ranking: Ranking,
): readonly Candidate[] | undefined {
  for (const { candidates, isClosed } of stretches) {
    const ranks = candidates.map(ranking.rankOf);
    for (const rank of [...new Set(ranks)].sort((one, other) => one - other)) {
      for (const run of runsOf(candidates, ranks, rank)) {
        const window = fullPart(run, limits, ranking.boundsOf(rank));
        const count = run.filter((candidate) => ranking.rankOf(candidate) === rank).length;
        if (window !== undefined && (window.length < run.length || count >= limits.fanIn)) {
          return window;
        }
      }
    }
    if (!isClosed) continue;
    const rest = fullPart(candidates, limits, ranking.boundsOf(Math.max(0, ...ranks)));
    if (rest !== undefined) return rest;
  }
  return undefined;
}

/** Neighbours of the rank, with those of lower ranks among them; those behind the last are still to grow. */
function runsOf<Candidate>(
  candidates: readonly Candidate[],
  ranks: readonly number[],
  rank: number,
): (readonly Candidate[])[] {
  const runs: (readonly Candidate[])[] = [];
  let start = 0;
  for (let end = 0; end <= candidates.length; end += 1) {
    if (end < candidates.length && (ranks[end] ?? 0) <= rank) continue;
    const last = ranks.slice(start, end).lastIndexOf(rank);
    if (last >= 0) runs.push(candidates.slice(start, start + last + 1));
    start = end + 1;
  }
  return runs;
}

/** As many of the first ones as fit together, where it is worth merging them. */
function fullPart<Candidate extends MergeCandidate>(
  candidates: readonly Candidate[],
  limits: MergeLimits,
  bounds: Bounds,
): readonly Candidate[] | undefined {
  let sizeBytes = 0;
  let recordCount = 0;
  let rangeCount = 0;
  let count = 0;
  for (const candidate of candidates) {
    sizeBytes += candidate.sizeBytes;
    recordCount += candidate.recordCount;
    rangeCount += candidate.rangeCount;
    const isBeyond =
      sizeBytes > bounds.bytesMax ||
      recordCount > bounds.recordCountMax ||
      rangeCount > limits.rangeCountMax;
    if (isBeyond || count === limits.inputCountMax) break;
    count += 1;
  }
  const part = candidates.slice(0, count);
  const largest = Math.max(...part.map((candidate) => candidate.sizeBytes));
  const isWorthIt = part.length < candidates.length || bytesOf(part) >= GROWTH_MIN * largest;
  return part.length > 1 && isWorthIt ? part : undefined;
}

function tierOf(sizeBytes: number, fanIn: number): number {
  if (sizeBytes < TIER_BYTES) return 0;
  return 1 + Math.floor(Math.log(sizeBytes / TIER_BYTES) / Math.log(fanIn));
}

function bytesOf(candidates: readonly MergeCandidate[]): number {
  return candidates.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
