/** Where a Worker's program is: beside this file in the source tree, an entry point of its own in the executable. */

/** Bun's name for the files inside an executable; all of them are bundled into one that lies at its root. */
const EXECUTABLE_ROOT = "/$bunfs/";

/** The address of `search/<name>.ts` for `new Worker`. */
export function workerUrl(name: string): string {
  const isBundled = decodeURI(import.meta.url).includes(EXECUTABLE_ROOT);
  return new URL(isBundled ? `./search/${name}.ts` : `./${name}.ts`, import.meta.url).href;
}
