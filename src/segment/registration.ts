/** How segments become real: an entry of metadata names them, and whoever listens to metadata hears of it. */

import type { MetaStore } from "../meta/meta-store.ts";
import { encodeSegmentFacts, type SegmentFacts } from "./segment-facts.ts";

/** Makes segments known for good. Resolves when the logs read them. */
export function registerSegments(
  meta: MetaStore,
  added: readonly SegmentFacts[],
  removedIds: readonly string[] = [],
): Promise<void> {
  const encoded = added.map((facts) => Buffer.from(encodeSegmentFacts(facts)).toString("base64"));
  return meta.commit({ kind: "segmentsChanged", added: encoded, removedIds });
}
