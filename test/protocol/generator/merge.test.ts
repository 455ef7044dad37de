/** How definitions of two releases become one message, and what is refused rather than guessed. */
import { expect, test } from "bun:test";
import {
  type FieldDefinition,
  type MessageDefinition,
  parseDefinition,
  parseVersions,
  rangeOf,
} from "../../../src/protocol/generator/definition.ts";
import { emitMessage } from "../../../src/protocol/generator/emit-message.ts";
import { mergeDefinitions } from "../../../src/protocol/generator/merge.ts";
import type { Message } from "../../../src/protocol/generator/model.ts";

const INDEX: FieldDefinition = { name: "Index", type: "int32", versions: "0+" };

function definition(validVersions: string, fields: readonly FieldDefinition[]): MessageDefinition {
  return {
    name: "PingRequest",
    type: "request",
    apiKey: 99,
    validVersions,
    flexibleVersions: "2+",
    fields,
  };
}

function merged(newer: MessageDefinition, older: MessageDefinition): Message {
  const message = mergeDefinitions([
    { release: "2.0", definition: newer },
    { release: "1.0", definition: older },
  ]);
  if (message === undefined) throw new Error("nothing was merged");
  return message;
}

function fieldsOf(message: Message): string[] {
  return (message.structs.at(-1)?.fields ?? []).map(
    ({ name, versions }) => `${name} ${versions.lowest}-${versions.highest}`,
  );
}

test("definition: comment lines are left out", () => {
  const text = '// License\n{\n  // Why.\n  "name": "A", "type": "data", "validVersions": "0"\n}';
  expect(parseDefinition(text)).toMatchObject({ name: "A", validVersions: "0" });
});

test("definition: ranges of versions", () => {
  expect(parseVersions("3")).toEqual({ lowest: 3, highest: 3 });
  expect(parseVersions("3-5")).toEqual({ lowest: 3, highest: 5 });
  expect(parseVersions("3+")).toEqual({ lowest: 3, highest: Number.MAX_SAFE_INTEGER });
  expect(parseVersions("none")).toBeUndefined();
  expect(() => parseVersions("3,5")).toThrow("no range");
  expect(() => rangeOf([0, 2], "Ping")).toThrow("gap");
});

test("merge: an older release adds the versions and fields that the newer one dropped", () => {
  const dropped: FieldDefinition = { name: "Dropped", type: "string", versions: "0-1" };
  const added: FieldDefinition = { name: "Added", type: "bool", versions: "4+" };
  const message = merged(definition("2-4", [INDEX, added]), definition("0-3", [dropped, INDEX]));
  expect(message.versions).toEqual({ lowest: 0, highest: 4 });
  expect(fieldsOf(message)).toEqual(["dropped 0-1", "index 0-4", "added 4-4"]);
});

test("merge: a field that the newer release renamed has its new name in every common version", () => {
  const oldName: FieldDefinition = { name: "OldName", type: "int64", versions: "0+" };
  const newName: FieldDefinition = { name: "NewName", type: "int64", versions: "0+" };
  const message = merged(definition("0-2", [newName]), definition("0-1", [oldName]));
  expect(fieldsOf(message)).toEqual(["newName 0-2"]);
});

test("merge: a version that only one release calls unstable is not the last stable one", () => {
  const unstable = { ...definition("0-5", [INDEX]), latestVersionUnstable: true };
  expect(merged(unstable, definition("0-4", [INDEX])).lastStableVersion).toBe(4);
});

test("merge: releases that contradict each other are refused", () => {
  const asText: FieldDefinition = { ...INDEX, type: "string" };
  const withDefault: FieldDefinition = { ...INDEX, default: "7" };
  const other: FieldDefinition = { name: "Other", type: "int8", versions: "0+" };
  const older = definition("0-1", [INDEX, other]);
  expect(() => merged(definition("1-2", [asText, other]), older)).toThrow("type or tag differs");
  expect(() => merged(definition("1-2", [withDefault, other]), older)).toThrow("default differs");
  expect(() => merged(definition("1-2", [other, INDEX]), older)).toThrow("order differs");
  expect(() => merged(definition("3-4", [INDEX]), definition("0-1", [INDEX]))).toThrow("gap");
});

test("merge: a message that no release has any more is left out", () => {
  const gone = definition("none", []);
  expect(mergeDefinitions([{ release: "2.0", definition: gone }])).toBeUndefined();
});

test("emit: a struct bears the message's name, and a field called like a variable gets another", () => {
  const entries: FieldDefinition = {
    name: "Entries",
    type: "[]Entry",
    versions: "0+",
    fields: [{ name: "Version", type: "int8", versions: "0+" }],
  };
  const source = emitMessage(merged(definition("0-2", [entries]), definition("0", [entries])));
  expect(source).toContain("export interface PingRequestEntry {");
  expect(source).toContain("const versionValue = reader.readInt8();");
  expect(source).toContain("version: versionValue");
  expect(() => new Bun.Transpiler({ loader: "ts" }).transformSync(source)).not.toThrow();
});
