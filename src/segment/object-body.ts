/** The bytes of an object to be written, piece by piece, and whether an object has them already. */

import { type ObjectBody, type ObjectStore, ObjectStoreError } from "./object-store.ts";

/** What two objects are compared by. */
const COMPARED_BYTES = 4 * 1024 * 1024;

export function bodySizeBytes(body: ObjectBody): number {
  return body instanceof Uint8Array ? body.length : body.sizeBytes;
}

/** Exactly `[start, end)` of the body; a view of bytes at hand. @throws ObjectStoreError if its source ends before */
export async function readBody(
  body: ObjectBody,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body.subarray(start, end);
  const bytes = await body.source.readRange(start, end);
  if (bytes.length === end - start) return bytes;
  throw new ObjectStoreError(
    `${body.source.name} ends at ${start + bytes.length}, before the ${body.sizeBytes} bytes that it was to have.`,
  );
}

/** Whether the object holds exactly the body. @throws ObjectMissingError */
export async function hasBody(store: ObjectStore, key: string, body: ObjectBody): Promise<boolean> {
  const sizeBytes = bodySizeBytes(body);
  for (let start = 0; start < sizeBytes; start += COMPARED_BYTES) {
    const end = Math.min(sizeBytes, start + COMPARED_BYTES);
    const stored = await store.readRange(key, start, end);
    const wanted = await readBody(body, { start, end });
    if (!Buffer.from(stored.buffer, stored.byteOffset, stored.length).equals(wanted)) return false;
  }
  return (await store.readRange(key, sizeBytes, sizeBytes + 1)).length === 0;
}
