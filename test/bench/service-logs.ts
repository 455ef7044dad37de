/**
 * Records as the services of a shop would log them, of 300 to 1,024 bytes: requests, queries, failures with a stack,
 * and jobs; nested fields, numbers, times, addresses, ids that are unique. From the index alone, so that every run
 * has the same.
 */
import { seededRandom } from "../../src/core/clock.ts";
import { oneOf, wordAt, wordsFrom } from "./words.ts";

export const SERVICE_LOG_BYTES_MIN = 300;
export const SERVICE_LOG_BYTES_MAX = 1024;

const FIRST_MS = Date.UTC(2026, 0, 1);
const SERVICES = ["checkout", "payment", "inventory", "gateway", "mailer", "search", "identity"];
const METHODS = ["GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE"];
const STATUSES = [200, 200, 200, 200, 201, 204, 301, 400, 403, 404, 409, 500, 503];
const REGIONS = ["eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1"];
const TABLES = ["orders", "order_items", "customers", "stock", "invoices", "sessions"];
const AGENTS = [
  "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Safari/605.1.15",
  "okhttp/4.12.0",
  "python-requests/2.32",
];

type Random = () => number;

/** Document `index`, one line of JSON in ASCII. */
export function serviceLogOf(index: number): string {
  const random = seededRandom(index + 1);
  const service = oneOf(SERVICES, random);
  const head = {
    timestamp: new Date(FIRST_MS + index * 7 + Math.floor(random() * 50)).toISOString(),
    service,
    host: `${service}-${Math.floor(random() * 12)}.${oneOf(REGIONS, random)}`,
    trace_id: hexOf(random, 4),
  };
  const body = bodyOf(random);
  const fixed = JSON.stringify({ ...head, ...body, message: "" });
  const room = SERVICE_LOG_BYTES_MAX - fixed.length;
  const least = Math.max(0, SERVICE_LOG_BYTES_MIN - fixed.length);
  // Short messages are more common than long ones.
  const wanted = least + Math.floor(random() ** 3 * (room - least));
  return JSON.stringify({ ...head, ...body, message: messageOf(random, wanted) });
}

function bodyOf(random: Random): object {
  const kind = random();
  if (kind < 0.5) return requestOf(random);
  if (kind < 0.75) return queryOf(random);
  if (kind < 0.85) return failureOf(random);
  return jobOf(random);
}

function requestOf(random: Random): object {
  const path = `/api/v${1 + Math.floor(random() * 3)}/${wordAt(random())}/${Math.floor(random() * 1e6)}`;
  return {
    level: "INFO",
    http: {
      method: oneOf(METHODS, random),
      path,
      status: oneOf(STATUSES, random),
      bytes: Math.floor(random() ** 4 * 200_000),
      agent: oneOf(AGENTS, random),
    },
    client: { ip: addressOf(random), user: `u${Math.floor(random() ** 2 * 50_000)}` },
    duration_ms: Math.round(random() ** 5 * 3_000_000) / 1000,
  };
}

function queryOf(random: Random): object {
  return {
    level: random() < 0.9 ? "DEBUG" : "WARN",
    db: { table: oneOf(TABLES, random), rows: Math.floor(random() ** 6 * 10_000), pool: 4 },
    cached: random() < 0.3,
    duration_ms: Math.round(random() ** 4 * 500_000) / 1000,
  };
}

function failureOf(random: Random): object {
  const frames = Array.from(
    { length: 2 + Math.floor(random() * 4) },
    () => `at ${wordAt(random())}.${wordAt(random())} (${wordAt(random())}.ts:${line(random)})`,
  );
  return {
    level: "ERROR",
    error: { type: `${oneOf(["Timeout", "Io", "State", "Type"], random)}Error`, stack: frames },
    retry: Math.floor(random() * 5),
  };
}

function jobOf(random: Random): object {
  return {
    level: "INFO",
    job: { name: wordAt(random()), attempt: 1 + Math.floor(random() * 3), id: hexOf(random, 2) },
    tags: [wordAt(random()), wordAt(random())],
    progress: Math.round(random() * 1000) / 1000,
  };
}

/** Whole words of at most `sizeBytes`, but for the last one. */
function messageOf(random: Random, sizeBytes: number): string {
  let text = wordsFrom(random, 3);
  while (text.length < sizeBytes) text += ` ${wordAt(random())}`;
  return text.slice(0, sizeBytes);
}

function line(random: Random): number {
  return 1 + Math.floor(random() * 400);
}

function addressOf(random: Random): string {
  return `10.${Math.floor(random() * 8)}.${Math.floor(random() * 256)}.${Math.floor(random() * 256)}`;
}

function hexOf(random: Random, wordCount: number): string {
  let text = "";
  for (let word = 0; word < wordCount; word += 1) {
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  }
  return text;
}
