/** The uploading Worker's thread: it alone hashes, encrypts and sends what goes to the object store. */

import { systemDisk } from "../core/disk.ts";
import type { ObjectStore } from "./object-store.ts";
import { openObjectStore } from "./open-object-store.ts";
import type { S3Attempt } from "./s3-connection.ts";
import { carryOutUpload } from "./uploading-job.ts";
import type { RequestCount, UploadCommand, UploadReport } from "./uploading-messages.ts";

declare const self: Worker;

let store: ObjectStore | undefined;
let requests = new Map<string, RequestCount>();

self.onmessage = (event: MessageEvent<UploadCommand>) => {
  // It never rejects.
  void report(event.data).then((message) => self.postMessage(message));
};

async function report({ location, work }: UploadCommand): Promise<UploadReport> {
  requests = new Map();
  try {
    store ??= await openObjectStore(location, systemDisk, countAttempt);
    return {
      kind: "done",
      result: await carryOutUpload(store, systemDisk, work),
      requests: [...requests.values()],
    };
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return { kind: "failed", reason, requests: [...requests.values()] };
  }
}

function countAttempt({ operation, status = 0, sentBytes }: S3Attempt): void {
  const key = `${operation} ${status}`;
  const known = requests.get(key) ?? { operation, status, count: 0, sentBytes: 0 };
  const sum = { count: known.count + 1, sentBytes: known.sentBytes + sentBytes };
  requests.set(key, { operation, status, ...sum });
}
