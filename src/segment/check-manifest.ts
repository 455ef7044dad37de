/**
 * Checks a store's manifest against what is registered and against the objects. A generation that is behind is no
 * fault: it is written beside all else, and the next start brings it up. One that does not fit its objects is.
 */

import type { LocalMetaStore } from "../meta/local-meta-store.ts";
import { type OnFinding, reasonOf } from "./check-finding.ts";
import { manifestKeyOf, parseManifestKey } from "./manifest-format.ts";
import { type ManifestReading, readManifests, type StoredManifest } from "./manifest-reading.ts";
import type { ObjectStore } from "./object-store.ts";
import type { SegmentIndex } from "./segment-index.ts";
import { segmentFileName } from "./segment-writer.ts";

export interface ManifestToCheck {
  readonly objects: ObjectStore;
  /** Where people find a key. */
  readonly pathOf: (key: string) => string;
  readonly index: SegmentIndex;
  readonly meta: Pick<LocalMetaStore, "topicById">;
  readonly onFinding: OnFinding;
}

/** @returns names of segments that the newest generation has */
export async function checkManifest(check: ManifestToCheck): Promise<ReadonlySet<string>> {
  const { objects, pathOf, index, onFinding } = check;
  let reading: ManifestReading;
  try {
    reading = await readManifests(objects);
  } catch (thrown) {
    onFinding({ kind: "fault", path: objects.name, reason: reasonOf(thrown) });
    return new Set();
  }
  const { manifest, faults } = reading;
  for (const { key, reason } of faults) onFinding({ kind: "fault", path: pathOf(key), reason });
  noteUnfinished(check, reading);
  if (manifest === undefined) {
    const { segmentCount } = index.stats();
    if (segmentCount > 0 && faults.length === 0) {
      const reason = `it has no manifest, which the next start writes: of ${segmentCount} segments the objects alone tell`;
      onFinding({ kind: "note", path: objects.name, reason });
    }
    return new Set();
  }
  return await checkNamed(check, manifest);
}

async function checkNamed(
  { objects, pathOf, index, meta, onFinding }: ManifestToCheck,
  manifest: StoredManifest,
): Promise<ReadonlySet<string>> {
  const path = pathOf(manifestKeyOf(manifest.header.generation));
  const namedIds = new Set<string>();
  let unregisteredCount = 0;
  for (const { segmentId, lengthBytes } of manifest.index.segments()) {
    namedIds.add(segmentId);
    // What is registered is looked at by itself.
    if (index.segment(segmentId) !== undefined) continue;
    unregisteredCount += 1;
    const found = await objects.stat(segmentFileName(segmentId));
    if (found !== undefined && found.sizeBytes >= lengthBytes) continue;
    const what = found === undefined ? "missing" : `only ${found.sizeBytes} bytes long`;
    const reason = `it names segment ${segmentId} of ${lengthBytes} bytes, whose object is ${what}`;
    onFinding({ kind: "fault", path, reason });
  }
  let unnamedCount = 0;
  for (const { segmentId } of index.segments()) if (!namedIds.has(segmentId)) unnamedCount += 1;
  let goneCount = 0;
  for (const topicId of manifest.topics.keys()) {
    if (meta.topicById(topicId) === undefined) goneCount += 1;
  }
  const parts = [
    unnamedCount > 0 ? `lacks ${unnamedCount} registered segments` : "",
    unregisteredCount > 0 ? `names ${unregisteredCount} that are no longer registered` : "",
    goneCount > 0 ? `has ${goneCount} topics that are deleted` : "",
  ].filter((part) => part !== "");
  if (parts.length > 0) {
    const reason = `the newest generation of the manifest ${parts.join(" and ")}: it is behind`;
    onFinding({ kind: "note", path, reason });
  }
  return namedIds;
}

/** Parts whose generation never came, and generations that a newer one has replaced. */
function noteUnfinished(
  { pathOf, onFinding }: ManifestToCheck,
  { manifest, keys, faults }: ManifestReading,
): void {
  const heads = new Set(keys.filter((key) => parseManifestKey(key)?.part === undefined));
  const isFaulty = new Set(faults.map(({ key }) => key));
  for (const key of keys) {
    const place = parseManifestKey(key);
    if (place === undefined || isFaulty.has(key)) continue;
    if (heads.has(manifestKeyOf(place.generation))) continue;
    const reason = "its generation was not finished: the next full one removes it";
    onFinding({ kind: "note", path: pathOf(key), reason });
  }
  if (manifest === undefined) return;
  const { fullGeneration } = manifest;
  const replaced = keys.filter((key) => {
    const place = parseManifestKey(key);
    return place !== undefined && place.generation < fullGeneration && heads.has(key);
  });
  if (replaced.length === 0) return;
  const reason = `${replaced.length} generations before this one are not removed yet`;
  onFinding({ kind: "note", path: pathOf(manifestKeyOf(fullGeneration)), reason });
}
