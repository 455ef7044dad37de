/** Checkpoints are read for ever, whatever the version of their commands (`test/fixtures/meta/commands-v<version>`). */

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { readCheckpoint } from "../../src/meta/checkpoint.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";

const FIXTURES = resolve(import.meta.dir, "../fixtures/meta");

async function readFixture(version: number): Promise<LocalMetaStore> {
  const store = new LocalMetaStore();
  await readCheckpoint(systemDisk, `${FIXTURES}/commands-v${version}.checkpoint`, store);
  return store;
}

test.each([1, 2])("checkpoint: one with commands of version %p is read", async (version) => {
  const store = await readFixture(version);
  const [topic] = store.topics();
  expect(topic).toEqual({
    topicId: "AAAAAAAAAAAAAAAAAAAAAQ",
    name: "orders",
    partitionCount: 3,
    configs: { "retention.ms": "1000" },
    createdMs: 1_700_000_000_000,
  });
  expect(store.storedGroup("g")).toMatchObject({ generationId: 4, leaderId: "m" });
  expect(store.committedOffset("g", { topic: "orders", partition: 2 })?.offset).toBe(7);
  expect([store.nextProducerId, store.appliedEnd]).toEqual([1000, 4096]);
  const starts = version < 2 ? [] : [{ partition: 1, offset: 12 }];
  expect([...store.logStartOffsets(topic?.topicId ?? "")]).toEqual(starts);
});
