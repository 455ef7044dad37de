/**
 * Kafka's message definitions, taken from the kafka-clients jars of Maven Central. The jars lie in an
 * ignored cache folder; the definitions themselves are never stored in the repository.
 */

import { unzipSync } from "fflate";
import { type MessageDefinition, parseDefinition } from "./definition.ts";

/** The releases whose versions are spoken, newest first. 3.9.1 has what 4.0 dropped. */
export const RELEASES: readonly string[] = ["4.3.1", "3.9.1"];

const CACHE_FOLDER = `${import.meta.dir}/../../../.cache/kafka-clients/`;
const DEFINITIONS_IN_JAR = /^common\/message\/[A-Za-z0-9]+\.json$/;
const COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/** One release's definitions. */
export interface Release {
  readonly name: string;
  readonly definitions: readonly MessageDefinition[];
  /** SHA-256 over the definition files, to tell whether they changed. */
  readonly sha256: string;
}

/** Where a release's jar lies once it was fetched. */
export function jarPath(release: string): string {
  return `${CACHE_FOLDER}kafka-clients-${release}.jar`;
}

/** Whether every jar is in the cache. */
export async function areJarsCached(): Promise<boolean> {
  const present = await Promise.all(RELEASES.map((name) => Bun.file(jarPath(name)).exists()));
  return present.every((isPresent) => isPresent);
}

/** Fetches what the cache lacks. @throws Error with Maven's own words if that fails. */
export async function fetchJars(): Promise<void> {
  for (const release of RELEASES) await fetchArtifact(`org.apache.kafka:kafka-clients:${release}`);
}

/** Fetches `group:artifact:version` into the cache, unless it is there. @returns the jar's path. */
export async function fetchArtifact(coordinates: string): Promise<string> {
  const [, artifact, version] = coordinates.split(":");
  const path = `${CACHE_FOLDER}${artifact}-${version}.jar`;
  if (await Bun.file(path).exists()) return path;
  if (Bun.which("mvn") === null) throw new Error("mvn is not installed");
  const goals = [COPY_GOAL, `-Dartifact=${coordinates}`, `-DoutputDirectory=${CACHE_FOLDER}`];
  const child = Bun.spawn(["mvn", "-q", "-B", ...goals], { stdout: "pipe", stderr: "pipe" });
  const [output, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (exitCode !== 0) throw new Error(`mvn could not fetch ${coordinates}: ${output.trim()}`);
  return path;
}

/** Reads all releases from the cache. */
export async function readReleases(): Promise<Release[]> {
  return await Promise.all(RELEASES.map(readRelease));
}

async function readRelease(name: string): Promise<Release> {
  const jar = new Uint8Array(await Bun.file(jarPath(name)).arrayBuffer());
  const files = unzipSync(jar, { filter: (file) => DEFINITIONS_IN_JAR.test(file.name) });
  const hasher = new Bun.CryptoHasher("sha256");
  const definitions: MessageDefinition[] = [];
  for (const path of Object.keys(files).sort()) {
    const text = new TextDecoder().decode(files[path]);
    hasher.update(`${path}\n${text}`);
    definitions.push(parseDefinition(text));
  }
  if (definitions.length === 0) throw new Error(`${jarPath(name)} holds no message definitions`);
  return { name, definitions, sha256: hasher.digest("hex") };
}
