/** A large object, uploaded part by part; only its last request makes it one. */

import { bodySizeBytes, readBody } from "./object-body.ts";
import type { ObjectBody } from "./object-store.ts";
import { type S3Connection, statusOfError } from "./s3-connection.ts";

const PART_BYTES = 8 * 1024 * 1024;
/** What S3 allows. */
const PARTS_MAX = 10_000;
/** Each takes a part of memory. */
const PARTS_IN_FLIGHT = 2;

interface Place {
  readonly Bucket: string;
  readonly Key: string;
}

interface Part {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
  readonly ChecksumCRC32: string | undefined;
}

/** @returns false if the key is taken, perhaps by an earlier attempt of the last request */
export async function uploadInParts(
  connection: S3Connection,
  place: Place,
  body: ObjectBody,
): Promise<boolean> {
  const { CreateMultipartUploadCommand } = connection.sdk;
  const { UploadId } = await connection.run((client, options) =>
    client.send(
      new CreateMultipartUploadCommand({ ...place, ChecksumAlgorithm: "CRC32" }),
      options,
    ),
  );
  if (UploadId === undefined) throw new Error("the store gave a multipart upload no id");
  const upload = { ...place, UploadId };
  try {
    return await complete(connection, upload, await uploadParts(connection, upload, body));
  } catch (thrown) {
    await abort(connection, upload);
    throw thrown;
  }
}

async function uploadParts(
  connection: S3Connection,
  upload: Place & { readonly UploadId: string },
  body: ObjectBody,
): Promise<Part[]> {
  const { UploadPartCommand } = connection.sdk;
  const sizeBytes = bodySizeBytes(body);
  const partBytes = Math.max(PART_BYTES, Math.ceil(sizeBytes / PARTS_MAX));
  const parts: Part[] = [];
  let nextNumber = 1;
  let hasFailed = false;
  const uploadNext = async (): Promise<void> => {
    while (!hasFailed && (nextNumber - 1) * partBytes < sizeBytes) {
      const PartNumber = nextNumber;
      nextNumber += 1;
      const start = (PartNumber - 1) * partBytes;
      const bytes = await readBody(body, { start, end: Math.min(sizeBytes, start + partBytes) });
      const command = new UploadPartCommand({ ...upload, PartNumber, Body: bytes });
      const { ETag, ChecksumCRC32 } = await connection.run(
        (client, options) => client.send(command, options),
        {
          bytes: bytes.length * PARTS_IN_FLIGHT,
        },
      );
      parts.push({ PartNumber, ETag, ChecksumCRC32 });
    }
  };
  const lanes = Array.from({ length: PARTS_IN_FLIGHT }, () =>
    uploadNext().catch((thrown: unknown) => {
      hasFailed = true;
      throw thrown;
    }),
  );
  // All of them, so that none sends on behind an upload that was given up.
  const results = await Promise.allSettled(lanes);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return parts.sort((a, b) => a.PartNumber - b.PartNumber);
}

async function complete(
  connection: S3Connection,
  upload: Place & { readonly UploadId: string },
  Parts: Part[],
): Promise<boolean> {
  const { CompleteMultipartUploadCommand, HeadObjectCommand } = connection.sdk;
  const MultipartUpload = { Parts };
  const command = new CompleteMultipartUploadCommand({
    ...upload,
    MultipartUpload,
    IfNoneMatch: "*",
  });
  try {
    await connection.run((client, options) => client.send(command, options));
    return true;
  } catch (thrown) {
    const status = statusOfError(thrown);
    if (status === 412) {
      await abort(connection, upload);
      return false;
    }
    if (status !== 404) throw thrown;
    // No such upload: the attempt before this one may have ended it.
    const { Bucket, Key } = upload;
    await connection.run((client, options) =>
      client.send(new HeadObjectCommand({ Bucket, Key }), options),
    );
    return false;
  }
}

/** So that the parts take no room; a failure leaves them to the bucket's rules. */
async function abort(
  connection: S3Connection,
  upload: Place & { readonly UploadId: string },
): Promise<void> {
  const { AbortMultipartUploadCommand } = connection.sdk;
  await connection
    .run((client, options) => client.send(new AbortMultipartUploadCommand(upload), options))
    .catch(() => {}); // What failed before is what counts.
}
