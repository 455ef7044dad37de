/** Which partition a record goes to: by its key as the Java client chooses, so that both put a key in one place. */

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/** The partition of `key` among `partitionCount`. */
export function partitionOf(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}

/** MurmurHash 2 (Austin Appleby, public domain) with the seed of Apache Kafka's `Utils.murmur2`; an int32. */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  let hash = SEED ^ length;
  let position = 0;
  for (; position + 4 <= length; position += 4) {
    let word = Math.imul(view.getInt32(position, true), MULTIPLIER);
    word = Math.imul(word ^ (word >>> 24), MULTIPLIER);
    hash = Math.imul(hash, MULTIPLIER) ^ word;
  }
  const left = length - position;
  if (left > 2) hash ^= (bytes[position + 2] ?? 0) << 16;
  if (left > 1) hash ^= (bytes[position + 1] ?? 0) << 8;
  if (left > 0) hash = Math.imul(hash ^ (bytes[position] ?? 0), MULTIPLIER);
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
  return hash ^ (hash >>> 15);
}
