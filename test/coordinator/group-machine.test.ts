/** The group machine against its scripts. `REWRITE=1` writes what came out; review it as prose. */

import { expect, test } from "bun:test";
import { Glob } from "bun";
import { runScript } from "./group-script.ts";

interface Block {
  readonly comment: string;
  readonly commands: string;
  readonly expected: string;
}

const folder = `${import.meta.dir}/scripts`;
const files = [...new Glob("*.txt").scanSync(folder)].sort();

test.each(files)("group machine: %s", async (name) => {
  const path = `${folder}/${name}`;
  const scenarios = (await Bun.file(path).text()).trim().split(/\n\n(?=# )/);
  const rewritten = scenarios.map((scenario) => {
    const blocks = scenario.split(/\n\n/).map(blockOf);
    const outputs = runScript(blocks.map(({ commands }) => commands));
    if (!Bun.env["REWRITE"]) {
      expect(outputs, blocks[0]?.comment).toEqual(blocks.map(({ expected }) => expected));
    }
    return blocks.map((block, index) => blockText(block, outputs[index] ?? "")).join("\n\n");
  });
  if (Bun.env["REWRITE"]) await Bun.write(path, `${rewritten.join("\n\n")}\n`);
});

function blockOf(text: string): Block {
  const lines = text.split("\n");
  const comments = lines.filter((line) => line.startsWith("#"));
  const others = lines.filter((line) => !line.startsWith("#")).join("\n");
  const [commands = "", expected = ""] = others.split(/^----$\n?/m);
  return { comment: comments.join("\n"), commands: commands.trim(), expected: expected.trim() };
}

function blockText({ comment, commands }: Block, output: string): string {
  return `${comment === "" ? "" : `${comment}\n`}${commands}\n----\n${output}`;
}
