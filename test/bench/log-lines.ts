/**
 * Records as services log them: one JSON object per line, of an exact size, with a unique id and words of a
 * vocabulary of which some are common and most are rare (Zipf). Deterministic, so that every run sends the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Payload } from "./perf-tools.ts";

const VOCABULARY_SIZE = 20_000;
const LINE_COUNT = 20_000;
const LINE_BYTES = 1024;
const LEVELS = ["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"];
const SERVICES = ["checkout", "payment", "inventory", "gateway", "mailer"];
const SYLLABLES = "ka ro mi ten sal vu der pon ix lor ga thu be nal qui rast om fi".split(" ");

/** A word that every line contains. */
export const COMMON_WORD = "quokka";

/** The token that only the line with this number contains. */
export function uniqueWordOf(lineIndex: number): string {
  return `r${lineIndex}x`;
}

/** Line `lineIndex`: exactly `sizeBytes` bytes of ASCII. */
export function logLineOf(lineIndex: number, sizeBytes: number): string {
  const random = seeded(lineIndex + 1);
  const level = LEVELS[Math.floor(random() * LEVELS.length)];
  const service = SERVICES[Math.floor(random() * SERVICES.length)];
  const durationMs = Math.floor(random() * 5000);
  const head = `{"id":"${uniqueWordOf(lineIndex)}","level":"${level}","service":"${service}",`;
  const middle = `"duration_ms":${durationMs},"message":"${COMMON_WORD}`;
  let text = head + middle;
  while (text.length < sizeBytes) text += ` ${wordOf(rankOf(random()))}`;
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

/** Rank 0 is the most common; the chance falls with the rank. */
function rankOf(uniform: number): number {
  return Math.floor(VOCABULARY_SIZE ** uniform) - 1;
}

function wordOf(rank: number): string {
  let word = "";
  for (let rest = rank + SYLLABLES.length; rest > 0; rest = Math.floor(rest / SYLLABLES.length)) {
    word += SYLLABLES[rest % SYLLABLES.length];
  }
  return word;
}

/** A generator of numbers in [0, 1), the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
