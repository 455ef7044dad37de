/** A real S3 server of the tests' own: on free ports, with data in a temporary directory, gone when it is stopped. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { installServer, type ServerKind } from "./install.ts";

export const CREDENTIALS = {
  accessKeyId: "tests",
  secretAccessKey: "secret-of-the-tests",
} as const;
const READY_MS_MAX = 60_000;
const BUCKET = "chronik";

export interface S3Server {
  readonly kind: ServerKind;
  readonly port: number;
  /** Of a bucket that exists. */
  readonly bucket: string;
  stop(): Promise<void>;
}

/** Starts it and waits until it takes writes. */
export async function startS3Server(kind: ServerKind): Promise<S3Server> {
  const executable = await installServer(kind);
  const directory = mkdtempSync(join(tmpdir(), `chronik-${kind}-`));
  const [port = 0, ...others] = freePorts(10);
  const { args, env } = startOf(kind, { directory, port, others });
  const child = Bun.spawn([executable, ...args], {
    cwd: directory,
    env: { ...Bun.env, ...env },
    stdin: "ignore",
    stdout: Bun.file(join(directory, "out.log")),
    stderr: Bun.file(join(directory, "err.log")),
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await createBucket(port, () => child.exitCode);
  } catch (thrown) {
    const log = await Bun.file(join(directory, "err.log")).text();
    await stop();
    throw new Error(`${kind} did not start: ${String(thrown)}\n${log.slice(-2_000)}`);
  }
  return { kind, port, bucket: BUCKET, stop };
}

/** The location of a fresh prefix on a server, or on what stands before it. */
export function urlOf(server: S3Server, { port = server.port, prefix = "" } = {}): string {
  const endpoint = encodeURIComponent(`http://127.0.0.1:${port}`);
  return `s3://${server.bucket}/${prefix}?endpoint=${endpoint}&path-style=true`;
}

function startOf(
  kind: ServerKind,
  {
    directory,
    port,
    others,
  }: { readonly directory: string; readonly port: number; readonly others: readonly number[] },
): { readonly args: string[]; readonly env: Record<string, string> } {
  const { accessKeyId, secretAccessKey } = CREDENTIALS;
  switch (kind) {
    case "seaweedfs":
      return { args: seaweedArguments(directory, port, others), env: {} };
    case "versitygw":
      return {
        args: ["--port", `127.0.0.1:${port}`, "posix", directory],
        env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey },
      };
    case "minio":
      return {
        args: ["server", "--quiet", "--address", `127.0.0.1:${port}`, directory],
        env: { MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey },
      };
  }
}

/** Master, volume server, filer and S3 in one process; each has a port for people and one for the others. */
function seaweedArguments(directory: string, port: number, others: readonly number[]): string[] {
  const { accessKeyId: accessKey, secretAccessKey: secretKey } = CREDENTIALS;
  const actions = ["Admin", "Read", "Write", "List", "Tagging"];
  // Strangers are let in for requests whose signature the fault proxy had to take away.
  const identities = [
    { name: "tests", credentials: [{ accessKey, secretKey }], actions },
    { name: "anonymous", actions },
  ];
  writeFileSync(join(directory, "s3.json"), JSON.stringify({ identities }));
  const [master, masterGrpc, volume, volumeGrpc, filer, filerGrpc, s3Grpc] = others;
  return [
    ...["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", `-dir=${directory}`, "-s3", "-filer"],
    ...[`-master.port=${master}`, `-master.port.grpc=${masterGrpc}`],
    ...[`-volume.port=${volume}`, `-volume.port.grpc=${volumeGrpc}`],
    ...[`-filer.port=${filer}`, `-filer.port.grpc=${filerGrpc}`],
    ...[`-s3.port=${port}`, `-s3.port.grpc=${s3Grpc}`, `-s3.config=${directory}/s3.json`],
    ...[
      "-s3.port.iceberg=0",
      "-s3.port.lance=0",
      "-s3.autoCreateBucket=false",
      "-master.volumeSizeLimitMB=256",
    ],
  ];
}

/** Tries until the server does it: only then it is ready. */
async function createBucket(port: number, exitCode: () => number | null): Promise<void> {
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    credentials: CREDENTIALS,
    forcePathStyle: true,
    maxAttempts: 1,
    requestHandler: { requestTimeout: 5_000, throwOnRequestTimeout: true },
  });
  const endMs = performance.now() + READY_MS_MAX;
  try {
    for (;;) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
        return;
      } catch (thrown) {
        if ((thrown as Error).name === "BucketAlreadyOwnedByYou") return;
        if (exitCode() !== null) throw new Error(`it exited with ${exitCode()}`);
        if (performance.now() > endMs) throw thrown;
      }
      await Bun.sleep(50);
    }
  } finally {
    client.destroy();
  }
}

/** Free a moment ago. */
function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } }),
  );
  const ports = listeners.map((listener) => listener.port);
  for (const listener of listeners) listener.stop();
  return ports;
}
