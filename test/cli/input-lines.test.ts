/** Lines of any bytes, however the input arrives. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { linesOf } from "../../src/cli/input-lines.ts";

async function* chunksOf(input: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let position = 0;
  for (let index = 0; position < input.length; index += 1) {
    const size = sizes[index % sizes.length] ?? input.length;
    yield input.subarray(position, position + size);
    position += size;
  }
}

async function read(input: Uint8Array, sizes: readonly number[] = [input.length]) {
  const lines: Uint8Array[] = [];
  for await (const some of linesOf(chunksOf(input, sizes))) lines.push(...some);
  return lines.map((line) => Buffer.from(line).toString("latin1"));
}

test.each([
  ["", []],
  ["a", ["a"]],
  ["a\n", ["a"]],
  ["\n", [""]],
  ["a\n\nb\r\n\n", ["a", "", "b\r", ""]],
])("linesOf: %j", async (input, lines) => {
  expect(await read(Buffer.from(input))).toEqual(lines);
});

test("linesOf: any bytes in any chunks are the same lines", async () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => array.map((byte) => byte % 12));
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(bytes, sizes, async (input, chunkSizes) => {
      const lines = Buffer.from(input).toString("latin1").split("\n");
      if (lines.at(-1) === "") lines.pop();
      expect(await read(input, chunkSizes)).toEqual(lines);
    }),
  );
});
