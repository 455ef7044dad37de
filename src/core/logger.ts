/** One log line per event: time, level, event name, fields with units. `error` means a person must act. */

import { systemClock } from "./clock.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Values of a log line; names carry their unit (`elapsedMs`, `sizeBytes`). */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Where events are told. Never call it inside a loop over records. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** A logger that hands every line at or above `levelMin`, newline included, to `writeLine`. */
export function createLogger(levelMin: LogLevel, writeLine: (line: string) => void): Logger {
  const log = (level: LogLevel, event: string, fields: LogFields = {}): void => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(levelMin)) return;
    writeLine(formatLine(level, event, fields));
  };
  return {
    debug: (event, fields) => log("debug", event, fields),
    info: (event, fields) => log("info", event, fields),
    warn: (event, fields) => log("warn", event, fields),
    error: (event, fields) => log("error", event, fields),
  };
}

/** Says nothing; for tests that assert on behaviour alone. */
export const silentLogger: Logger = createLogger("error", () => {});

function formatLine(level: LogLevel, event: string, fields: LogFields): string {
  const time = new Date(systemClock.nowMs()).toISOString();
  let line = `${time} ${level.toUpperCase()} ${event}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = String(value);
    line += ` ${name}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`;
  }
  return `${line}\n`;
}
