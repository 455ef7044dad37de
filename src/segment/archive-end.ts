/**
 * Where an archive may end whose length nobody knows: behind its last trailer. Bytes behind that are of an append that
 * was cut short. What a client has sent may look like a trailer too, so a candidate is to be opened and looked at.
 */

import { ArchiveCorruptionError } from "./archive-errors.ts";
import { decodeTrailer, TRAILER_BYTES } from "./archive-format.ts";
import type { RangeSource } from "./archive-source.ts";

const WINDOW_BYTES = 256 * 1024;
const MAGIC = Buffer.from("CHRONTAR");
const MAGIC_POSITION = 16;

/** Lengths at which an archive of at most `sizeBytes` may end, descending. */
export async function* archiveEndsOf(
  source: RangeSource,
  sizeBytes: number,
): AsyncGenerator<number> {
  let windowEnd = sizeBytes;
  while (windowEnd >= TRAILER_BYTES) {
    const start = Math.max(0, windowEnd - WINDOW_BYTES);
    const bytes = Buffer.from(await source.readRange(start, windowEnd));
    let found = bytes.lastIndexOf(MAGIC);
    while (found >= 0) {
      const position = found - MAGIC_POSITION;
      const trailer = position < 0 ? undefined : bytes.subarray(position, position + TRAILER_BYTES);
      if (trailer !== undefined && isTrailer(trailer, { name: source.name, position })) {
        yield start + position + TRAILER_BYTES;
      }
      found = found === 0 ? -1 : bytes.lastIndexOf(MAGIC, found - 1);
    }
    if (start === 0) return;
    // The next window holds whole what this one may have cut.
    windowEnd = start + TRAILER_BYTES - 1;
  }
}

function isTrailer(
  bytes: Uint8Array,
  place: { readonly name: string; readonly position: number },
): boolean {
  try {
    decodeTrailer(bytes, place);
    return true;
  } catch (thrown) {
    if (thrown instanceof ArchiveCorruptionError) return false;
    throw thrown;
  }
}
