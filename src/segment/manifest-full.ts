/** All that a full generation says, in pieces of bounded size: segments as they are when this is called. */

import { nextTurn } from "../core/clock.ts";
import type { MetaStore } from "../meta/meta-store.ts";
import { EMPTY_CONTENT, type LogStart, type ManifestContent } from "./manifest-format.ts";
import type { SegmentIndex } from "./segment-index.ts";

/** In one piece: a slice of work between two turns of the event loop. */
const RANGES_PER_SLICE = 256;
const TOPICS_PER_SLICE = 256;
/** In one object of the store: about a megabyte. */
const RANGES_PER_PART = 16_384;

interface FullState {
  readonly index: SegmentIndex;
  readonly meta: Pick<MetaStore, "topics" | "logStartOffsets">;
}

/**
 * Topics and log starts may be those of a moment later: what they hide is deleted by then. The generator must be taken
 * to its end, or be closed.
 */
export function fullContents({ index, meta }: FullState): AsyncGenerator<ManifestContent> {
  const snapshot = index.snapshot();
  const topics = [...meta.topics()].map(({ topicId, name }) => ({ topicId, name }));
  return (async function* () {
    try {
      let content: ManifestContent = { ...EMPTY_CONTENT, topics, logStarts: await logStartsOf() };
      let rangeCount = 0;
      for (;;) {
        const added = snapshot.take(RANGES_PER_SLICE);
        if (added.length === 0) break;
        content = { ...content, added: [...content.added, ...added] };
        rangeCount += added.reduce((sum, { ranges }) => sum + Math.max(1, ranges.length), 0);
        if (rangeCount >= RANGES_PER_PART) {
          yield content;
          content = EMPTY_CONTENT;
          rangeCount = 0;
        }
        await nextTurn();
      }
      yield { ...content };
    } finally {
      snapshot.close();
    }
  })();

  async function logStartsOf(): Promise<LogStart[]> {
    const logStarts: LogStart[] = [];
    for (const [index, { topicId }] of topics.entries()) {
      for (const start of meta.logStartOffsets(topicId)) logStarts.push({ topicId, ...start });
      if (index % TOPICS_PER_SLICE === TOPICS_PER_SLICE - 1) await nextTurn();
    }
    return logStarts;
  }
}
