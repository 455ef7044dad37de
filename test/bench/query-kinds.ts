/** The searches of `query-10m`: each kind makes its queries from a number, by words and values that documents have. */
import { seededRandom } from "../../src/core/clock.ts";
import {
  DURATION_MS_END,
  FIRST_TIMESTAMP_MS,
  LEVELS,
  messageWordsOf,
  SERVICES,
  WEEK_MS,
} from "./query-documents.ts";
import { oneOf } from "./words.ts";

const HOUR_MS = 3_600_000;

export interface Draw {
  readonly random: () => number;
  /** Of a document that exists. */
  readonly words: readonly string[];
}

export interface QueryKind {
  readonly name: string;
  readonly title: string;
  readonly bodyOf: (draw: Draw) => object;
}

/** What query `number` of any kind draws from: the same in every round. */
export function drawOf(number: number, documentCount: number): Draw {
  const random = seededRandom(number + 1);
  return { random, words: messageWordsOf(Math.floor(random() * documentCount)) };
}

export const QUERY_KINDS: readonly QueryKind[] = [
  {
    name: "term",
    title: "one word",
    bodyOf: ({ words }) => ({ query: { term: { msg: words[0] } } }),
  },
  {
    name: "match",
    title: "any of three words",
    bodyOf: ({ words }) => ({ query: { match: { msg: words.slice(0, 3).join(" ") } } }),
  },
  {
    name: "phrase",
    title: "phrase of two words",
    bodyOf: ({ words }) => ({ query: { match_phrase: { msg: words.slice(1, 3).join(" ") } } }),
  },
  {
    name: "range-time",
    title: "range of an hour of _timestamp",
    bodyOf: (draw) => ({ query: timeRange(draw, HOUR_MS) }),
  },
  {
    name: "range-number",
    title: "range of a number, a hundredth of its values",
    bodyOf: (draw) => ({ query: durationRange(draw, DURATION_MS_END / 100) }),
  },
  {
    name: "bool",
    title: "bool: a word, a level, not a service, rather another word",
    bodyOf: ({ random, words }) => ({
      query: {
        bool: {
          must: [{ match: { msg: words[0] } }],
          should: [{ match: { msg: words[1] } }],
          filter: [{ term: { level: oneOf(LEVELS, random) } }],
          must_not: [{ term: { svc: oneOf(SERVICES, random) } }],
        },
      },
    }),
  },
  {
    name: "query-string",
    title: "query_string: two words and a range of status",
    bodyOf: ({ words }) => ({
      query: {
        query_string: { query: `(msg:${words[0]} OR msg:${words[1]}) AND status:[400 TO 599]` },
      },
    }),
  },
  {
    name: "newest",
    title: "one word, newest first",
    bodyOf: ({ words }) => ({
      query: { match: { msg: words[0] } },
      sort: [{ _timestamp: "desc" }],
    }),
  },
  {
    name: "filter",
    title: "filters on a service, a level and six hours",
    bodyOf: (draw) => ({
      query: {
        bool: {
          filter: [
            { term: { svc: oneOf(SERVICES, draw.random) } },
            { term: { level: oneOf(LEVELS, draw.random) } },
            timeRange(draw, 6 * HOUR_MS),
          ],
        },
      },
    }),
  },
];

function timeRange({ random }: Draw, lengthMs: number): object {
  const from = FIRST_TIMESTAMP_MS + Math.floor(random() * (WEEK_MS - lengthMs));
  return { range: { _timestamp: { gte: from, lt: from + lengthMs } } };
}

function durationRange({ random }: Draw, length: number): object {
  const from = Math.floor(random() * (DURATION_MS_END - length));
  return { range: { ms: { gte: from, lt: from + length } } };
}
