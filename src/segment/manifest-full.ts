/** All that a full generation says, in pieces of bounded size: segments as they are when this is called. */

import { nextTurn } from "../core/clock.ts";
import type { MetaStore } from "../meta/meta-store.ts";
import {
  type EncodedSegments,
  encodeSegments,
  type LogStart,
  type ManifestContent,
  type NamedTopic,
} from "./manifest-format.ts";
import type { SegmentIndex } from "./segment-index.ts";

/** A slice of work between two turns of the event loop. */
const RANGES_PER_SLICE = 128;
const TOPICS_PER_SLICE = 256;
/** In one object of the store. */
const BYTES_PER_PIECE = 256 * 1024;
const TOPICS_PER_PIECE = 2048;

/** What one object holds. */
export interface FullPiece {
  readonly content: Partial<ManifestContent>;
  readonly encoded: readonly EncodedSegments[];
}

interface FullState {
  readonly index: SegmentIndex;
  readonly meta: Pick<MetaStore, "topics" | "logStartOffsets">;
}

/**
 * Topics and log starts may be those of a moment later: what they hide is deleted by then. The generator must be taken
 * to its end, or be closed.
 */
export function fullPieces({ index, meta }: FullState): AsyncGenerator<FullPiece> {
  const snapshot = index.snapshot();
  const topics = [...meta.topics()];
  return (async function* () {
    try {
      let content: FullPiece["content"] = {};
      for await (const piece of topicPieces(topics, meta)) {
        if (content.topics !== undefined) yield { content, encoded: [] };
        content = piece;
      }
      let encoded: EncodedSegments[] = [];
      let sizeBytes = 0;
      for (;;) {
        const segments = snapshot.take(RANGES_PER_SLICE);
        if (segments.length === 0) break;
        if (sizeBytes >= BYTES_PER_PIECE) {
          yield { content, encoded };
          content = {};
          encoded = [];
          sizeBytes = 0;
        }
        const slice = encodeSegments(segments);
        encoded.push(slice);
        sizeBytes += slice.bytes.length;
        await nextTurn();
      }
      yield { content, encoded };
    } finally {
      snapshot.close();
    }
  })();
}

async function* topicPieces(
  all: readonly NamedTopic[],
  meta: FullState["meta"],
): AsyncGenerator<FullPiece["content"]> {
  for (let start = 0; start < all.length; start += TOPICS_PER_PIECE) {
    const topics: NamedTopic[] = [];
    let logStarts: LogStart[] = [];
    for (const { topicId, name } of all.slice(start, start + TOPICS_PER_PIECE)) {
      topics.push({ topicId, name });
      for (const each of meta.logStartOffsets(topicId)) logStarts.push({ topicId, ...each });
      if (topics.length % TOPICS_PER_SLICE === 0) await nextTurn();
      if (logStarts.length < TOPICS_PER_PIECE) continue;
      yield { topics: [], logStarts };
      logStarts = [];
    }
    yield { topics, logStarts };
  }
}
