/**
 * Builds `dist/chronik-server`: the Rust shim (`ffi/`), embedded with the program and its Workers in one executable.
 *
 *   bun build.ts                        the executable for this machine
 *   bun build.ts --target=linux-arm64   the executable for another one, where a cross linker is present
 *   bun build.ts --shim                 only the shim, which running from source needs too
 *
 * The shim is built again only when its sources or its lock file changed (compared by content).
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { $, CryptoHasher, Glob, which } from "bun";

const ROOT = import.meta.dir;
const SHIM_NAME = "libchronik_ffi.so";

const SHIM_SOURCES = ["Cargo.{toml,lock}", "build.rs", ".cargo/**/*", "src/**/*.rs"];

/** `main.ts` first: it is what the executable runs; Workers find the others by their path below `src`. */
const ENTRY_POINTS = [
  "src/main.ts",
  "src/search/wal-indexer-worker.ts",
  "src/search/searcher-worker.ts",
  "src/segment/sealing-worker.ts",
  "src/segment/merging-worker.ts",
  "src/segment/uploading-worker.ts",
  "src/http/topic-records-worker.ts",
];

interface Target {
  readonly name: string;
  readonly rust: string;
  readonly bun: "bun-linux-x64" | "bun-linux-arm64";
  readonly crossLinker: string;
}

const TARGETS: readonly Target[] = [
  {
    name: "linux-x64",
    rust: "x86_64-unknown-linux-gnu",
    bun: "bun-linux-x64",
    crossLinker: "x86_64-linux-gnu-gcc",
  },
  {
    name: "linux-arm64",
    rust: "aarch64-unknown-linux-gnu",
    bun: "bun-linux-arm64",
    crossLinker: "aarch64-linux-gnu-gcc",
  },
];
const HOST_NAME = `${process.platform}-${process.arch}`;

/** Why nothing could be built; a sentence for the person at the terminal. */
class BuildError extends Error {
  override readonly name = "BuildError";
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { target: { type: "string", default: HOST_NAME }, shim: { type: "boolean" } },
  });
  try {
    const target = targetOf(values.target);
    const shimPath = await buildShim(target);
    if (!values.shim) await buildExecutable(target, shimPath);
  } catch (thrown) {
    if (!(thrown instanceof BuildError)) throw thrown;
    process.stderr.write(`build: ${thrown.message}\n`);
    process.exitCode = 1;
  }
}

function targetOf(name: string): Target {
  const target = TARGETS.find((each) => each.name === name);
  if (target !== undefined) return target;
  const names = TARGETS.map((each) => each.name).join(", ");
  throw new BuildError(`There is no target ${name}; there are ${names}.`);
}

/** Builds the shim where it is not up to date. @returns its path */
async function buildShim(target: Target): Promise<string> {
  const isNative = target.name === HOST_NAME;
  const folder = join(ROOT, "ffi/target", isNative ? "" : target.rust, "release");
  const path = join(folder, SHIM_NAME);
  const stamp = Bun.file(join(folder, `${SHIM_NAME}.stamp`));
  const sources = await digestOfShim();
  if (existsSync(path) && (await stamp.exists()) && (await stamp.text()) === sources) return path;
  if (which("cargo") === null) {
    throw new BuildError("The Rust shim must be built, and there is no cargo on PATH.");
  }
  if (which("cc") === null)
    throw new BuildError("Rust needs a C linker, and there is no cc on PATH.");
  if (!isNative) await requireCrossTools(target);
  tell(`building the Rust shim for ${target.name}; the first time this takes some minutes`);
  const flags = [
    "--release",
    "--locked",
    "--quiet",
    ...(isNative ? [] : ["--target", target.rust]),
  ];
  const linker = `CARGO_TARGET_${target.rust.toUpperCase().replaceAll("-", "_")}_LINKER`;
  const variables = isNative ? {} : { [linker]: target.crossLinker };
  // biome-ignore lint/style/noProcessEnv: cargo needs the environment of the person who builds.
  const env = { ...process.env, ...variables };
  const { exitCode } = await $`cargo build ${flags}`.cwd(join(ROOT, "ffi")).env(env).nothrow();
  if (exitCode !== 0 || !existsSync(path)) throw new BuildError("The Rust shim did not build.");
  await stamp.write(sources);
  return path;
}

/** Changes with everything that the shim is made from. */
async function digestOfShim(): Promise<string> {
  const hasher = new CryptoHasher("sha256");
  const paths = SHIM_SOURCES.flatMap((glob) => [
    ...new Glob(glob).scanSync({ cwd: join(ROOT, "ffi"), dot: true }),
  ]);
  if (!paths.includes("src/lib.rs")) throw new BuildError("The shim's sources are missing.");
  for (const path of paths.sort()) {
    hasher.update(`${path}\n`).update(await Bun.file(join(ROOT, "ffi", path)).bytes());
  }
  return hasher.digest("hex");
}

async function requireCrossTools(target: Target): Promise<void> {
  if (which(target.crossLinker) === null) {
    throw new BuildError(
      `${target.name} needs the cross linker ${target.crossLinker}, which is not on PATH ` +
        `(Debian: gcc-${target.rust.split("-")[0]?.replace("_", "-")}-linux-gnu).`,
    );
  }
  const sysroot = (await $`rustc --print sysroot`.text()).trim();
  if (!existsSync(join(sysroot, "lib/rustlib", target.rust, "lib"))) {
    throw new BuildError(
      `${target.name} needs Rust's standard library for it: rustup target add ${target.rust}.`,
    );
  }
}

async function buildExecutable(target: Target, shimPath: string): Promise<void> {
  const entryPoints = ENTRY_POINTS.map((path) => join(ROOT, path));
  const missing = ENTRY_POINTS.filter((path) => !existsSync(join(ROOT, path)));
  if (missing.length > 0) throw new BuildError(`${missing.join(", ")} is missing.`);
  const name = target.name === HOST_NAME ? "chronik-server" : `chronik-server-${target.name}`;
  const outfile = join(ROOT, "dist", name);
  const built = await Bun.build({
    entrypoints: entryPoints,
    root: join(ROOT, "src"),
    target: "bun",
    format: "esm",
    minify: false,
    bytecode: true,
    throw: false,
    compile: { target: target.bun, outfile, autoloadDotenv: false, autoloadBunfig: false },
    plugins: [
      {
        name: "shim of the target",
        setup: (build) => {
          build.onResolve({ filter: new RegExp(`/${SHIM_NAME}$`) }, () => ({ path: shimPath }));
        },
      },
    ],
  });
  if (!built.success) throw new BuildError(built.logs.map(String).join("\n"));
  await report(outfile, target, shimPath);
}

/** Prints what was built, and for which machines. */
async function report(outfile: string, target: Target, shimPath: string): Promise<void> {
  const executable = await Bun.file(outfile).bytes();
  const needs = [executable, await Bun.file(shimPath).bytes()].map(glibcMinimumOf);
  const { version } = await Bun.file(join(ROOT, "package.json")).json();
  const commit = await $`git rev-parse --short HEAD`.cwd(ROOT).quiet().nothrow().text();
  tell(`dist/${basename(outfile)} ${version} ${commit.trim() || "(no commit)"}`);
  tell(`target ${target.name}`);
  tell(`size ${(executable.length / 1e6).toFixed(1)} MB`);
  tell(`sha256 ${new CryptoHasher("sha256").update(executable).digest("hex")}`);
  tell(`glibc ${needs.sort(compareVersions).at(-1)} or newer`);
}

/**
 * The newest glibc version that a 64-bit little-endian ELF file asks for, as `2.17`.
 * Source: the System V ABI and the Linux Standard Base, "Symbol Versioning" (section `.gnu.version_r`).
 */
function glibcMinimumOf(file: Uint8Array): string {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const u16 = (position: number): number => view.getUint16(position, true);
  const u32 = (position: number): number => view.getUint32(position, true);
  const u64 = (position: number): number => Number(view.getBigUint64(position, true));
  const sectionPosition = (index: number): number => u64(0x28) + index * u16(0x3a);
  const versions: string[] = [];
  for (let index = 0; index < u16(0x3c); index += 1) {
    const section = sectionPosition(index);
    if (u32(section + 4) !== 0x6ffffffe) continue; // SHT_GNU_verneed
    const names = u64(sectionPosition(u32(section + 0x28)) + 0x18);
    let need = u64(section + 0x18);
    for (let needCount = u32(section + 0x2c); needCount > 0; needCount -= 1) {
      let version = need + u32(need + 8);
      for (let versionCount = u16(need + 2); versionCount > 0; versionCount -= 1) {
        const start = names + u32(version + 8);
        const name = new TextDecoder().decode(file.subarray(start, file.indexOf(0, start)));
        if (name.startsWith("GLIBC_2")) versions.push(name.slice("GLIBC_".length));
        version += u32(version + 12);
      }
      need += u32(need + 12);
    }
  }
  return versions.sort(compareVersions).at(-1) ?? "any";
}

/** Orders `2.9` before `2.17`. */
function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function tell(line: string): void {
  process.stdout.write(`build: ${line}\n`);
}
