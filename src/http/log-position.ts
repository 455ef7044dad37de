/**
 * Places in a log as people write them, in URLs and on the command line:
 *
 *   beginning  end         also earliest, latest
 *   4711                   an offset; a whole number from 10^11 on is a time in ms since 1970
 *   -100                   so many offsets before the end
 *   -15m  -1d              so long ago: s m h d w M y
 *   2026-01-31T10:00       a time in UTC, or with its zone; it may be cut short
 *   now/d                  date math, as in searches
 */

import { dateMsOf } from "../search/date-math.ts";
import { argumentError } from "../search/elasticsearch-error.ts";

export type LogPosition =
  | { readonly kind: "beginning" }
  | { readonly kind: "end" }
  | { readonly kind: "offset"; readonly offset: number }
  | { readonly kind: "beforeEnd"; readonly offsetCount: number }
  /** The first record in offset order at or after it. */
  | { readonly kind: "time"; readonly timestampMs: number };

/** No log has so many offsets, and no record with a clock is so old (1973). */
const TIME_MS_MIN = 1e11;
/** The last one that a date can have. */
const TIME_MS_MAX = 8.64e15;

/** @throws SearchError 400 if `text` is none of them */
export function logPositionOf(text: string, nowMs: number): LogPosition {
  const trimmed = text.trim();
  if (/^(beginning|earliest)$/.test(trimmed)) return { kind: "beginning" };
  if (/^(end|latest)$/.test(trimmed)) return { kind: "end" };
  if (/^\d+$/.test(trimmed)) {
    const number = Number(trimmed);
    if (number > TIME_MS_MAX) throw argumentError(`[${trimmed.slice(0, 40)}] is beyond all times`);
    if (number >= TIME_MS_MIN) return { kind: "time", timestampMs: number };
    return { kind: "offset", offset: number };
  }
  if (/^-\d{1,15}$/.test(trimmed)) {
    return { kind: "beforeEnd", offsetCount: Number(trimmed.slice(1)) };
  }
  const isAgo = /^-\d+[A-Za-z]/.test(trimmed);
  const timestampMs = dateMsOf(isAgo ? `now${trimmed}` : trimmed, { nowMs, roundsUp: false });
  return { kind: "time", timestampMs };
}
