/** For tests that crash and damage: what the check says of a data directory. */

import { expect } from "bun:test";
import { systemDisk } from "../../src/core/disk.ts";
import { checkDataDirectory } from "../../src/segment/check-data-directory.ts";
import type { Finding } from "../../src/segment/check-finding.ts";

/** Everything that the check finds. */
export async function findingsOf(dataDir: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  await checkDataDirectory(systemDisk, dataDir, (finding) => findings.push(finding));
  return findings;
}

/** A crash may leave things behind, but no damage and no loss. */
export async function expectWhole(dataDir: string): Promise<void> {
  const findings = await findingsOf(dataDir);
  expect(findings.filter(({ kind }) => kind === "fault")).toEqual([]);
}
