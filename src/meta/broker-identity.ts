/**
 * `chronik.json` in the data directory: which broker of which cluster it belongs to, in which format
 * it is, and how it was left. The leader epoch rises at each start after an unclean stop, so that
 * clients notice that the end of a log may have changed.
 */

import type { Disk } from "../core/disk.ts";
import { readWholeFile, replaceFile } from "../core/disk.ts";
import { randomUuid } from "../protocol/uuid.ts";

/** The newest layout of a data directory that this program knows. */
const FORMAT_VERSION = 1;
const FILE_NAME = "chronik.json";
const BROKER_ID = 1;

export interface BrokerIdentity {
  readonly clusterId: string;
  readonly brokerId: number;
  readonly leaderEpoch: number;
}

interface IdentityFile extends BrokerIdentity {
  readonly formatVersion: number;
  readonly isStoppedCleanly: boolean;
}

/** The data directory cannot be used as it is; `message` is a sentence for the one who runs the broker. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
}

/** Reads or makes the identity, and marks the directory as in use. @throws DataDirectoryError, DiskError */
export async function openIdentity(disk: Disk, dataDir: string): Promise<BrokerIdentity> {
  const found = await readIdentity(disk, dataDir);
  const identity: BrokerIdentity =
    found === undefined
      ? { clusterId: randomUuid(), brokerId: BROKER_ID, leaderEpoch: 0 }
      : {
          clusterId: found.clusterId,
          brokerId: found.brokerId,
          leaderEpoch: found.leaderEpoch + (found.isStoppedCleanly ? 0 : 1),
        };
  await writeIdentity(disk, dataDir, { ...identity, isStoppedCleanly: false });
  return identity;
}

/** Marks the directory as left in order. Call when nothing is written any more. */
export async function closeIdentity(
  disk: Disk,
  dataDir: string,
  identity: BrokerIdentity,
): Promise<void> {
  await writeIdentity(disk, dataDir, { ...identity, isStoppedCleanly: true });
}

async function writeIdentity(
  disk: Disk,
  dataDir: string,
  content: Omit<IdentityFile, "formatVersion">,
): Promise<void> {
  const file: IdentityFile = { formatVersion: FORMAT_VERSION, ...content };
  const bytes = new TextEncoder().encode(`${JSON.stringify(file, null, 2)}\n`);
  await replaceFile(disk, pathOf(dataDir), bytes);
}

async function readIdentity(disk: Disk, dataDir: string): Promise<IdentityFile | undefined> {
  const bytes = await readWholeFile(disk, pathOf(dataDir));
  if (bytes === undefined) return undefined;
  const content = parse(bytes);
  if (typeof content?.formatVersion === "number" && content.formatVersion > FORMAT_VERSION) {
    throw new DataDirectoryError(
      `${pathOf(dataDir)} has format ${content.formatVersion}, of a newer version of this program. Use that version.`,
    );
  }
  if (!isIdentity(content)) {
    throw new DataDirectoryError(`${pathOf(dataDir)} is damaged; restore it from a backup.`);
  }
  return content;
}

function parse(bytes: Uint8Array): Partial<IdentityFile> | undefined {
  try {
    const content: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof content === "object" && content !== null ? content : undefined;
  } catch {
    return undefined; // The caller tells that the file is damaged.
  }
}

function isIdentity(content: Partial<IdentityFile> | undefined): content is IdentityFile {
  return (
    content?.formatVersion === FORMAT_VERSION &&
    typeof content.clusterId === "string" &&
    Number.isInteger(content.brokerId) &&
    Number.isInteger(content.leaderEpoch) &&
    typeof content.isStoppedCleanly === "boolean"
  );
}

function pathOf(dataDir: string): string {
  return `${dataDir}/${FILE_NAME}`;
}
