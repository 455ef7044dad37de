/** Records written out by hand, for tests of the shim that are to know nothing of the protocol's code. */
import { expect } from "bun:test";
import { LiveIndex, searchIndexes } from "../../src/core/native.ts";
import { RecordPack } from "../../src/core/record-pack.ts";
import type { ShimQuery } from "../../src/core/shim-query.ts";

export interface TestRecord {
  readonly key?: string | null;
  readonly value?: string | Uint8Array | null;
  readonly headers?: readonly (readonly [name: string, value: string | null])[];
  /** 1,700,000,000,000 unless given. */
  readonly timestampMs?: number;
}

const BASE_TIMESTAMP_MS = 1_700_000_000_000;

/** A live index with `records`, committed. */
export function indexOf(records: readonly TestRecord[], topic = "orders"): LiveIndex {
  const index = new LiveIndex();
  index.add(packOf(records, { topic }));
  index.commit();
  return index;
}

/** The offsets of all records that match, ascending. */
export function offsetsOf(index: LiveIndex, query: ShimQuery): number[] {
  const sort = [{ by: "offset", order: "asc" } as const];
  const result = searchIndexes([index.number], { query, size: 1000, sort });
  expect(result.total).toBe(result.hits.length);
  return result.hits.map((hit) => hit.offset);
}

/** One batch with `records`, packed. The topic's id is `id-of-<topic>`. */
export function packOf(
  records: readonly TestRecord[],
  origin: { topic?: string; partition?: number; baseOffset?: number } = {},
): Uint8Array {
  const { topic = "orders", partition = 0, baseOffset = 0 } = origin;
  const pack = new RecordPack();
  pack.add(
    {
      topicId: `id-of-${topic}`,
      topic,
      partition,
      baseOffset,
      recordCount: records.length,
      baseTimestampMs: BASE_TIMESTAMP_MS,
    },
    recordsSection(records),
  );
  return pack.bytes();
}

function recordsSection(records: readonly TestRecord[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (const [offsetDelta, record] of records.entries()) {
    const timestampMs = record.timestampMs ?? BASE_TIMESTAMP_MS;
    const headers = record.headers ?? [];
    const body = joined([
      Uint8Array.of(0),
      varint(timestampMs - BASE_TIMESTAMP_MS),
      varint(offsetDelta),
      nullable(record.key ?? null),
      nullable(record.value ?? null),
      varint(headers.length),
      ...headers.flatMap(([name, value]) => [nullable(name), nullable(value)]),
    ]);
    chunks.push(varint(body.length), body);
  }
  return joined(chunks);
}

function nullable(content: string | Uint8Array | null): Uint8Array {
  if (content === null) return varint(-1);
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return joined([varint(bytes.length), bytes]);
}

function varint(value: number): Uint8Array {
  let raw = value < 0 ? -2 * value - 1 : 2 * value;
  const bytes: number[] = [];
  while (raw >= 128) {
    bytes.push((raw % 128) + 128);
    raw = Math.floor(raw / 128);
  }
  return Uint8Array.from([...bytes, raw]);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(chunks));
}
