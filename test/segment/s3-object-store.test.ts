/** S3 as an object store: the suite against real servers, which the tests install, start and stop. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RangeSource } from "../../src/segment/archive-source.ts";
import { parseObjectStoreUrl, type S3Location } from "../../src/segment/object-store-url.ts";
import type { S3Attempt } from "../../src/segment/s3-connection.ts";
import { S3ObjectStore } from "../../src/segment/s3-object-store.ts";
import { wantedServers, whyMissing } from "../object-store/install.ts";
import { CREDENTIALS, type S3Server, startS3Server, urlOf } from "../object-store/s3-server.ts";
import { objectStoreSuite, SUITE_PAGE_KEYS } from "./object-store-suite.ts";
import { PatternSource } from "./pattern-source.ts";

const START_MS_MAX = 300_000;
const LARGE_BYTES = 44 * 1024 * 1024;

for (const kind of wantedServers()) {
  const reason = whyMissing(kind);
  describe.skipIf(reason !== undefined)(reason ?? kind, () => {
    let server: S3Server;
    let storeCount = 0;
    const opened = async (onAttempt: (attempt: S3Attempt) => void = () => {}) => {
      storeCount += 1;
      const prefix = `suite/${storeCount}`;
      const store = await S3ObjectStore.open({
        location: parseObjectStoreUrl(urlOf(server, { prefix })) as S3Location,
        credentials: CREDENTIALS,
        pageKeys: SUITE_PAGE_KEYS,
        onAttempt,
      });
      return { store, close: async () => {} };
    };
    beforeAll(async () => {
      server = await startS3Server(kind);
    }, START_MS_MAX);
    afterAll(() => server?.stop());

    objectStoreSuite(kind, () => opened(), kind === "seaweedfs" ? "names" : "bytes");

    test("a large upload holds two parts at most", async () => {
      let sentCount = 0;
      const { store } = await opened(({ operation }) => {
        if (operation === "UploadPart") sentCount += 1;
      });
      const pattern = new PatternSource(LARGE_BYTES);
      let readCount = 0;
      let heldMax = 0;
      const source: RangeSource = {
        name: "watched",
        readRange: (start, end) => {
          readCount += 1;
          heldMax = Math.max(heldMax, readCount - sentCount);
          return pattern.readRange(start, end);
        },
      };
      await store.put("large", { source, sizeBytes: LARGE_BYTES });
      expect(readCount).toBe(sentCount);
      expect(sentCount).toBeGreaterThan(5);
      expect(heldMax).toBe(2);
      expect(pattern.readBytesMax).toBe(8 * 1024 * 1024);
      await store.close();
    }, 60_000);

    test("its name has no secrets", async () => {
      const { store } = await opened();
      expect(store.name).toBe(`s3://${server.bucket}/suite/${storeCount}`);
      await store.close();
    });
  });
}
