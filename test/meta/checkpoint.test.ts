/** The metadata checkpoint: whole, cut, damaged, half written, and taken while commands go on. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import {
  type CheckpointedState,
  readCheckpoint,
  writeCheckpoint,
} from "../../src/meta/checkpoint.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import { MetaRecoveryError } from "../../src/meta/meta-command.ts";
import { MemoryLog } from "./memory-log.ts";
import { randomCommand, viewOf } from "./random-commands.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 30 }, (_, index) => index);
const directory = mkdtempSync(join(tmpdir(), "chronik-checkpoint-"));
afterAll(() => rmSync(directory, { recursive: true }));

let fileCount = 0;
function newPath(): string {
  fileCount += 1;
  return join(directory, `meta-${fileCount}.checkpoint`);
}

async function filledStore(seed: number, commandCount: number) {
  const random = seededRandom(seed);
  const log = new MemoryLog();
  const store = new LocalMetaStore();
  store.attach(log);
  for (let count = 0; count < commandCount; count += 1) {
    await store.commit(randomCommand(store, random));
  }
  return { store, log, random };
}

async function readStore(path: string): Promise<LocalMetaStore> {
  const store = new LocalMetaStore();
  await readCheckpoint(systemDisk, path, store);
  return store;
}

test("checkpoint: what was written is read again", async () => {
  for (const seed of seeds) {
    const { store } = await filledStore(seed, 60);
    const path = newPath();
    await writeCheckpoint(systemDisk, path, store);
    const read = await readStore(path);
    expect(viewOf(read), `SEED=${seed}`).toEqual(viewOf(store));
    expect(read.appliedEnd).toBe(store.appliedEnd);
  }
});

test("checkpoint: an empty state, and no file at all", async () => {
  const path = newPath();
  expect(viewOf(await readStore(path))).toEqual(viewOf(new LocalMetaStore()));
  await writeCheckpoint(systemDisk, path, new LocalMetaStore());
  expect(viewOf(await readStore(path))).toEqual(viewOf(new LocalMetaStore()));
});

test("checkpoint: commands that go on while it is written are applied again from the log", async () => {
  for (const seed of seeds) {
    const { store, log, random } = await filledStore(seed, 120);
    const path = newPath();
    const restless: CheckpointedState = {
      appliedEnd: store.appliedEnd,
      restore: () => {},
      *commands() {
        for (const command of store.commands()) {
          yield command;
          if (random() < 0.3) void store.commit(randomCommand(store, random)).catch(() => {});
        }
      },
    };
    await writeCheckpoint(systemDisk, path, restless);
    await store.commit(randomCommand(store, random));
    const recovered = await readStore(path);
    for (const { address, payload } of log.entries) recovered.recover(address, payload);
    expect(viewOf(recovered), `SEED=${seed}`).toEqual(viewOf(store));
  }
});

test("checkpoint: one that is cut at any byte, or has any byte changed, stops the start", async () => {
  const { store } = await filledStore(1, 25);
  const path = newPath();
  await writeCheckpoint(systemDisk, path, store);
  const whole = new Uint8Array(await Bun.file(path).arrayBuffer());
  const damaged = newPath();
  const step = Math.ceil(whole.length / 400);
  for (let position = 0; position < whole.length; position += position < 64 ? 1 : step) {
    await Bun.write(damaged, whole.subarray(0, position));
    await expect(readStore(damaged), `cut at ${position}`).rejects.toThrow(MetaRecoveryError);
    const changed = whole.slice();
    changed[position] = (whole[position] ?? 0) ^ (1 << (position % 8));
    await Bun.write(damaged, changed);
    await expect(readStore(damaged), `changed at ${position}`).rejects.toThrow(MetaRecoveryError);
  }
  await Bun.write(damaged, new Uint8Array([...whole, 0]));
  await expect(readStore(damaged)).rejects.toThrow("its end is not where it should be");
});

test("checkpoint: one of a newer version is refused with its reason", async () => {
  const path = newPath();
  await writeCheckpoint(systemDisk, path, new LocalMetaStore());
  const bytes = new Uint8Array(await Bun.file(path).arrayBuffer());
  bytes[11] = 2;
  await Bun.write(path, bytes);
  await expect(readStore(path)).rejects.toThrow("a newer version");
});

test("checkpoint: a half-written one leaves the old one in place", async () => {
  const { store, random } = await filledStore(3, 20);
  const path = newPath();
  await writeCheckpoint(systemDisk, path, store);
  const before = viewOf(store);
  await store.commit(randomCommand(store, random));
  const failing: CheckpointedState = {
    appliedEnd: store.appliedEnd,
    restore: () => {},
    commands: () => {
      throw new Error("The machine stops here.");
    },
  };
  await expect(writeCheckpoint(systemDisk, path, failing)).rejects.toThrow("stops here");
  expect(viewOf(await readStore(path))).toEqual(before);
});

test("attach: a log that ends before the checkpoint is not the checkpoint's", async () => {
  const { store } = await filledStore(4, 20);
  const path = newPath();
  await writeCheckpoint(systemDisk, path, store);
  const read = await readStore(path);
  expect(() => read.attach(new MemoryLog())).toThrow(MetaRecoveryError);
});
