/** How a setting is written as a flag, a TOML key and a variable; all follow from its name in code. */

import { type SettingName, settingOf } from "./settings.ts";

/** `wal-file-bytes`, for flags. */
export function kebabOf(name: SettingName): string {
  const spelling = settingOf(name).spelling;
  return spelling ?? name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `wal_file_bytes`, for TOML keys and log fields. */
export function snakeOf(name: SettingName): string {
  return kebabOf(name).replaceAll("-", "_");
}

/** `CHRONIK_WAL_FILE_BYTES`. */
export function variableOf(name: SettingName): string {
  return `CHRONIK_${snakeOf(name).toUpperCase()}`;
}
