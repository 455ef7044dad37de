/** A Worker that owns a live index: adds a pack, commits, and tells the index's number and how many it holds. */
import { LiveIndex } from "../../src/core/native.ts";

declare const self: Worker;

let index: LiveIndex | undefined;

self.onmessage = ({ data: pack }: MessageEvent<Uint8Array>) => {
  index ??= new LiveIndex();
  index.add(pack);
  index.commit();
  self.postMessage({ number: index.number, documentCount: index.stats().documentCount });
};
