/** Sizes and durations as people write them: `256M`, `10G`, `500ms`, `30s`, `7d`. */

/** A unit that a setting's plain number is counted in; the setting's name ends with it. */
export type TimeUnit = "ms" | "secs" | "minutes";

const BYTES_OF_UNIT: Readonly<Record<string, number>> = {
  "": 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const MS_OF_TIME_UNIT: Readonly<Record<TimeUnit, number>> = { ms: 1, secs: 1000, minutes: 60_000 };

/** Bytes of `text`: a whole number, optionally with K, M, G or T (powers of 1024; `KB`, `KiB` too). */
export function bytesOf(text: string): number | undefined {
  const match = /^(\d+)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (BYTES_OF_UNIT[(match[2] ?? "").toLowerCase()] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact way to write `bytes`, readable by `bytesOf`. */
export function formatBytes(bytes: number): string {
  for (const unit of ["t", "g", "m", "k"]) {
    const unitBytes = BYTES_OF_UNIT[unit] ?? 1;
    if (bytes >= unitBytes && bytes % unitBytes === 0) {
      return `${bytes / unitBytes}${unit.toUpperCase()}`;
    }
  }
  return String(bytes);
}

/** `text` in `unit`: a whole number of it, or one with ms, s, m, h or d that is a multiple of it. */
export function durationOf(text: string, unit: TimeUnit): number | undefined {
  const match = /^(\d+)\s*(ms|s|m|h|d)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const written = match[2]?.toLowerCase();
  const ms =
    Number(match[1]) * (written === undefined ? MS_OF_TIME_UNIT[unit] : (MS_OF_UNIT[written] ?? 1));
  const duration = ms / MS_OF_TIME_UNIT[unit];
  return Number.isSafeInteger(duration) ? duration : undefined;
}
