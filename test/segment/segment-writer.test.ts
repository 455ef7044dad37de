/** Writing a segment: a failed attempt leaves nothing, and says why it failed. */

import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { systemDisk } from "../../src/core/disk.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { SegmentLayoutBuilder } from "../../src/segment/segment-layout.ts";
import { writeSegment } from "../../src/segment/segment-writer.ts";
import { batchWith, inDirectory } from "../wal/wal-fixture.ts";

test("segment writer: what breaks off the batches is what the caller hears", () =>
  inDirectory(async (directory) => {
    const topicId = Buffer.alloc(16, 7).toString("base64url");
    const layout = new SegmentLayoutBuilder();
    layout.add(topicId, 0, readBatchHeader(batchWith(100), 0));
    const writing = writeSegment({
      disk: systemDisk,
      directory,
      head: {
        segmentId: topicId,
        level: 0,
        createdMs: 0,
        startAddress: 0,
        endAddress: 1,
        topics: [{ topicId, name: "t" }],
      },
      layout: layout.finish(),
      compression: "stored",
      // biome-ignore lint/correctness/useYield: it fails before it has anything.
      batches: (async function* (): AsyncGenerator<Uint8Array> {
        throw new Error("the WAL is gone");
      })(),
    });
    const error = await writing.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(String(error)).toContain("the WAL is gone");
    expect(await readdir(directory)).toEqual([]);
  }));
