/**
 * Where a byte lies in the WAL, as one number: file sequence × 2^32 + position in the file. Addresses rise
 * along the log, with gaps, and stay safe integers for two million files.
 */

export type WalAddress = number;

const POSITIONS_PER_FILE = 2 ** 32;

/** The address of `position` in the file with `sequence`. */
export function walAddressOf(sequence: number, position: number): WalAddress {
  return sequence * POSITIONS_PER_FILE + position;
}

/** The sequence number of the file. */
export function fileSequenceOf(address: WalAddress): number {
  return Math.floor(address / POSITIONS_PER_FILE);
}

/** The position in the file. */
export function filePositionOf(address: WalAddress): number {
  return address % POSITIONS_PER_FILE;
}

/** How much of the WAL lies between two addresses, in bytes; negative if `end` is before `start`. */
export function walBytesBetween(start: WalAddress, end: WalAddress, fileBytes: number): number {
  const files = fileSequenceOf(end) - fileSequenceOf(start);
  return files * fileBytes + filePositionOf(end) - filePositionOf(start);
}
