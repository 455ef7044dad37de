/** Input cut into lines: bytes between line feeds, whatever they are. */

const LINE_FEED = 10;
/** No broker takes a record of this size. */
const LINE_BYTES_MAX = 512 * 1024 * 1024;

/**
 * The lines that each piece of input completes, together, so that what is typed goes out at once. What follows the
 * last line feed is a line if it is not empty.
 */
export async function* linesOf(
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[]> {
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const chunk of input) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end < 0) break;
      const rest = chunk.subarray(start, end);
      lines.push(begun.length === 0 ? rest : Buffer.concat([...begun, rest]));
      begun = [];
      begunBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      begun.push(chunk.subarray(start));
      begunBytes += chunk.length - start;
      if (begunBytes > LINE_BYTES_MAX) {
        throw new Error(`A line is longer than ${LINE_BYTES_MAX} bytes.`);
      }
    }
    if (lines.length > 0) yield lines;
  }
  if (begun.length > 0) yield [Buffer.concat(begun)];
}
