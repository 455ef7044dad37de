/**
 * Reads the groups of a WAL file one after another and hands out their entries; shared by recovery and the
 * reader for Workers. A group counts only as a whole: header, every entry, and their number.
 */

import { assert } from "../core/assert.ts";
import { readUint32At } from "../protocol/big-endian.ts";
import { UUID_BYTES, uuidOf } from "../protocol/uuid.ts";
import { FileWindow } from "./file-window.ts";
import { type WalAddress, walAddressOf } from "./wal-address.ts";
import type { WalFile } from "./wal-files.ts";
import {
  BLOCK_BYTES,
  blockEndOf,
  checkedEntryEnd,
  ENTRY_HEADER_BYTES,
  ENTRY_VERSION_LEGACY,
  type EntryFields,
  EntryKind,
  GROUP_HEADER_BYTES,
  type GroupHeader,
  nextEntriesCrc,
  readEntryFields,
  readGroupHeader,
} from "./wal-format.ts";

/** One entry read back. Bytes are views into a buffer that is reused: copy what must outlive the call. */
export interface WalEntry {
  /** Of the payload's first byte. */
  readonly address: WalAddress;
  readonly kind: "batch" | "metadata";
  /** 2; or 1 for a legacy record, whose payload `batchOfLegacyPayload` turns into a batch. */
  readonly version: number;
  /** Kafka's text form. */
  readonly topicId: string;
  /** Shared by entries of the topic: not to be changed. */
  readonly topicIdBytes: Uint8Array;
  readonly partition: number;
  readonly baseOffset: number;
  readonly leaderEpoch: number;
  readonly payload: Uint8Array;
}

/** A valid group, its bytes in the scan's window until the next step. */
export interface ScannedGroup extends GroupHeader {
  readonly endAddress: WalAddress;
}

/** A walk over one open file. */
export class GroupScan {
  readonly #file: WalFile;
  readonly #window: FileWindow;
  readonly #fields: EntryFields = {
    version: 0,
    kind: 0,
    payloadBytes: 0,
    topicIdStart: 0,
    partition: 0,
    baseOffset: 0,
    leaderEpoch: 0,
  };
  readonly #topicIds = new TopicIds();

  /** Nothing at or beyond `endPosition` is read; chunks have `chunkBytes`. */
  constructor(walFile: WalFile, limits: { endPosition?: number; chunkBytes?: number } = {}) {
    const { file, fileBytes } = walFile;
    assert(file !== undefined, "the file is open");
    this.#file = walFile;
    this.#window = new FileWindow({ file, endPosition: fileBytes, ...limits });
  }

  close(): Promise<void> {
    return this.#window.close();
  }

  /** The group at `position` if its header is intact, whatever its entries are. */
  async headerAt(position: number): Promise<GroupHeader | undefined> {
    const window = this.#window;
    if (!window.holds(position, GROUP_HEADER_BYTES)) {
      if (!(await window.load(position, GROUP_HEADER_BYTES))) return undefined;
    }
    const place = { seed: this.#file.seed, position, path: this.#file.path };
    const header = readGroupHeader(window.bytes, window.indexOf(position), place);
    return header !== undefined && this.#isPlausible(header) ? header : undefined;
  }

  /** The group at `position` if every byte that counts is intact. */
  async groupAt(position: number): Promise<ScannedGroup | undefined> {
    const header = await this.headerAt(position);
    if (header === undefined) return undefined;
    if (!this.#window.holds(position, header.lengthBytes)) {
      if (!(await this.#window.load(position, header.lengthBytes))) return undefined;
    }
    if (!this.#areEntriesIntact(header)) return undefined;
    const endAddress = walAddressOf(this.#file.sequence, header.nextPosition);
    return { ...header, endAddress };
  }

  /** Hands the entries of the group that `groupAt` found last to `visit`, in order. */
  visitEntries(group: GroupHeader, visit: (entry: WalEntry) => void): void {
    const { bytes } = this.#window;
    const fields = this.#fields;
    const start = this.#window.indexOf(group.position);
    let at = start + GROUP_HEADER_BYTES;
    for (let left = group.entryCount; left > 0; left -= 1) {
      readEntryFields(bytes, at, fields);
      const payloadStart = at + ENTRY_HEADER_BYTES;
      const payloadEnd = payloadStart + fields.payloadBytes;
      const topicId = this.#topicIds.idAt(bytes, fields.topicIdStart);
      visit({
        address: walAddressOf(this.#file.sequence, group.position + payloadStart - start),
        kind: fields.kind === EntryKind.metadata ? "metadata" : "batch",
        version: fields.version,
        topicId: topicId.text,
        topicIdBytes: topicId.bytes,
        partition: fields.partition,
        baseOffset: fields.baseOffset,
        leaderEpoch: fields.leaderEpoch,
        payload: bytes.subarray(payloadStart, payloadEnd),
      });
      at = payloadEnd;
    }
  }

  /** The first intact group header from `position` on, block by block. */
  async nextHeaderFrom(position: number): Promise<GroupHeader | undefined> {
    for (let at = blockEndOf(position); at < this.#file.fileBytes; at += BLOCK_BYTES) {
      const header = await this.headerAt(at);
      if (header !== undefined) return header;
    }
    return undefined;
  }

  /** Where the intact entries end that a group at `position` has, even if its header is damaged. */
  async intactEntriesEnd(position: number): Promise<number> {
    const window = this.#window;
    const { seed, path } = this.#file;
    let end = position + GROUP_HEADER_BYTES;
    while (await window.load(end, ENTRY_HEADER_BYTES)) {
      readEntryFields(window.bytes, window.indexOf(end), this.#fields);
      const entryBytes = ENTRY_HEADER_BYTES + this.#fields.payloadBytes;
      if (!(await window.load(end, entryBytes))) break;
      const at = window.indexOf(end);
      const place = { seed, position: end, path, limit: at + entryBytes };
      if (checkedEntryEnd(window.bytes, at, place) === undefined) break;
      end += entryBytes;
    }
    return end;
  }

  #isPlausible(header: GroupHeader): boolean {
    const end = header.position + header.lengthBytes;
    const isLengthKnown = header.lengthBytes >= GROUP_HEADER_BYTES;
    return (
      isLengthKnown && end <= header.nextPosition && header.nextPosition <= this.#file.fileBytes
    );
  }

  #areEntriesIntact(header: GroupHeader): boolean {
    const { bytes } = this.#window;
    const { seed, path } = this.#file;
    const start = this.#window.indexOf(header.position);
    const limit = start + header.lengthBytes;
    let at = start + GROUP_HEADER_BYTES;
    let count = 0;
    let entriesCrc = 0;
    while (at < limit) {
      const position = header.position + at - start;
      const end = checkedEntryEnd(bytes, at, { seed, position, path, limit });
      if (end === undefined) return false;
      entriesCrc = nextEntriesCrc(bytes, at, entriesCrc);
      at = end;
      count += 1;
    }
    return count === header.entryCount && entriesCrc === header.entriesCrc;
  }
}

interface TopicId {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** Topic ids, decoded once each: a WAL names few of them very often. */
class TopicIds {
  readonly #ids = new Map<number, TopicId>();

  idAt(bytes: Uint8Array, start: number): TopicId {
    // Ids are random: six bytes of one tell it from almost any other.
    const key = readUint32At(bytes, start) * 0x10000 + (readUint32At(bytes, start + 4) >>> 16);
    const known = this.#ids.get(key);
    if (known !== undefined && isEqualAt(bytes, start, known.bytes)) return known;
    const id = { bytes: bytes.slice(start, start + UUID_BYTES), text: uuidOf(bytes, start) };
    this.#ids.set(key, id);
    return id;
  }
}

function isEqualAt(bytes: Uint8Array, start: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index += 1) {
    if (bytes[start + index] !== expected[index]) return false;
  }
  return true;
}

/** Whether `batchOfLegacyPayload` must be applied to the payload of an entry. */
export function isLegacyEntry(entry: WalEntry): boolean {
  return entry.kind === "batch" && entry.version === ENTRY_VERSION_LEGACY;
}
