/**
 * The documents of `query-10m` and `aggregate-10m`: small JSON log lines of about 120 bytes, from their index alone.
 * They are spread over topics in turn, so that each topic, and each segment, has documents of the whole week.
 */
import { seededRandom } from "../../src/core/clock.ts";
import { oneOf, wordsFrom } from "./words.ts";

export const DOCUMENT_COUNT = 10_000_000;
export const TOPIC_COUNT = 20;
export const LEVELS = ["info", "info", "info", "info", "info", "debug", "debug", "warn", "error"];
export const SERVICES = ["checkout", "payment", "inventory", "gateway", "mailer", "identity"];
export const FIRST_TIMESTAMP_MS = Date.UTC(2026, 0, 5);
export const WEEK_MS = 7 * 24 * 3_600_000;
/** Exclusive. */
export const DURATION_MS_END = 10_000;

const STATUSES = [200, 200, 200, 200, 200, 201, 204, 304, 400, 404, 500, 503];
const USER_COUNT = 100_000;
const WORD_COUNT = 5;

export function topicName(number: number): string {
  return `logs-${number}`;
}

export function documentOf(index: number): string {
  const random = seededRandom(index + 1);
  const level = oneOf(LEVELS, random);
  const service = oneOf(SERVICES, random);
  const status = oneOf(STATUSES, random);
  const durationMs = Math.floor(random() ** 3 * DURATION_MS_END);
  const user = Math.floor(random() ** 2 * USER_COUNT);
  const head = `{"level":"${level}","svc":"${service}","status":${status},"ms":${durationMs}`;
  return `${head},"user":"u${user}","msg":"${wordsFrom(random, WORD_COUNT)}"}`;
}

/** The words of a document's message. */
export function messageWordsOf(index: number): readonly string[] {
  const { msg } = JSON.parse(documentOf(index)) as { msg: string };
  return msg.split(" ");
}

export function timestampMsOf(index: number, documentCount: number): number {
  return FIRST_TIMESTAMP_MS + Math.floor((index / documentCount) * WEEK_MS);
}
