/**
 * Records as services log them: one JSON object per line, of an exact size, with a unique id and words of a
 * vocabulary of which some are common and most are rare (Zipf). Deterministic, so that every run sends the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import type { Payload } from "./perf-tools.ts";
import { oneOf, wordAt } from "./words.ts";

const LINE_COUNT = 20_000;
const LINE_BYTES = 1024;
const LEVELS = ["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"];
const SERVICES = ["checkout", "payment", "inventory", "gateway", "mailer"];

/** A word that every line contains. */
export const COMMON_WORD = "quokka";

/** The token that only the line with this number contains. */
export function uniqueWordOf(lineIndex: number): string {
  return `r${lineIndex}x`;
}

/** Line `lineIndex`: exactly `sizeBytes` bytes of ASCII. */
export function logLineOf(lineIndex: number, sizeBytes: number): string {
  const random = seededRandom(lineIndex + 1);
  const level = oneOf(LEVELS, random);
  const service = oneOf(SERVICES, random);
  const durationMs = Math.floor(random() * 5000);
  const head = `{"id":"${uniqueWordOf(lineIndex)}","level":"${level}","service":"${service}",`;
  const middle = `"duration_ms":${durationMs},"message":"${COMMON_WORD}`;
  let text = head + middle;
  while (text.length < sizeBytes) text += ` ${wordAt(random())}`;
  return `${text.slice(0, sizeBytes - 2)}"}`;
}

/** A file in `directory` of log lines of 1 KiB. */
export function logLinesPayload(directory: string): Payload {
  const lines = Array.from({ length: LINE_COUNT }, (_, index) => logLineOf(index, LINE_BYTES));
  const file = join(directory, "log-lines.jsonl");
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, `${lines.join("\n")}\n`);
  return { kind: "lines", recordBytes: LINE_BYTES, file };
}
