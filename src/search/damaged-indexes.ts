/**
 * Search indexes of segments that turned out to be damaged, until they are made anew from the segments' batches.
 * One for which that fails is tried again, but not often: its batches may be damaged, too.
 */

/** What a search met. */
export interface IndexDamage {
  readonly segmentId: string;
  /** Of the archive in which it was met. */
  readonly lengthBytes: number;
  readonly reason: string;
}

interface Damaged {
  readonly reason: string;
  /** Monotonic time from which on it is to be made anew. */
  dueMs: number;
}

const RETRY_MS = 10 * 60_000;

/** State without effects. */
export class DamagedIndexes {
  readonly #bySegment = new Map<string, Damaged>();

  /** @returns whether it was not known yet */
  add({ segmentId, reason }: IndexDamage, nowMs: number): boolean {
    if (this.#bySegment.has(segmentId)) return false;
    this.#bySegment.set(segmentId, { reason, dueMs: nowMs });
    return true;
  }

  /** The segment is gone, or has another index. */
  delete(segmentId: string): void {
    this.#bySegment.delete(segmentId);
  }

  /** Undefined if the index is not known to be damaged. */
  reasonOf(segmentId: string): string | undefined {
    return this.#bySegment.get(segmentId)?.reason;
  }

  /** A segment whose index is to be made anew now. */
  due(nowMs: number): string | undefined {
    for (const [segmentId, { dueMs }] of this.#bySegment) if (dueMs <= nowMs) return segmentId;
    return undefined;
  }

  /** Making it anew has failed. @returns after how long it is due again */
  putOff(segmentId: string, nowMs: number): number {
    const damaged = this.#bySegment.get(segmentId);
    if (damaged !== undefined) damaged.dueMs = nowMs + RETRY_MS;
    return RETRY_MS;
  }
}
