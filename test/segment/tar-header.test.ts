/** Headers of a tar stream, as GNU tar reads them. */

import { expect, test } from "bun:test";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tarHeader, tarPadding } from "../../src/segment/tar-header.ts";
import { inDirectory } from "./archive-fixture.ts";

test.each([0, 1, 511, 512, 8 ** 11 - 1, 8 ** 11, 2 ** 40])(
  "tar header: tar lists %d bytes",
  (size) =>
    inDirectory(async (directory) => {
      const path = join(directory, "archive.tar");
      const name = "index/".padEnd(100, "x");
      await writeFile(path, tarHeader(name, size));
      // A hole stands for the content.
      await truncate(path, 512 + size + tarPadding(size).length);
      const tar = Bun.spawn(["tar", "--utc", "-tvf", path], { stdout: "pipe", stderr: "pipe" });
      const [output, errors] = await Promise.all([tar.stdout.text(), tar.stderr.text()]);
      expect([await tar.exited, errors]).toEqual([0, ""]);
      const [mode, owner, listedSize, date, , listedName] = output.trim().split(/ +/);
      expect([mode, owner, date]).toEqual(["-rw-r--r--", "root/root", "1980-01-01"]);
      expect([Number(listedSize), listedName]).toEqual([size, name]);
    }),
);
