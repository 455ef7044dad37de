/** Opens the store that a location stands for. */

import { systemClock } from "../core/clock.ts";
import type { Disk } from "../core/disk.ts";
import { FileObjectStore } from "./file-object-store.ts";
import type { ObjectStore } from "./object-store.ts";
import type { ObjectStoreLocation } from "./object-store-url.ts";
import type { S3Attempt } from "./s3-connection.ts";
import { S3ObjectStore } from "./s3-object-store.ts";

/** Asks nothing of the store yet. @param onAttempt called after every request to S3 */
export async function openObjectStore(
  location: ObjectStoreLocation,
  disk: Disk,
  onAttempt: (attempt: S3Attempt) => void,
): Promise<ObjectStore> {
  if (location.kind === "file") {
    return new FileObjectStore({ disk, directory: location.directory });
  }
  return await S3ObjectStore.open({ location, clock: systemClock, onAttempt });
}
