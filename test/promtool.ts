/**
 * Prometheus' promtool, which judges `/metrics`: the machine's own, or else the one in the Debian package
 * `prometheus`, unpacked (not installed) into the ignored `.cache`.
 *
 *   bun test/promtool.ts     fetches it where it is missing; says so where it cannot
 */

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { $, which } from "bun";

const FOLDER = join(import.meta.dir, "../.cache/promtool");
const UNPACKED = join(FOLDER, "usr/bin/promtool");

/** Its path; null where it is neither installed nor unpacked. */
export function promtoolPath(): string | null {
  return which("promtool") ?? (existsSync(UNPACKED) ? UNPACKED : null);
}

async function unpackPromtool(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const download = () => $`apt-get download prometheus`.cwd(FOLDER).quiet().nothrow();
  if ((await download()).exitCode !== 0) {
    await $`apt-get update`.quiet().nothrow(); // A new machine has no list of packages yet.
    await download();
  }
  const packageFile = readdirSync(FOLDER).find((name) => name.endsWith(".deb"));
  if (packageFile !== undefined) await $`dpkg-deb -x ${packageFile} .`.cwd(FOLDER).quiet();
}

if (import.meta.main) {
  if (promtoolPath() === null && which("apt-get") !== null) await unpackPromtool();
  const path = promtoolPath();
  process.stdout.write(path === null ? "promtool is missing\n" : `promtool: ${path}\n`);
}
