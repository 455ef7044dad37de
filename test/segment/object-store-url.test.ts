/** Where objects lie, as people write it, and what they are told when it can't be. */

import { expect, test } from "bun:test";
import {
  ObjectStoreUrlError,
  objectStoreName,
  parseObjectStoreUrl,
} from "../../src/segment/object-store-url.ts";

test.each([
  ["s3://bucket", { bucket: "bucket", prefix: "", isPathStyle: false }, "s3://bucket"],
  ["s3://bucket/", { bucket: "bucket", prefix: "", isPathStyle: false }, "s3://bucket"],
  [
    "s3://my.bucket-1/a/b/?region=eu-central-1",
    { bucket: "my.bucket-1", prefix: "a/b", region: "eu-central-1", isPathStyle: false },
    "s3://my.bucket-1/a/b",
  ],
  [
    "s3://bucket/x?endpoint=http://127.0.0.1:9000&path-style=true",
    { bucket: "bucket", prefix: "x", endpoint: "http://127.0.0.1:9000", isPathStyle: true },
    "s3://bucket/x",
  ],
  [
    "S3://bucket?endpoint=https%3A%2F%2Fhost%3A1%2F&path-style=false",
    { bucket: "bucket", prefix: "", endpoint: "https://host:1/", isPathStyle: false },
    "s3://bucket",
  ],
])("object store url: %s", (written, location, name) => {
  const parsed = parseObjectStoreUrl(written);
  expect(parsed).toEqual({ kind: "s3", ...location });
  expect(objectStoreName(parsed)).toBe(name);
});

test.each([
  ["/some/directory", "/some/directory"],
  ["/some/../other/", "/other"],
  ["file:///some/direc%20tory", "/some/direc tory"],
])("object store url: %s is a directory", (written, directory) => {
  const parsed = parseObjectStoreUrl(written);
  expect(parsed).toEqual({ kind: "file", directory });
  expect(objectStoreName(parsed)).toBe(`file://${directory}`);
});

test.each([
  ["gs://bucket", "gs://"],
  ["http://bucket", "file:// and s3://"],
  ["s3://", "bucket"],
  ["s3:///prefix", "bucket"],
  ["s3://b", "bucket"],
  ["s3://bucket:9000/x", "bucket"],
  ["s3://key:hunter2@bucket", "credentials"],
  ["s3://bucket/a//b", "prefix"],
  ["s3://bucket/a b", "prefix"],
  ["s3://bucket/../b%2F..", "prefix"],
  ["s3://bucket/%E0%A4%A", "broken %"],
  ["s3://bucket#x", "#"],
  ["s3://bucket?endpont=http://x", '"endpont"; there are endpoint, region, path-style'],
  ["s3://bucket?region=a&region=b", "twice"],
  ["s3://bucket?region=eu%20west", "region"],
  ["s3://bucket?region=", "region"],
  ["s3://bucket?path-style=yes", "path-style"],
  ["s3://bucket?endpoint=host:9000", "endpoint"],
  ["s3://bucket?endpoint=ftp://host", "endpoint"],
  ["s3://bucket?endpoint=http://host/path", "endpoint"],
  ["s3://bucket?endpoint=http://me:hunter2@host", "endpoint must not hold credentials"],
  ["file://host/path", "absolute"],
  ["file:///", "directory"],
  ["file:///x?y=1", "parameters"],
])("object store url: %s is refused", (written, reason) => {
  const failure = (() => {
    try {
      return parseObjectStoreUrl(written);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(failure).toBeInstanceOf(ObjectStoreUrlError);
  expect(String(failure)).toContain(reason);
  expect(String(failure)).not.toContain("hunter2");
});
