/** Records of a topic from a point on: order, paging while records are added, bounds, what cannot be read. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { MemorySource, readsIn, type TestRecord } from "./memory-source.ts";

interface ShownRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly value: string | null;
}

interface Page {
  readonly records: readonly ShownRecord[];
  readonly cursor: string;
  readonly at_end: boolean;
  readonly skipped?: readonly object[];
}

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;

function topicOf(...partitions: readonly (readonly number[])[]): MemorySource {
  const source = new MemorySource();
  source.addTopic("t", partitions.length);
  partitions.forEach((timestamps, partition) => {
    for (const timestampMs of timestamps) source.append("t", partition, [{ timestampMs }]);
  });
  return source;
}

async function page(source: MemorySource, parameters = "", heldBytesMax?: number): Promise<Page> {
  const { body } = await readsIn(source, heldBytesMax).records("t", parameters);
  return JSON.parse(Buffer.from(body).toString());
}

async function places(source: MemorySource, parameters = ""): Promise<string> {
  const { records } = await page(source, parameters);
  return records.map(({ partition, offset }) => `${partition}/${offset}`).join(" ");
}

/** The rule, said in another way: of the next records, always the one with the smallest timestamp. */
function merged(partitions: readonly (readonly TestRecord[])[]): string[] {
  const next = partitions.map(() => 0);
  const sequence: string[] = [];
  for (;;) {
    let best = -1;
    partitions.forEach((records, partition) => {
      const time = records[next[partition] ?? 0]?.timestampMs;
      const bestTime = partitions[best]?.[next[best] ?? 0]?.timestampMs;
      if (time !== undefined && (bestTime === undefined || time < bestTime)) best = partition;
    });
    if (best < 0) return sequence;
    sequence.push(`${best}/${next[best]}`);
    next[best] = (next[best] ?? 0) + 1;
  }
}

test("records: by timestamp over partitions; out of order records follow their predecessor", async () => {
  const source = topicOf([10, 30, 20, 40], [15, 30, 35]);
  expect(await places(source)).toBe("0/0 1/0 0/1 0/2 1/1 1/2 0/3");
});

test("records: from and to mean the time that a partition has reached", async () => {
  const source = topicOf([10, 30, 20, 40], [15, 30, 35]);
  expect(await places(source, "from=100000000000")).toBe("");
  const base = 200_000_000_000;
  const late = topicOf([base + 10, base + 30, base + 20, base + 40], [base + 15, base + 35]);
  expect(await places(late, `from=${base + 20}`)).toBe("0/1 0/2 1/1 0/3");
  expect(await places(late, `from=${base + 20}&to=${base + 35}`)).toBe("0/1 0/2");
  expect(await places(late, `to=${base + 20}`)).toBe("0/0 1/0");
  // Stretches that follow each other share no record and lose none.
  const cuts = [0, 10, 12, 20, 31, 40, 99].map((ms) => base + ms);
  const stretches: string[] = [];
  for (const [index, start] of cuts.slice(0, -1).entries()) {
    stretches.push(await places(late, `from=${start}&to=${cuts[index + 1]}`));
  }
  expect(stretches.join(" ").split(" ").filter(Boolean).sort()).toEqual(
    (await places(late)).split(" ").sort(),
  );
});

test("records: from and to as offsets and places, some partitions", async () => {
  const source = topicOf([1, 2, 3, 4], [1, 2, 3], [5]);
  expect(await places(source, "from=2")).toBe("0/2 1/2 0/3");
  expect(await places(source, "from=1&to=3&partition=0")).toBe("0/1 0/2");
  expect(await places(source, "from=-1")).toBe("1/2 0/3 2/0");
  expect(await places(source, "to=beginning")).toBe("");
  expect(await places(source, "from=end")).toBe("");
  expect(await places(source, "partition=2,1&limit=2")).toBe("1/0 1/1");
});

test("records: a cursor goes on with what was added since, and says where the end is", async () => {
  const source = topicOf([1, 2], [1]);
  const first = await page(source, "limit=2");
  expect(first).toMatchObject({ at_end: false, records: [{ partition: 0 }, { partition: 1 }] });
  source.append("t", 1, [{ timestampMs: 0 }]); // Older than what was shown: still shown once.
  const second = await page(source, `cursor=${first.cursor}`);
  expect(second.at_end).toBe(true);
  expect(second.records.map(({ partition, offset }) => [partition, offset])).toEqual([
    [1, 1],
    [0, 1],
  ]);
  expect((await page(source, `cursor=${second.cursor}`)).records).toEqual([]);
  source.append("t", 0, [{ timestampMs: 9 }]);
  expect(await places(source, `cursor=${second.cursor}`)).toBe("0/2");
});

test("records: what is deleted is not shown, nor waited for", async () => {
  const source = topicOf([1, 2, 3], [1, 2]);
  const { cursor } = await page(source, "limit=1");
  source.deleteRecords("t", 0, 2);
  expect(await places(source)).toBe("1/0 1/1 0/2");
  expect(await places(source, `cursor=${cursor}`)).toBe("1/0 1/1 0/2");
});

test("records: append time counts for all records of a batch; control batches are passed over", async () => {
  const source = new MemorySource();
  source.addTopic("t", 2);
  const appended = { timestampType: "LogAppendTime", maxTimestampMs: 50 } as const;
  source.append("t", 0, [{ timestampMs: 1 }, { timestampMs: 2 }], appended);
  source.append("t", 0, [{ timestampMs: 60, key: "marker" }], { isControl: true });
  source.append("t", 0, [{ timestampMs: 70 }]);
  source.append("t", 1, [{ timestampMs: 40 }]);
  const { records } = await page(source);
  expect(records.map(({ timestamp }) => timestamp)).toEqual([40, 50, 50, 70]);
});

test("records: a batch that cannot be opened is told, and the rest shown", async () => {
  const source = topicOf([1]);
  const before = await places(source);
  expect(before).toBe("0/0");
  const records = [{ timestampMs: 2, value: "x".repeat(100) }, { timestampMs: 2 }];
  source.append("t", 0, records, { compression: "gzip" });
  const broken = new MemorySource();
  broken.addTopic("t", 1);
  broken.append("t", 0, [{ timestampMs: 1 }]);
  const stored = await source.readBatches(
    { topicId: source.topic("t")?.topicId ?? "", partition: 0 },
    { offset: 1, endOffset: 3, maxBytes: 1 },
  );
  const batch = stored[0]?.slice() ?? new Uint8Array(0);
  batch.fill(0x55, 70);
  broken.appendBytes("t", 0, batch);
  broken.append("t", 0, [{ timestampMs: 3 }]);
  const shown = await page(broken);
  expect(shown.records.map(({ offset }) => offset)).toEqual([0, 3]);
  expect(shown.skipped).toEqual([
    { partition: 0, first_offset: 1, last_offset: 2, reason: "The records are not valid gzip." },
  ]);
});

test("records: a page ends before it is too long, but never without a record", async () => {
  const source = new MemorySource();
  source.addTopic("t", 1);
  for (let index = 0; index < 5; index += 1) {
    source.append("t", 0, [{ timestampMs: index, value: "x".repeat(60_000) }]);
  }
  source.append("t", 0, [{ timestampMs: 9, value: "x".repeat(200_000) }]);
  source.append("t", 0, [{ timestampMs: 10, key: "big", value: "x".repeat(5_000_000) }]);
  const counts: number[] = [];
  let cursor = "";
  for (let isAtEnd = false; !isAtEnd; ) {
    const shown = await page(source, cursor);
    counts.push(shown.records.length);
    cursor = `cursor=${shown.cursor}`;
    isAtEnd = shown.at_end;
    const last = shown.records.at(-1);
    if (last?.offset === 6) {
      expect(last).toEqual({
        ...{ topic: "t", partition: 0, offset: 6, timestamp: 10, key: null, key_base64: "Ymln" },
        ...{ value: null, headers: [], omitted_bytes: expect.any(Number) },
      } as unknown as ShownRecord);
    }
  }
  expect(counts).toEqual([1, 1, 1, 1, 1, 1, 1]);
});

const recordBatches = fc.array(
  fc.record({
    timestamps: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 4 }),
    codec: fc.constantFrom(...CODECS),
  }),
  { maxLength: 6 },
);

test("records: pages of any size, with little memory, are the whole sequence", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(recordBatches, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 7 }),
      fc.constantFrom(1, 300, 2 ** 20),
      async (partitions, limit, heldBytesMax) => {
        const source = new MemorySource();
        source.addTopic("t", partitions.length);
        partitions.forEach((batches, partition) => {
          for (const { timestamps, codec: compression } of batches) {
            const records = timestamps.map((timestampMs) => ({ timestampMs, value: "v" }));
            source.append("t", partition, records, { compression });
          }
        });
        const shown: string[] = [];
        let parameters = `limit=${limit}`;
        for (let isAtEnd = false; !isAtEnd; ) {
          const got = await page(source, parameters, heldBytesMax);
          expect(got.records.length === limit || got.at_end).toBe(true);
          shown.push(...got.records.map(({ partition, offset }) => `${partition}/${offset}`));
          parameters = `limit=${limit}&cursor=${got.cursor}`;
          isAtEnd = got.at_end;
        }
        const model = partitions.map((batches) =>
          batches.flatMap(({ timestamps }) => timestamps.map((timestampMs) => ({ timestampMs }))),
        );
        expect(shown).toEqual(merged(model));
      },
    ),
    { numRuns: 200 },
  );
});

test("records: each record is shown once, in offset order, while others are added", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(3), fc.nat(20), fc.boolean()), { maxLength: 60 }),
      async (steps) => {
        const source = topicOf([], [], [], []);
        const shown: number[][] = [[], [], [], []];
        let parameters = "limit=3";
        const next = async (): Promise<boolean> => {
          const got = await page(source, parameters);
          for (const { partition, offset } of got.records) shown[partition]?.push(offset);
          parameters = `limit=3&cursor=${got.cursor}`;
          return got.at_end;
        };
        const added = [0, 0, 0, 0];
        for (const [partition, timestampMs, isRead] of steps) {
          source.append("t", partition, [{ timestampMs }]);
          added[partition] = (added[partition] ?? 0) + 1;
          if (isRead) await next();
        }
        while (!(await next()));
        const expected = added.map((count) => Array.from({ length: count }, (_, index) => index));
        expect(shown).toEqual(expected);
      },
    ),
    { numRuns: 100 },
  );
});

test.each([
  ["limit=0", "[limit] must be from 1 to 10000"],
  ["limit=10001", "[limit] must be from 1 to 10000"],
  ["from=noon", "failed to parse date field [noon]"],
  ["partition=0,x", "[partition] takes numbers, as in 0,2"],
  ["partition=7", "topic [t] has no partition [7]"],
  ["form=1", "request contains unrecognized parameter: [form]"],
  ["from=1&from=2", "parameter [from] is given twice"],
  ["cursor=%20", "[cursor] is none that this path has given"],
  ["cursor=AQ", "[cursor] is none that this path has given"],
])("records: %s is refused", async (parameters, reason) => {
  await expect(readsIn(topicOf([1])).records("t", parameters)).rejects.toThrow(new Error(reason));
});

test("records: unknown topics, foreign cursors and too many partitions are refused", async () => {
  const source = topicOf([1]);
  const reads = readsIn(source);
  await expect(reads.records("u", "")).rejects.toThrow("no such topic [u]");
  const { cursor } = await page(source);
  const table = Buffer.from((await reads.table("t", "")).body).toString();
  expect(JSON.parse(table)).toMatchObject({ records: [], cursor: null, at_end: true });
  await expect(reads.table("t", `cursor=${cursor}`)).rejects.toThrow("[cursor] is none");
  source.deleteTopic("t");
  source.addTopic("t", 1_001);
  await expect(reads.records("t", `cursor=${cursor}`)).rejects.toThrow(
    "[cursor] is of another topic",
  );
  await expect(reads.records("t", "")).rejects.toThrow("more than 1000 partitions");
  expect((await page(source, "partition=1000")).records).toEqual([]);
});

test("records: a cursor that is cut anywhere is refused or harmless", async () => {
  const source = topicOf([1, 2], [3], [4]);
  const { cursor } = await page(source);
  for (let length = 1; length < cursor.length; length += 1) {
    try {
      await page(source, `cursor=${cursor.slice(0, length)}`);
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(SearchError);
    }
  }
});
