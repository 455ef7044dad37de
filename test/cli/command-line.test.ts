/** Help, version, refusals and the ready line. */
import { expect, test } from "bun:test";
import { EXIT_CODE_USAGE, readInvocation, readyLine } from "../../src/cli/command-line.ts";
import { helpText, settingsTable } from "../../src/cli/help.ts";
import { kebabOf } from "../../src/config/setting-spelling.ts";
import { SETTING_NAMES } from "../../src/config/settings.ts";

function invoke(argv: string[], env: Record<string, string> = {}) {
  return readInvocation({ argv, env, readFile: () => Promise.reject(new Error("gone")) }, "1.2.3");
}

test("readInvocation: help and version are printed", async () => {
  expect(await invoke(["--help"])).toEqual({ kind: "print", text: helpText() });
  expect(await invoke(["--version"])).toEqual({ kind: "print", text: "chronik-server 1.2.3\n" });
});

test("readInvocation: a refusal is one line and exit code 2", async () => {
  expect(await invoke(["--memory-mx", "1G"])).toEqual({
    kind: "refuse",
    text: "chronik-server: Unknown flag --memory-mx; did you mean --memory-max?\n",
    exitCode: EXIT_CODE_USAGE,
  });
});

test("readInvocation: without arguments the broker runs", async () => {
  expect((await invoke([])).kind).toBe("run");
  expect((await invoke(["--data-dir", "x", "standalone"])).kind).toBe("run");
});

test("helpText: every setting is listed, in lines that fit", () => {
  const text = helpText();
  for (const name of SETTING_NAMES) expect(text).toContain(`${kebabOf(name)}`);
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(121);
});

test("settingsTable: the README shows the table as it is (REWRITE=1 puts it there)", async () => {
  const readme = await Bun.file("README.md").text();
  const region = /(<!-- settings -->\n)[\s\S]*(<!-- \/settings -->)/;
  const expected = readme.replace(region, (_, start, end) => start + settingsTable() + end);
  if (Bun.env["REWRITE"] === "1") await Bun.write("README.md", expected);
  else expect(readme).toBe(expected);
});

test("readyLine: addresses and data directory in the fixed form", () => {
  const ready = { host: "127.0.0.1", kafkaPort: 1, httpPort: 2, dataDir: "d" };
  expect(readyLine(ready, 12.4)).toBe(
    "chronik ready in 12 ms: kafka 127.0.0.1:1 http 127.0.0.1:2 data d\n",
  );
  expect(readyLine({ ...ready, host: "::1" }, 1)).toContain("kafka [::1]:1 http [::1]:2 ");
});
