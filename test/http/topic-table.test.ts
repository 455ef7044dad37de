/** A topic's table: the latest record of each key as of a time, in pages, whatever the number of keys. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { MemorySource, readsIn } from "./memory-source.ts";

interface Shown {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string | null;
}

interface Page {
  readonly at: number;
  readonly records: readonly Shown[];
  readonly cursor: string | null;
  readonly at_end: boolean;
  readonly long_key_records?: number;
  readonly skipped?: readonly object[];
}

const BASE_MS = 1_700_000_000_000;

async function page(source: MemorySource, parameters = "", heldBytesMax?: number): Promise<Page> {
  const { body } = await readsIn(source, heldBytesMax).table("t", parameters);
  return JSON.parse(Buffer.from(body).toString());
}

async function allPages(source: MemorySource, parameters: string, heldBytesMax?: number) {
  const records: Shown[] = [];
  let pageCount = 0;
  for (let cursor = ""; ; ) {
    const got = await page(source, `${parameters}${cursor}`, heldBytesMax);
    pageCount += 1;
    records.push(...got.records);
    if (got.at_end) return { records, pageCount };
    cursor = `&cursor=${got.cursor}`;
  }
}

/** Each step appends one record: partition, time after `BASE_MS`, key, value. */
function tableOf(
  partitionCount: number,
  steps: readonly (readonly [number, number, string, string | null])[],
): MemorySource {
  const source = new MemorySource();
  source.addTopic("t", partitionCount);
  for (const [partition, ms, key, value] of steps) {
    source.append("t", partition, [{ timestampMs: BASE_MS + ms, key, value }]);
  }
  return source;
}

function pairs({ records }: { readonly records: readonly Shown[] }): string {
  return records.map(({ key, value }) => `${key}=${value}`).join(" ");
}

test("table: the latest value of each key, in the order of keys; tombstones remove", async () => {
  const source = tableOf(1, [
    [0, 1, "b", "1"],
    [0, 2, "a", "2"],
    [0, 3, "b", "3"],
    [0, 4, "c", "4"],
    [0, 5, "a", null],
    [0, 6, "ä", ""],
  ]);
  source.append("t", 0, [{ timestampMs: BASE_MS + 7, value: "without a key" }]);
  const got = await page(source);
  expect(got).toMatchObject({ cursor: null, at_end: true });
  expect(pairs(got)).toBe("b=3 c=4 ä=");
  expect(got.records[0]).toMatchObject({ partition: 0, offset: 2 });
});

test("table: as of a time, that time included", async () => {
  const source = tableOf(2, [
    [0, 1, "a", "1"],
    [1, 2, "b", "2"],
    [0, 5, "a", "5"],
    [0, 3, "c", "behind a record that is too late"],
    [1, 6, "b", null],
  ]);
  expect(pairs(await page(source, `at=${BASE_MS}`))).toBe("");
  expect(pairs(await page(source, `at=${BASE_MS + 1}`))).toBe("a=1");
  expect(pairs(await page(source, `at=${BASE_MS + 4}`))).toBe("a=1 b=2");
  expect(pairs(await page(source, `at=${BASE_MS + 5}`))).toBe(
    "a=5 b=2 c=behind a record that is too late",
  );
  expect(pairs(await page(source, `at=${BASE_MS + 6}`))).toBe(
    "a=5 c=behind a record that is too late",
  );
  expect((await page(source, `at=${BASE_MS + 6}`)).at).toBe(BASE_MS + 6);
  expect(pairs(await page(source, "partition=1&at=2023-11-14T22:13:20.002"))).toBe("b=2");
});

test("table: of a key in several partitions the latest record counts", async () => {
  const source = tableOf(3, [
    [0, 9, "k", "late, then overtaken in its own partition"],
    [0, 4, "k", "4"],
    [1, 7, "k", "7"],
    [2, 5, "k", null],
    [0, 5, "gone", "x"],
    [2, 8, "gone", null],
    [0, 6, "tie", "low"],
    [1, 6, "tie", "high"],
  ]);
  expect(pairs(await page(source))).toBe("k=7 tie=high");
});

test("table: one key, of any bytes", async () => {
  const source = tableOf(2, [
    [0, 1, "a b&c", "1"],
    [1, 2, "a b&c", "2"],
  ]);
  const key = Uint8Array.of(255, 0);
  source.append("t", 0, [{ timestampMs: BASE_MS, key, value: "binary" }]);
  source.append("t", 0, [{ timestampMs: BASE_MS, key: "x".repeat(2_000), value: "long" }]);
  expect(pairs(await page(source, "key=a+b%26c"))).toBe("a b&c=2");
  expect(pairs(await page(source, `key=a+b%26c&at=${BASE_MS + 1}`))).toBe("a b&c=1");
  expect((await page(source, "key_base64=%2FwA%3D")).records).toMatchObject([{ value: "binary" }]);
  expect((await page(source, "key_base64=_wA")).records).toHaveLength(1);
  expect((await page(source, `key=${"x".repeat(2_000)}`)).records).toMatchObject([
    { value: "long" },
  ]);
  expect((await page(source, "key=none")).records).toEqual([]);
  expect(await page(source)).toMatchObject({ long_key_records: 1, records: { length: 2 } });
});

test("table: later pages are of the same moment", async () => {
  const source = tableOf(2, [
    [0, 1, "a", "1"],
    [0, 2, "c", "2"],
    [1, 3, "b", "3"],
  ]);
  const first = await page(source, "limit=1");
  source.append("t", 0, [{ timestampMs: BASE_MS, key: "c", value: "new" }]);
  source.append("t", 1, [{ timestampMs: BASE_MS, key: "b", value: null }]);
  const second = await page(source, `limit=9&cursor=${first.cursor}`);
  expect(pairs(first)).toBe("a=1");
  expect(pairs(second)).toBe("b=3 c=2");
  expect(second.at).toBe(first.at);
  expect(pairs(await page(source))).toBe("a=1 c=new");
});

test("table: a value that is too large to show is told with its key", async () => {
  const source = tableOf(1, [[0, 1, "k", "x".repeat(5_000_000)]]);
  expect((await page(source)).records).toMatchObject([
    { key: null, key_base64: "aw==", value: null, omitted_bytes: expect.any(Number) },
  ] as unknown as Shown[]);
});

test("table: pages of any size, with little memory, are the whole table", async () => {
  const step = fc.tuple(
    fc.nat(2),
    fc.nat(40),
    fc.constantFrom("a", "ab", "b", "c", "d", "e", "\u00ff", ""),
    fc.option(fc.constantFrom("1", "2", "3"), { freq: 4 }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(1, 1_000, 2 ** 20),
      fc.nat(45),
      async (steps, limit, heldBytesMax, untilMs) => {
        const source = tableOf(3, steps);
        const atMs = BASE_MS + untilMs;
        const { records, pageCount } = await allPages(
          source,
          `limit=${limit}&at=${atMs}`,
          heldBytesMax,
        );
        expect(records.map(({ key, value }) => [key, value])).toEqual(modelOf(steps, untilMs));
        expect(pageCount).toBeLessThanOrEqual(10);
        for (const [key, value] of modelOf(steps, untilMs)) {
          const got = await page(source, `key=${encodeURIComponent(key)}&at=${atMs}`);
          expect(got.records.map((record) => record.value)).toEqual([value]);
        }
      },
    ),
    { numRuns: 150 },
  );
});

/** The rule, said in another way. */
function modelOf(
  steps: readonly (readonly [number, number, string, string | null])[],
  untilMs: number,
): [string, string][] {
  const best = new Map<string, readonly [ms: number, partition: number, value: string | null]>();
  for (const partition of [0, 1, 2]) {
    const own = steps.filter((step) => step[0] === partition);
    const end = own.findIndex(([, ms]) => ms > untilMs);
    const last = new Map<string, readonly [number, string | null]>();
    for (const [, ms, key, value] of end < 0 ? own : own.slice(0, end)) last.set(key, [ms, value]);
    for (const [key, [ms, value]] of last) {
      if ((best.get(key)?.[0] ?? -1) <= ms) best.set(key, [ms, partition, value]);
    }
  }
  const live = [...best].flatMap(([key, [, , value]]): [string, string][] =>
    value === null ? [] : [[key, value]],
  );
  return live.sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
}

test.each([
  ["at=5", "[at] takes a time since 1970"],
  ["at=beginning", "[at] takes a time since 1970"],
  ["key=a&key_base64=YQ", "either [key] or [key_base64]"],
  ["key_base64=%21", "[key_base64] is no base64"],
  ["key=a&cursor=AgAA", "[cursor] is"],
  ["from=1", "request contains unrecognized parameter: [from]"],
])("table: %s is refused", async (parameters, reason) => {
  await expect(page(tableOf(1, []), parameters)).rejects.toThrow(reason);
});
