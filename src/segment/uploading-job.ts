/** One piece of work in the object store. */

import type { Disk } from "../core/disk.ts";
import { LocalFileSource } from "./archive-source.ts";
import type { ObjectStore } from "./object-store.ts";
import { probeObjectStore } from "./object-store-probe.ts";
import type { UploadResult, UploadWork } from "./uploading-messages.ts";

/** @throws as the store does, or `DiskError` if the file can't be read */
export async function carryOutUpload(
  store: ObjectStore,
  disk: Disk,
  work: UploadWork,
): Promise<UploadResult> {
  switch (work.kind) {
    case "probe":
      return { findings: await probeObjectStore(store) };
    case "list": {
      const keys: string[] = [];
      for await (const { key } of store.list(work.prefix)) keys.push(key);
      return { keys };
    }
    case "put": {
      const source = await LocalFileSource.open(disk, work.path);
      try {
        await store.put(work.key, { source, sizeBytes: work.sizeBytes });
      } finally {
        await source.close();
      }
      return {};
    }
    case "delete":
      await store.delete(work.keys);
      return {};
  }
}
