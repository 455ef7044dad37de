/** Memory that is about to be overwritten need not be zeroed first. */

/**
 * An array whose content is arbitrary. A plain `Uint8Array`: a `Buffer`'s `slice` would be a view where ours
 * is a copy.
 */
export function uninitializedBytes(sizeBytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer, 0, sizeBytes);
}
