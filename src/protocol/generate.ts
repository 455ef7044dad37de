/**
 * Writes `src/protocol/generated/` from Apache Kafka's message definitions: `bun run generate`.
 *
 * With `--check` nothing is written; the exit code tells whether the committed files are what would be
 * written. Where the definitions cannot be had (no cache, no network), the check says so and compares
 * the fingerprint of generator and output that the last run left instead.
 */

import { emitMessage } from "./generator/emit-message.ts";
import { emitAllMessages, emitApiKeys } from "./generator/emit-tables.ts";
import { fingerprintOf, fingerprintText, readFingerprint } from "./generator/fingerprint.ts";
import {
  areJarsCached,
  fetchJars,
  type Release,
  readReleases,
} from "./generator/kafka-definitions.ts";
import { mergeDefinitions, type ReleaseDefinition } from "./generator/merge.ts";
import { kebabCase, type Message } from "./generator/model.ts";
import { readOutput, writeOutput } from "./generator/output.ts";

process.exitCode = await main(Bun.argv.slice(2));

async function main(flags: readonly string[]): Promise<number> {
  const isCheck = flags.includes("--check");
  const failure = await maybeFetch();
  if (failure !== undefined) {
    say(`Kafka's definitions could not be had: ${failure}`);
    return isCheck ? await checkFingerprint() : 1;
  }
  const releases = await readReleases();
  const files = await generatedFiles(releases);
  if (isCheck) return await checkFiles(files);
  await writeOutput(files);
  say(`${files.size} files written.`);
  return 0;
}

/** Makes sure that the jars are in the cache. @returns why they are not. */
async function maybeFetch(): Promise<string | undefined> {
  try {
    if (!(await areJarsCached())) await fetchJars();
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** All files of the folder, by name. */
async function generatedFiles(releases: readonly Release[]): Promise<Map<string, string>> {
  const messages = mergedMessages(releases);
  const files = new Map<string, string>();
  for (const message of messages) files.set(`${kebabCase(message.name)}.ts`, emitMessage(message));
  files.set("api-keys.ts", emitApiKeys(messages));
  files.set("all-messages.ts", emitAllMessages(messages));
  const fingerprint = await fingerprintOf(files);
  files.set("fingerprint.json", fingerprintText(fingerprint, releases));
  return files;
}

function mergedMessages(releases: readonly Release[]): Message[] {
  const byName = new Map<string, ReleaseDefinition[]>();
  for (const release of releases) {
    for (const definition of release.definitions) {
      const list = byName.get(definition.name) ?? [];
      list.push({ release: release.name, definition });
      byName.set(definition.name, list);
    }
  }
  const names = [...byName.keys()].sort();
  return names.flatMap((name) => mergeDefinitions(byName.get(name) ?? []) ?? []);
}

async function checkFiles(files: ReadonlyMap<string, string>): Promise<number> {
  const committed = await readOutput();
  const names = new Set([...files.keys(), ...committed.keys()]);
  const stale = [...names].filter((name) => files.get(name) !== committed.get(name)).sort();
  for (const name of stale) say(`not fresh: src/protocol/generated/${name}`);
  if (stale.length > 0) say("Run `bun run generate` and commit what it writes.");
  return stale.length > 0 ? 1 : 0;
}

/** Whether generator and output are those of the last run. */
async function checkFingerprint(): Promise<number> {
  const committed = await readOutput();
  const found = await fingerprintOf(committed);
  const isSame = found === readFingerprint(committed);
  say(
    isSame
      ? "Generator and generated files are those of the last `bun run generate`, by their fingerprint."
      : "Generator or generated files have changed: run `bun run generate` where Maven Central is in reach.",
  );
  return isSame ? 0 : 1;
}

function say(line: string): void {
  process.stdout.write(`generate: ${line}\n`);
}
