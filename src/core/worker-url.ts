/** Where a Worker's program is: in the source tree, or an entry point of its own in the executable. */

/** Bun's name for the files inside an executable; the main thread's are bundled into one that lies at its root. */
const EXECUTABLE_ROOT = "/$bunfs/";

/** The address of `src/<path>.ts` for `new Worker`. */
export function workerUrl(path: string): string {
  const isBundled = decodeURI(import.meta.url).includes(EXECUTABLE_ROOT);
  return new URL(isBundled ? `./${path}.ts` : `../${path}.ts`, import.meta.url).href;
}
