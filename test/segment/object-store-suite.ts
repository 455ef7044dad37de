/** What every object store must do. Each engine's test runs it over a store of its own. */

import { expect, test } from "bun:test";
import {
  ObjectExistsError,
  ObjectKeyError,
  ObjectMissingError,
  type ObjectStore,
} from "../../src/segment/object-store.ts";
import { noise } from "./archive-fixture.ts";
import { PatternSource } from "./pattern-source.ts";

/** Engines of the suite ask for pages of so few keys. */
export const SUITE_PAGE_KEYS = 4;
/** More than one part of a multipart upload, and no whole number of them. */
const LARGE_BYTES = 17 * 1024 * 1024 + 12_345;
/** What an engine may ask a source for at once. */
const READ_BYTES_MAX = 16 * 1024 * 1024;

/** Real servers on a busy machine take their time. */
const TEST_MS_MAX = 60_000;

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** SeaweedFS takes a directory before names that are longer. */
export type KeyOrder = "bytes" | "names";

/** Registers the tests; `open` gives an empty store each time, `close` is called after each test. */
export function objectStoreSuite(
  engine: string,
  open: () => Promise<{ readonly store: ObjectStore; readonly close: () => Promise<void> }>,
  order: KeyOrder = "bytes",
): void {
  const testStore = (behaviour: string, run: (store: ObjectStore) => Promise<void>): void => {
    const name = `${engine}: ${behaviour}`;
    const runOnce = async () => {
      const { store, close } = await open();
      try {
        await run(store);
      } finally {
        await store.close();
        await close();
      }
    };
    test(name, runOnce, TEST_MS_MAX);
  };
  testStore("an object is read by any range", rangesAreRead);
  testStore("a key is written once: the same bytes are a success, others an error", putAgain);
  testStore("what is missing is said, listed as nothing, deleted without error", missingIsSaid);
  testStore("keys are listed in order, from any of them on, over pages", keysAreListed);
  testStore("of directories whose names begin alike none is left out", (store) =>
    directoriesAreListed(store, order),
  );
  testStore("a prefix need not end at a slash", prefixesAreListed);
  testStore("deleted keys are gone, and may be written anew", deletedIsGone);
  testStore("a large body comes from a source, piece by piece", largeBodies);
  testStore("a source that ends early or fails leaves no object", badSources);
  testStore("of concurrent puts of one key exactly one wins", concurrentPuts);
  testStore("odd keys are kept as they are, impossible ones refused", oddKeys);
}

async function rangesAreRead(store: ObjectStore): Promise<void> {
  const bytes = noise(100_000, 1);
  await store.put("one/object", bytes);
  const ranges = [
    [0, 100_000],
    [0, 1],
    [99_999, 100_000],
    [12_345, 67_890],
    [99_990, 200_000],
    [0, 1_000_000],
    [100_000, 100_001],
    [500_000, 600_000],
    [7, 7],
  ] as const;
  for (const [start, end] of ranges) {
    expect(await store.readRange("one/object", start, end)).toEqual(bytes.slice(start, end));
  }
  await store.put("one/empty", new Uint8Array(0));
  expect(await store.readRange("one/empty", 0, 10)).toEqual(new Uint8Array(0));
  expect(await store.stat("one/empty")).toMatchObject({ key: "one/empty", sizeBytes: 0 });
  const stat = await store.stat("one/object");
  expect(stat).toMatchObject({ key: "one/object", sizeBytes: 100_000 });
  expect(stat?.modifiedMs).toBeGreaterThan(Date.parse("2020-01-01"));
}

async function putAgain(store: ObjectStore): Promise<void> {
  const bytes = noise(50_000, 2);
  await store.put("key", bytes);
  await store.put("key", bytes.slice());
  await store.put("key", { source: new PatternSource(bytes), sizeBytes: bytes.length });
  const changed = bytes.slice();
  changed[49_999] = (changed[49_999] ?? 0) ^ 1;
  const longer = new Uint8Array(50_001);
  longer.set(bytes);
  for (const other of [changed, longer, bytes.subarray(0, 49_999), new Uint8Array(0)]) {
    await expect(store.put("key", other)).rejects.toThrow(ObjectExistsError);
    expect(await store.readRange("key", 0, 60_000)).toEqual(bytes);
  }
  await store.put("empty", new Uint8Array(0));
  await store.put("empty", new Uint8Array(0));
  await expect(store.put("empty", bytes)).rejects.toThrow(ObjectExistsError);
}

async function missingIsSaid(store: ObjectStore): Promise<void> {
  await expect(store.readRange("none", 0, 10)).rejects.toThrow(ObjectMissingError);
  await expect(store.readRange("none", 0, 0)).rejects.toThrow(ObjectMissingError);
  expect(await store.stat("none")).toBeUndefined();
  expect(await keysOf(store, "")).toEqual([]);
  await store.delete(["none", "neither/this"]);
  await store.delete([]);
}

async function keysAreListed(store: ObjectStore): Promise<void> {
  // `many/10` comes before `many/2`; what is below a directory stands among its names.
  const keys = Array.from({ length: 3 * SUITE_PAGE_KEYS + 1 }, (_, i) => `many/${i}`);
  keys.push("a", "many0", "many/3x/below", "many/3x/more", "many/9.tar");
  keys.sort();
  for (const key of keys.toReversed()) await store.put(key, text(key));
  expect(await keysOf(store, "")).toEqual(keys);
  for (const startAfter of ["", "a", "b", "many/", "many/1", "many/10", "many/3x/below", "many0"]) {
    const rest = keys.filter((key) => key > startAfter);
    expect([startAfter, await keysOf(store, "", startAfter)]).toEqual([startAfter, rest]);
    const below = rest.filter((key) => key.startsWith("many/"));
    expect([startAfter, await keysOf(store, "many/", startAfter)]).toEqual([startAfter, below]);
  }
  for await (const { sizeBytes, key } of store.list("many/")) expect(sizeBytes).toBe(key.length);
  // Who has seen enough stops.
  for await (const { key } of store.list("")) {
    expect(key).toBe("a");
    break;
  }
}

/** The bytes `-` and `.` come before the slash. */
async function directoriesAreListed(store: ObjectStore, order: KeyOrder): Promise<void> {
  const keys = ["orders", "orders-eu", "orders.dlq", "orders0"].flatMap((directory) =>
    Array.from({ length: SUITE_PAGE_KEYS - 1 }, (_, i) => `topics/${directory}/${i}`),
  );
  keys.push("topics/orders-", "topics/orders.json");
  for (const key of keys) await store.put(key, text(key));
  const listed = await keysOf(store, "topics/");
  expect(listed.toSorted()).toEqual(keys.toSorted());
  if (order === "bytes") expect(listed).toEqual(keys.toSorted());
  expect(await keysOf(store, "topics/orders/")).toEqual(
    keys.filter((key) => key.startsWith("topics/orders/")),
  );
}

async function prefixesAreListed(store: ObjectStore): Promise<void> {
  for (const key of ["ab/c", "ab/cd/e", "abc", "b"]) await store.put(key, text(key));
  expect(await keysOf(store, "a")).toEqual(["ab/c", "ab/cd/e", "abc"]);
  expect(await keysOf(store, "ab/c")).toEqual(["ab/c", "ab/cd/e"]);
  expect(await keysOf(store, "ab/cd")).toEqual(["ab/cd/e"]);
  expect(await keysOf(store, "ab/cd/e")).toEqual(["ab/cd/e"]);
  expect(await keysOf(store, "ab/x")).toEqual([]);
  expect(await keysOf(store, "c")).toEqual([]);
}

async function deletedIsGone(store: ObjectStore): Promise<void> {
  const keys = Array.from({ length: 2 * SUITE_PAGE_KEYS + 1 }, (_, i) => `gone/${i}`);
  for (const key of [...keys, "stays"]) await store.put(key, text(key));
  await store.delete([...keys.slice(1), "gone/never"]);
  expect(await keysOf(store, "")).toEqual(["gone/0", "stays"]);
  await expect(store.readRange("gone/1", 0, 1)).rejects.toThrow(ObjectMissingError);
  expect(await store.stat("gone/1")).toBeUndefined();
  await store.put("gone/1", text("anew"));
  expect(await store.readRange("gone/1", 0, 10)).toEqual(text("anew"));
}

async function largeBodies(store: ObjectStore): Promise<void> {
  const source = new PatternSource(LARGE_BYTES);
  await store.put("large", { source, sizeBytes: LARGE_BYTES });
  expect(source.readBytesMax).toBeLessThanOrEqual(READ_BYTES_MAX);
  expect(await store.stat("large")).toMatchObject({ sizeBytes: LARGE_BYTES });
  for (let start = 0; start < LARGE_BYTES; start += 4_000_000) {
    const stored = await store.readRange("large", start, start + 4_000_000);
    const wanted = await source.readRange(start, start + 4_000_000);
    expect(Buffer.compare(stored, wanted)).toBe(0);
  }
  await store.put("large", { source, sizeBytes: LARGE_BYTES });
  const other = new PatternSource(LARGE_BYTES, { seed: 2 });
  await expect(store.put("large", { source: other, sizeBytes: LARGE_BYTES })).rejects.toThrow(
    ObjectExistsError,
  );
  await store.put("bytes", await source.readRange(0, LARGE_BYTES));
  expect(await store.stat("bytes")).toMatchObject({ sizeBytes: LARGE_BYTES });
}

async function badSources(store: ObjectStore): Promise<void> {
  for (const sizeBytes of [1_000, LARGE_BYTES]) {
    const short = { source: new PatternSource(sizeBytes - 1), sizeBytes };
    await expect(store.put("short", short)).rejects.toThrow("ends at");
    const failing = {
      name: "the failing one",
      readRange: async (start: number, end: number) => {
        if (end < sizeBytes) return new Uint8Array(end - start);
        throw new Error("the source failed");
      },
    };
    await expect(store.put("failing", { source: failing, sizeBytes })).rejects.toThrow(
      "the source failed",
    );
  }
  expect(await keysOf(store, "")).toEqual([]);
}

async function concurrentPuts(store: ObjectStore): Promise<void> {
  const bodies = Array.from({ length: 5 }, (_, i) => noise(2_000, i));
  const results = await Promise.allSettled(bodies.map((body) => store.put("contested", body)));
  const stored = await store.readRange("contested", 0, 2_001);
  bodies.forEach((body, i) => {
    const isStored = Buffer.compare(body, stored) === 0;
    const result = results[i];
    expect([i, result?.status]).toEqual([i, isStored ? "fulfilled" : "rejected"]);
    if (result?.status === "rejected") expect(result.reason).toBeInstanceOf(ObjectExistsError);
  });
  expect(results.filter((result) => result.status === "fulfilled").length).toBe(1);
  const equal = bodies[0] ?? stored;
  await Promise.all(bodies.map(() => store.put("agreed", equal)));
  expect(await store.readRange("agreed", 0, 2_001)).toEqual(equal);
}

async function oddKeys(store: ObjectStore): Promise<void> {
  const odd = [
    "A=1/B+2/c@d,e_f-g.tar.gz",
    "x".repeat(200),
    Array.from({ length: 60 }, (_, i) => `deep-${i}`).join("/"),
    "-",
    "_/a..b",
    "+/=",
  ];
  for (const key of odd) await store.put(key, text(key));
  for (const key of odd) expect(await store.readRange(key, 0, 1_024)).toEqual(text(key));
  expect(await keysOf(store, "")).toEqual(odd.toSorted());
  const impossible = ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", ".hidden"];
  impossible.push(
    "a b",
    "a\nb",
    "a\0b",
    "ä",
    "a%2Fb",
    "x".repeat(201),
    "a/".repeat(512).concat("b"),
  );
  for (const key of impossible) {
    await expect(store.put(key, text("x"))).rejects.toThrow(ObjectKeyError);
    await expect(store.readRange(key, 0, 1)).rejects.toThrow(ObjectKeyError);
    await expect(store.stat(key)).rejects.toThrow(ObjectKeyError);
    await expect(store.delete([odd[0] ?? "", key])).rejects.toThrow(ObjectKeyError);
  }
  expect(await keysOf(store, "")).toEqual(odd.toSorted());
}

async function keysOf(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const keys: string[] = [];
  const options = startAfter === undefined ? {} : { startAfter };
  for await (const { key } of store.list(prefix, options)) keys.push(key);
  return keys;
}
