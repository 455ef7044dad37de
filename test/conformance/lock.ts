/** A lock between processes: a file that holds its owner's process id. One that a killed process left is taken over. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";

const RETRY_MS = 200;

/** Runs `work` while no other process holds the lock file. */
export async function withLock<Result>(
  lockFile: string,
  work: () => Promise<Result>,
): Promise<Result> {
  while (!tryLock(lockFile)) await Bun.sleep(RETRY_MS);
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

function tryLock(lockFile: string): boolean {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    if (!isOwnerAlive(lockFile)) rmSync(lockFile, { force: true });
    return false;
  }
}

function isOwnerAlive(lockFile: string): boolean {
  try {
    process.kill(Number(readFileSync(lockFile, "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}
