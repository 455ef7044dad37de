/**
 * The checkpoint of the metadata: all of it as commands, so that the WAL before it may go. Written aside, synced and
 * renamed: after a crash there is the old one or the new one, whole. A damaged one stops the start, because the
 * entries that it stands for may be gone. Layout (big-endian):
 *
 *    0 magic "CHRNMETA"   8 version u32   12 coveredEnd u64 (WAL address, exclusive)   20 crc u32 of bytes 0 to 19
 *   24 frames: length u32, crc u32 of the payload, payload (`encodeMetaCommands`)
 *      the last frame has length 0 and in place of the crc the number of frames before it
 *
 * It may be written while commands go on: the entries at or after `coveredEnd` are applied again at start, and
 * applying a command twice, in order with those after it, gives the same state.
 */

import { assert } from "../core/assert.ts";
import type { Disk, DiskFile } from "../core/disk.ts";
import { DiskError, replaceFileBy } from "../core/disk.ts";
import { META_ENTRY_BYTES_LIMIT } from "./local-meta-store.ts";
import { decodeMetaCommands, encodeMetaCommands, MetaRecoveryError } from "./meta-command.ts";
import type { MetaCommand } from "./meta-store.ts";

const MAGIC = new TextEncoder().encode("CHRNMETA");
const VERSION = 1;
const VERSION_POSITION = 8;
const COVERED_END_POSITION = 12;
const CRC_POSITION = 20;
const HEADER_BYTES = 24;
const FRAME_HEADER_BYTES = 8;
/** Commands in one frame: a slice of work between two turns of the event loop. */
const COMMANDS_PER_FRAME = 32;
/** A command that made it through the WAL fits, with what else is in its frame. */
const FRAME_BYTES_LIMIT = META_ENTRY_BYTES_LIMIT * (COMMANDS_PER_FRAME + 1);

/** What a checkpoint is taken of, and put back into. `LocalMetaStore` is one. */
export interface CheckpointedState {
  /** Entries of the WAL below it are in the state. */
  readonly appliedEnd: number;
  commands(): Iterable<MetaCommand>;
  restore(command: MetaCommand, coveredEnd: number): void;
}

/** Puts the checkpoint at `path` into `state`; without a file it does nothing. @throws MetaRecoveryError, DiskError */
export async function readCheckpoint(
  disk: Disk,
  path: string,
  state: CheckpointedState,
): Promise<void> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (thrown) {
    if (thrown instanceof DiskError && thrown.kind === "missing") return;
    throw thrown;
  }
  try {
    const reader = new CheckpointReader(file, await file.sizeBytes());
    const coveredEnd = await reader.readHeader();
    for (;;) {
      const payload = await reader.readFrame();
      if (!payload) return;
      for (const command of decodeMetaCommands(payload)) state.restore(command, coveredEnd);
    }
  } finally {
    await file.close();
  }
}

/** Replaces the checkpoint at `path`. Others go on meanwhile. @throws DiskError; then the old one still holds */
export async function writeCheckpoint(
  disk: Disk,
  path: string,
  state: CheckpointedState,
): Promise<void> {
  await replaceFileBy(disk, path, async (file) => {
    const coveredEnd = state.appliedEnd;
    await file.write(headerOf(coveredEnd), 0);
    let position = HEADER_BYTES;
    let frameCount = 0;
    for (const commands of partsOf(state.commands())) {
      const frame = frameOf(encodeMetaCommands(commands));
      await file.write(frame, position);
      position += frame.length;
      frameCount += 1;
    }
    await file.write(endFrameOf(frameCount), position);
  });
}

/** Reads the parts of the file in order, each checked before it is given away. */
class CheckpointReader {
  readonly #file: DiskFile;
  readonly #sizeBytes: number;
  #position = 0;
  #frameCount = 0;

  constructor(file: DiskFile, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  /** @returns `coveredEnd`. */
  async readHeader(): Promise<number> {
    const view = viewOf(await this.#read(HEADER_BYTES));
    const isMagic = MAGIC.every((byte, index) => view.getUint8(index) === byte);
    if (!isMagic) this.#refuse("it is not a checkpoint");
    const version = view.getUint32(VERSION_POSITION);
    if (version > VERSION) {
      throw new MetaRecoveryError(
        `${this.#file.path} has format ${version}, of a newer version of this program. Use that version.`,
      );
    }
    const bytes = new Uint8Array(view.buffer, view.byteOffset, CRC_POSITION);
    if (view.getUint32(CRC_POSITION) !== Bun.hash.crc32(bytes))
      this.#refuse("its header is damaged");
    return Number(view.getBigUint64(COVERED_END_POSITION));
  }

  /** @returns undefined at the end, which must be where it says. */
  async readFrame(): Promise<Uint8Array | undefined> {
    const view = viewOf(await this.#read(FRAME_HEADER_BYTES));
    const lengthBytes = view.getUint32(0);
    const crc = view.getUint32(4);
    if (lengthBytes === 0) {
      const isEnd = crc === this.#frameCount && this.#position === this.#sizeBytes;
      return isEnd ? undefined : this.#refuse("its end is not where it should be");
    }
    if (lengthBytes > FRAME_BYTES_LIMIT) this.#refuse("a frame is too long");
    const payload = await this.#read(lengthBytes);
    if (Bun.hash.crc32(payload) !== crc) this.#refuse("a checksum is wrong");
    this.#frameCount += 1;
    return payload;
  }

  async #read(lengthBytes: number): Promise<Uint8Array> {
    if (this.#position + lengthBytes > this.#sizeBytes) this.#refuse("it is cut short");
    const bytes = new Uint8Array(lengthBytes);
    const count = await this.#file.read(bytes, this.#position);
    if (count < lengthBytes) this.#refuse("it is cut short");
    this.#position += lengthBytes;
    return bytes;
  }

  #refuse(reason: string): never {
    throw new MetaRecoveryError(
      `${this.#file.path} is damaged at position ${this.#position}: ${reason}. Restore it from a backup.`,
    );
  }
}

function headerOf(coveredEnd: number): Uint8Array {
  assert(Number.isSafeInteger(coveredEnd) && coveredEnd >= 0, `${coveredEnd} is not an address`);
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint32(VERSION_POSITION, VERSION);
  view.setBigUint64(COVERED_END_POSITION, BigInt(coveredEnd));
  view.setUint32(CRC_POSITION, Bun.hash.crc32(bytes.subarray(0, CRC_POSITION)));
  return bytes;
}

function frameOf(payload: Uint8Array): Uint8Array {
  assert(payload.length > 0 && payload.length <= FRAME_BYTES_LIMIT, "a frame is too long");
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  const view = viewOf(frame);
  view.setUint32(0, payload.length);
  view.setUint32(4, Bun.hash.crc32(payload));
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

function endFrameOf(frameCount: number): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES);
  viewOf(frame).setUint32(4, frameCount);
  return frame;
}

function* partsOf(commands: Iterable<MetaCommand>): Iterable<MetaCommand[]> {
  let part: MetaCommand[] = [];
  for (const command of commands) {
    part.push(command);
    if (part.length < COMMANDS_PER_FRAME) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
