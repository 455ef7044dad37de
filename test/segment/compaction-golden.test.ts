/** The same batches, compacted by Apache Kafka 4.3.1 (see `test/conformance/compacted-by-kafka.ts`) and by us. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { decodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { addKeys, filterBatch } from "../../src/segment/compaction-filter.ts";
import { KeyOffsetMap } from "../../src/segment/key-offset-map.ts";

interface Golden {
  readonly deleteRetentionMs: number;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

const PATH = join(import.meta.dir, "../fixtures/segment/compacted-by-kafka.json");

test("compaction: leaves what Apache Kafka leaves, batch by batch", async () => {
  const { deleteRetentionMs, ...golden }: Golden = await Bun.file(PATH).json();
  const before = golden.before.map((text) => Uint8Array.fromBase64(text));
  const after = golden.after.map((text) => Uint8Array.fromBase64(text));
  const map = new KeyOffsetMap(1000, 1024 * 1024);
  const producerOffsets = new Map<number, number>();
  for (const batch of before) {
    const { producerId, baseOffset, lastOffsetDelta } = readBatchHeader(batch, 0);
    if (producerId >= 0) producerOffsets.set(producerId, baseOffset + lastOffsetDelta);
    addKeys(map, batch, 0);
  }
  // When Kafka compacted is told by the horizon that it set.
  const horizons = after
    .map((batch) => readBatchHeader(batch, 0))
    .flatMap((header) => (header.hasDeleteHorizon ? [header.baseTimestampMs] : []));
  expect([horizons.length > 0, new Set(horizons).size]).toEqual([true, 1]);
  const nowMs = (horizons[0] ?? 0) - deleteRetentionMs;
  const endOffset = map.latestOffset + 1;
  const options = { map, endOffset, nowMs, deleteRetentionMs, producerOffsets };
  const left = before.flatMap((batch) => filterBatch(batch, options).bytes ?? []);
  expect(left.map((batch) => decodeBatch(batch))).toEqual(after.map((batch) => decodeBatch(batch)));
  // Codecs of the two differ in what they make of the same records.
  const plain = (batches: readonly Uint8Array[]) =>
    batches.filter((batch) => readBatchHeader(batch, 0).compression === "none");
  expect(plain(left)).toEqual(plain(after));
  expect(plain(left).length).toBeGreaterThanOrEqual(5);
  expect(left.some((batch) => readBatchHeader(batch, 0).recordCount === 0)).toBe(true);
});
