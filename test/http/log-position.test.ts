/** Places in a log as people write them. */
import { expect, test } from "bun:test";
import { logPositionOf } from "../../src/http/log-position.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";

const NOW_MS = Date.UTC(2026, 0, 31, 12);

test.each([
  ["beginning", { kind: "beginning" }],
  ["earliest", { kind: "beginning" }],
  ["end", { kind: "end" }],
  ["latest", { kind: "end" }],
  ["0", { kind: "offset", offset: 0 }],
  ["99999999999", { kind: "offset", offset: 99999999999 }],
  ["100000000000", { kind: "time", timestampMs: 100000000000 }],
  ["-5", { kind: "beforeEnd", offsetCount: 5 }],
  ["-15m", { kind: "time", timestampMs: NOW_MS - 15 * 60_000 }],
  ["-1M", { kind: "time", timestampMs: Date.UTC(2025, 11, 31, 12) }],
  ["now/d", { kind: "time", timestampMs: Date.UTC(2026, 0, 31) }],
  ["2026-01-05", { kind: "time", timestampMs: Date.UTC(2026, 0, 5) }],
  ["2026-01-05T10:30+01:00", { kind: "time", timestampMs: Date.UTC(2026, 0, 5, 9, 30) }],
] as const)("logPositionOf: %s", (text, position) => {
  expect(logPositionOf(text, NOW_MS)).toEqual(position);
});

test.each(["", "yesterday", "1.5", "-", "1e3", "0x10", "-5x", "2026-13-01", "9".repeat(17)])(
  "logPositionOf: %j is refused",
  (text) => {
    expect(() => logPositionOf(text, NOW_MS)).toThrow(SearchError);
  },
);
