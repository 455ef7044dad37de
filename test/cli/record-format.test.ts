/** How `consume` prints records. */
import { expect, test } from "bun:test";
import { UsageError } from "../../src/cli/arguments.ts";
import { jsonFormat, type RecordFormat, recordFormatOf } from "../../src/cli/record-format.ts";
import { recordsOf } from "../../src/protocol/batch-records.ts";
import { batchOf, type CanonicalRecord, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";

const PLACE = { topic: "orders", partition: 3, offset: 42, timestampMs: 1767225600001 };

function print(format: RecordFormat, record: Partial<CanonicalRecord>): Buffer {
  const whole = { offset: 0, timestampMs: 0, key: null, value: null, headers: [], attributes: 0 };
  const bytes = encodeBatch(batchOf([{ ...whole, ...record }]));
  const cursor = recordsOf(bytes, 0, readBatchHeader(bytes, 0));
  cursor.next();
  const parts: Uint8Array[] = [];
  format(cursor, PLACE, parts);
  return Buffer.concat(parts);
}

const HEADERS = [
  { key: Buffer.from("a"), value: Buffer.from("1") },
  { key: Buffer.from("b"), value: null },
];

test("recordFormatOf: every letter and escape", () => {
  const record = { key: Buffer.from("k"), value: Buffer.from("value"), headers: HEADERS };
  const format = "%t/%p/%o %T %D [%k:%K] [%s:%S] %h 100%%\\t\\x41\\\\\\r\\0|ü\\n";
  expect(print(recordFormatOf(format), record).toString()).toBe(
    "orders/3/42 1767225600001 2026-01-01T00:00:00.001Z [k:1] [value:5] a=1,b= 100%\tA\\\r\0|ü\n",
  );
});

test("recordFormatOf: null is empty and has length -1; bytes are as they are", () => {
  expect(print(recordFormatOf("%k|%s|%K|%S|%h"), {}).toString()).toBe("||-1|-1|");
  const value = Uint8Array.of(0, 255, 10, 128);
  expect([...print(recordFormatOf("%s"), { value })]).toEqual([...value]);
});

test.each(["%", "%x", "\\q", "\\", "\\x4", "abc%"])("recordFormatOf: %j is refused", (format) => {
  expect(() => recordFormatOf(format)).toThrow(UsageError);
});

test("jsonFormat: a line as a search shows the record", () => {
  const record = { value: Uint8Array.of(255), headers: HEADERS };
  const line = print(jsonFormat, record).toString();
  expect(line).toEndWith("}\n");
  expect(JSON.parse(line)).toEqual({
    topic: "orders",
    partition: 3,
    offset: 42,
    timestamp: 1767225600001,
    key: null,
    value: "\ufffd",
    value_base64: "/w==",
    headers: [
      { key: "a", value: "1" },
      { key: "b", value: null },
    ],
  });
});
