/** The folder `src/protocol/generated/`: read as a whole, written as a whole. */

const FOLDER = `${import.meta.dir}/../generated/`;

/** Every file there, by name. */
export async function readOutput(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const name of new Bun.Glob("*").scan(FOLDER)) {
    files.set(name, await Bun.file(FOLDER + name).text());
  }
  return files;
}

/** Makes the folder hold exactly `files`. */
export async function writeOutput(files: ReadonlyMap<string, string>): Promise<void> {
  for (const [name, text] of files) await Bun.write(FOLDER + name, text);
  for await (const name of new Bun.Glob("*").scan(FOLDER)) {
    if (!files.has(name)) await Bun.file(FOLDER + name).delete();
  }
}
