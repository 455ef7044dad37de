/**
 * Headers of a tar stream (POSIX.1-1988 "ustar"; sizes from 8 GiB on as GNU tar writes them, in base 256).
 * Equal names and sizes give equal headers: the files' times say nothing, for what is in them says when.
 */

import { assert } from "../core/assert.ts";
import { writeInt64At } from "../protocol/big-endian.ts";

/** Headers have one block; content is filled up to whole ones. */
const TAR_BLOCK_BYTES = 512;

const SIZE_POSITION = 124;
const CHECKSUM_POSITION = 148;
const CHECKSUM_BYTES = 8;
/** Larger ones do not fit into eleven octal digits. */
const OCTAL_SIZE_MAX = 8 ** 11 - 1;
/** 1980-01-01, as usual where bytes shall be reproducible. GNU tar warns of 1970. */
const MODIFIED_SECONDS = 315_532_800;

/** Texts and octal numbers, at their positions; each ends with a zero, save for the version. */
const FIELDS: readonly (readonly [position: number, text: string])[] = [
  [100, "0000644"], // mode
  [108, "0000000"], // user
  [116, "0000000"], // group
  [136, octal(MODIFIED_SECONDS)],
  [156, "0"], // a regular file
  [257, "ustar"],
  [263, "00"], // version
  [265, "root"],
  [297, "root"],
];

/** The header of a file with a name of at most 100 ASCII characters. */
export function tarHeader(name: string, sizeBytes: number): Uint8Array<ArrayBuffer> {
  assert(name.length <= 100, "the name fits into a tar header");
  const header = new Uint8Array(TAR_BLOCK_BYTES);
  writeText(header, 0, name);
  for (const [position, text] of FIELDS) writeText(header, position, text);
  if (sizeBytes <= OCTAL_SIZE_MAX) {
    writeText(header, SIZE_POSITION, octal(sizeBytes));
  } else {
    header[SIZE_POSITION] = 0x80;
    writeInt64At(header, SIZE_POSITION + 4, sizeBytes);
  }
  // The checksum is the sum of all bytes, its own field counted as spaces.
  const sum = header.reduce((total, byte) => total + byte, CHECKSUM_BYTES * 0x20);
  writeText(header, CHECKSUM_POSITION, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

/** The zeros that must follow `sizeBytes` of content. */
export function tarPadding(sizeBytes: number): Uint8Array<ArrayBuffer> {
  const partBytes = sizeBytes % TAR_BLOCK_BYTES;
  return new Uint8Array(partBytes === 0 ? 0 : TAR_BLOCK_BYTES - partBytes);
}

function octal(value: number): string {
  return value.toString(8).padStart(11, "0");
}

function writeText(target: Uint8Array, position: number, text: string): void {
  target.set(new TextEncoder().encode(text), position);
}
