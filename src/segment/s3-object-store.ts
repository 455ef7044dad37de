/**
 * Objects in a bucket of S3, or of what speaks like it. Every write has `If-None-Match: *`. An answer that says that
 * the key is taken may follow one's own first attempt, whose answer got lost: then the object is read and compared.
 *
 * What is larger than a part goes up as a multipart upload, some parts at a time; it becomes an object with its last
 * request, or not at all. Parts of an upload that a crash cut off stay hidden in the bucket until its rules remove
 * them.
 */

import { type Clock, systemClock } from "../core/clock.ts";
import { bodySizeBytes, hasBody, readBody } from "./object-body.ts";
import {
  checkObjectKey,
  isObjectKey,
  type ObjectBody,
  ObjectExistsError,
  ObjectMissingError,
  type ObjectStat,
  type ObjectStore,
  ObjectStoreError,
} from "./object-store.ts";
import { objectStoreName, type S3Location } from "./object-store-url.ts";
import {
  BrokenAnswerError,
  S3Connection,
  type S3ConnectionOptions,
  statusOfError,
} from "./s3-connection.ts";
import { uploadInParts } from "./s3-multipart.ts";

export interface S3ObjectStoreOptions extends Omit<S3ConnectionOptions, "clock"> {
  readonly clock?: Clock;
  /** Keys in one answer of a listing, and in one request that deletes. */
  readonly pageKeys?: number;
}

/** What S3 allows. */
const PAGE_KEYS = 1_000;
/** The largest object that is put by one request. */
const SINGLE_BYTES_MAX = 8 * 1024 * 1024;
/** S3 gives up one of two writes that meet, and asks for another try. */
const CONFLICT_ATTEMPTS = 5;
const CONFLICT_PAUSE_MS = 100;
/** An answer may break off in its middle. */
const READ_ATTEMPTS = 3;

export class S3ObjectStore implements ObjectStore {
  readonly name: string;
  readonly #connection: S3Connection;
  readonly #clock: Clock;
  readonly #location: S3Location;
  readonly #pageKeys: number;

  private constructor(connection: S3Connection, options: S3ObjectStoreOptions) {
    this.#connection = connection;
    this.#clock = options.clock ?? systemClock;
    this.#location = options.location;
    this.#pageKeys = options.pageKeys ?? PAGE_KEYS;
    this.name = objectStoreName(options.location);
  }

  /** Loads the SDK; nothing is asked of the store yet. */
  static async open(options: S3ObjectStoreOptions): Promise<S3ObjectStore> {
    const clock = options.clock ?? systemClock;
    return new S3ObjectStore(await S3Connection.open({ ...options, clock }), options);
  }

  async put(key: string, body: ObjectBody): Promise<void> {
    const place = this.#placeOf(key);
    const isWritten = await this.#failing(key, async () =>
      bodySizeBytes(body) <= SINGLE_BYTES_MAX
        ? await this.#putAtOnce(place, body)
        : // Asked before, as sending all parts to hear that the key is taken costs much.
          (await this.stat(key)) === undefined &&
          (await uploadInParts(this.#connection, place, body)),
    );
    if (isWritten || (await hasBody(this, key, body))) return;
    throw new ObjectExistsError(this.name, key);
  }

  async readRange(key: string, start: number, end: number): Promise<Uint8Array> {
    const place = this.#placeOf(key);
    // No range is empty: of nothing, one byte is asked for.
    const last = Math.max(start, end - 1);
    const bytes = await this.#failing(key, () => this.#read(place, { start, last }));
    return bytes.subarray(0, end - start);
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    const place = this.#placeOf(key);
    return await this.#failing(key, async () => {
      const { HeadObjectCommand } = this.#connection.sdk;
      const answer = await this.#connection
        .run((client, options) => client.send(new HeadObjectCommand(place), options))
        .catch((thrown: unknown) => {
          if (statusOfError(thrown) === 404 && !isBucketMissing(thrown)) return undefined;
          throw thrown;
        });
      return answer === undefined
        ? undefined
        : statOf(key, { Size: answer.ContentLength, LastModified: answer.LastModified });
    });
  }

  async *list(
    prefix: string,
    { startAfter = "" }: { readonly startAfter?: string } = {},
  ): AsyncGenerator<ObjectStat> {
    const root = this.#root();
    const { ListObjectsV2Command } = this.#connection.sdk;
    let after = startAfter;
    for (;;) {
      const command = new ListObjectsV2Command({
        Bucket: this.#location.bucket,
        Prefix: root + prefix,
        MaxKeys: this.#pageKeys,
        ...(after === "" ? {} : { StartAfter: root + after }),
      });
      const { Contents = [], IsTruncated = false } = await this.#failing(prefix, () =>
        this.#connection.run((client, options) => client.send(command, options)),
      );
      for (const found of Contents) {
        const key = found.Key?.slice(root.length) ?? "";
        // Objects of others may lie there too.
        if (isObjectKey(key)) yield statOf(key, found);
      }
      const last = Contents.at(-1)?.Key;
      if (!IsTruncated || last === undefined) return;
      after = last.slice(root.length);
    }
  }

  async delete(keys: readonly string[]): Promise<void> {
    const places = keys.map((key) => this.#placeOf(key));
    const { DeleteObjectsCommand } = this.#connection.sdk;
    for (let start = 0; start < places.length; start += this.#pageKeys) {
      const Objects = places.slice(start, start + this.#pageKeys).map(({ Key }) => ({ Key }));
      const { bucket: Bucket } = this.#location;
      const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } });
      const { Errors = [] } = await this.#failing(keys[start] ?? "", () =>
        this.#connection.run((client, options) => client.send(command, options)),
      );
      const failed = Errors.find(({ Code }) => Code !== "NoSuchKey");
      if (failed === undefined) continue;
      const reason = failed.Message ?? failed.Code;
      throw new ObjectStoreError(`${this.name} did not delete ${failed.Key}: ${reason}`);
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  #root(): string {
    return this.#location.prefix === "" ? "" : `${this.#location.prefix}/`;
  }

  #placeOf(key: string): { readonly Bucket: string; readonly Key: string } {
    checkObjectKey(key);
    return { Bucket: this.#location.bucket, Key: this.#root() + key };
  }

  /** @returns false if the key is taken */
  async #putAtOnce(
    place: { readonly Bucket: string; readonly Key: string },
    body: ObjectBody,
  ): Promise<boolean> {
    const { PutObjectCommand } = this.#connection.sdk;
    const bytes = await readBody(body, { start: 0, end: bodySizeBytes(body) });
    const command = new PutObjectCommand({ ...place, Body: bytes, IfNoneMatch: "*" });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#connection.run((client, options) => client.send(command, options), {
          bytes: bytes.length,
        });
        return true;
      } catch (thrown) {
        const status = statusOfError(thrown);
        if (status === 412) return false;
        if (status !== 409 || attempt === CONFLICT_ATTEMPTS) throw thrown;
      }
      await this.#pause(attempt * CONFLICT_PAUSE_MS);
    }
  }

  async #read(
    place: { readonly Bucket: string; readonly Key: string },
    range: { readonly start: number; readonly last: number },
  ): Promise<Uint8Array> {
    const { GetObjectCommand } = this.#connection.sdk;
    const Range = `bytes=${range.start}-${range.last}`;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connection.run(
          async (client, options) => {
            const answer = await client.send(new GetObjectCommand({ ...place, Range }), options);
            const maxBytes = range.last - range.start + 1;
            return await this.#connection.bytesOf(answer, { ...options, maxBytes });
          },
          { bytes: range.last - range.start },
        );
      } catch (thrown) {
        // There is nothing from there on, but there is an object.
        if (statusOfError(thrown) === 416) return new Uint8Array(0);
        if (!(thrown instanceof BrokenAnswerError) || attempt === READ_ATTEMPTS) throw thrown;
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(delayMs, resolve));
  }

  /** Runs `work`; what the SDK throws becomes the store's error. */
  async #failing<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof ObjectStoreError) throw thrown;
      const status = statusOfError(thrown);
      if (status === 404 && !isBucketMissing(thrown)) throw new ObjectMissingError(this.name, key);
      if (!(thrown instanceof Error)) throw thrown;
      const answered = status === undefined ? "" : `, HTTP ${status}`;
      throw new ObjectStoreError(
        `${this.name} failed at ${key} (${thrown.name}${answered}): ${thrown.message}`,
        { cause: thrown },
      );
    }
  }
}

function isBucketMissing(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === "NoSuchBucket";
}

function statOf(
  key: string,
  found: { readonly Size?: number | undefined; readonly LastModified?: Date | undefined },
): ObjectStat {
  return { key, sizeBytes: found.Size ?? 0, modifiedMs: found.LastModified?.getTime() ?? 0 };
}
