/** The shim's indexes across threads, and across the death of the process that freezes one. */
import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  closeIndex,
  FrozenIndex,
  loadNative,
  openIndexNumbers,
  searchIndexes,
} from "../../src/core/native.ts";
import { packOf } from "./packed-records.ts";

interface Report {
  readonly number: number;
  readonly documentCount: number;
}

/** Sends `pack` to the Worker and waits for its report. */
function added(worker: Worker, pack: Uint8Array): Promise<Report> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Report>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(pack);
  });
}

test("live index: one thread writes, another searches; it outlives its thread", async () => {
  await loadNative();
  const worker = new Worker(new URL("./native-index-worker.ts", import.meta.url).href);
  let number = 0;
  for (let round = 1; round <= 5; round += 1) {
    const report = await added(worker, packOf([{ value: "word" }], { baseOffset: round }));
    expect(report.documentCount).toBe(round);
    number = report.number;
    const query = { kind: "match", field: "_value", text: "word" } as const;
    const { hits } = searchIndexes([number], { query, size: 10 });
    expect(hits.map((hit) => hit.offset)).toEqual(Array.from({ length: round }, (_, i) => i + 1));
  }
  worker.terminate();
  expect(openIndexNumbers()).toContain(number);
  expect(searchIndexes([number], { query: { kind: "all" }, size: 0 }).total).toBe(5);
  closeIndex(number);
});

test("freeze: a process killed at any moment leaves whole directories only", async () => {
  const directory = await mkdtemp(join(tmpdir(), "chronik-freeze-"));
  for (let round = 0; round < 3; round += 1) {
    const path = join(directory, String(round));
    const child = Bun.spawn(
      [process.execPath, join(import.meta.dir, "native-freeze-child.ts"), path],
      {
        stdout: "pipe",
      },
    );
    // Its first lines say that it is in the midst of it.
    const lines = child.stdout.getReader();
    for (let line = 0; line <= round; line += 1) await lines.read();
    child.kill("SIGKILL");
    await child.exited;
    for (const name of await readdir(path).catch(() => [])) {
      if (name.endsWith(".partial")) continue;
      using frozen = new FrozenIndex(join(path, name), { isVerified: true });
      expect(frozen.stats().documentCount).toBe(500);
    }
  }
  await rm(directory, { recursive: true });
});
