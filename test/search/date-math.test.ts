/** Date math against points in time worked out by hand. */

import { expect, test } from "bun:test";
import { dateMsOf } from "../../src/search/date-math.ts";

const NOW_MS = Date.UTC(2026, 2, 31, 12, 34, 56, 789); // A Tuesday.

test.each([
  ["2026-01-02", "2026-01-02T00:00:00.000Z", "2026-01-02T23:59:59.999Z"],
  ["2026-02", "2026-02-01T00:00:00.000Z", "2026-02-28T23:59:59.999Z"],
  ["2026", "2026-01-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"],
  ["2026-01-02T03:04", "2026-01-02T03:04:00.000Z", "2026-01-02T03:04:59.999Z"],
  ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"],
  ["2026-01-02T03:04:05.5+02:30", "2026-01-02T00:34:05.500Z", "2026-01-02T00:34:05.500Z"],
  ["now", "2026-03-31T12:34:56.789Z", "2026-03-31T12:34:56.789Z"],
  ["now-15m", "2026-03-31T12:19:56.789Z", "2026-03-31T12:19:56.789Z"],
  ["now/d", "2026-03-31T00:00:00.000Z", "2026-03-31T23:59:59.999Z"],
  ["now-1h/H", "2026-03-31T11:00:00.000Z", "2026-03-31T11:59:59.999Z"],
  ["now/w", "2026-03-30T00:00:00.000Z", "2026-04-05T23:59:59.999Z"],
  ["now-1M", "2026-02-28T12:34:56.789Z", "2026-02-28T12:34:56.789Z"],
  ["now+y/y", "2027-01-01T00:00:00.000Z", "2027-12-31T23:59:59.999Z"],
  ["2026-01-31||+1M/d", "2026-02-28T00:00:00.000Z", "2026-02-28T23:59:59.999Z"],
  ["1767225600000", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"],
])("date math: %s", (text, down, up) => {
  const dateOf = (roundsUp: boolean) =>
    new Date(dateMsOf(text, { nowMs: NOW_MS, roundsUp })).toISOString();
  expect([dateOf(false), dateOf(true)]).toEqual([down, up]);
});

test.each([
  "",
  "today",
  "now-",
  "now-5x",
  "now 5",
  "2026-13-01",
  "2026-02-30",
  "25:00",
  "2026||",
  null,
])("date math: %p is no date", (value) => {
  const isEmptyMath = value === "2026||";
  const parse = () => dateMsOf(value, { nowMs: NOW_MS, roundsUp: false });
  if (isEmptyMath) expect(parse()).toBe(Date.UTC(2026, 0, 1));
  else expect(parse).toThrow("failed to parse date field");
});
