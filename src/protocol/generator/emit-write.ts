/** Writes the source text of a struct's write function, and of its test for defaults. */

import { elementOf, isInt64OrMax } from "./emit-read.ts";
import type { Field, FieldType, Message, PrimitiveName } from "./model.ts";
import {
  defaultText,
  flexibleArgument,
  flexibleLine,
  hasTaggedFields,
  indented,
  isOptional,
  liveRange,
  localName,
  type StructContext,
  taggedFields,
  under,
  versionParameter,
  versionTest,
} from "./source-text.ts";

const WRITE_CALL: Readonly<Record<PrimitiveName, string>> = {
  bool: "writeBoolean",
  int8: "writeInt8",
  int16: "writeInt16",
  uint16: "writeUint16",
  int32: "writeInt32",
  uint32: "writeUint32",
  int64: "writeInt64",
  float64: "writeFloat64",
  uuid: "writeUuid",
  string: "writeString",
  bytes: "writeBytes",
  records: "writeRecords",
};

/** The function that writes `struct`; exported for the message itself. */
export function emitWrite(context: StructContext): string[] {
  const { message, struct } = context;
  const isTop = struct.name === message.name;
  const body = struct.fields.flatMap((field) => {
    const lines = isOptional(context, field) ? [localLine(context, field)] : [];
    if (field.tagged === undefined) lines.push(...writePresent(context, field));
    return [...lines, ...refuseAbsent(context, field)];
  });
  if (hasTaggedFields(context)) body.push(...writeTaggedFields(context));
  const lines = [...flexibleLine(context, body), ...body];
  const signature = [
    `${isTop ? "export " : ""}function write${struct.name}(`,
    "  writer: Writer,",
    `  message: ${struct.name}Input,`,
    `  ${isTop ? "version" : versionParameter(lines)}: number,`,
    "): void {",
  ];
  const head = isTop
    ? [
        "/** @throws KafkaError UNSUPPORTED_VERSION, also for a field that the version cannot carry. */",
        ...signature,
        `  if (!(version >= ${message.versions.lowest} && version <= ${message.versions.highest})) {`,
        `    refuseVersion("${message.name}", version);`,
        "  }",
      ]
    : signature;
  return [...head, ...indented(lines), "}", ""];
}

/** The variable that holds an optional field's value or its default. */
function localLine(context: StructContext, field: Field): string {
  const absent = defaultText(context.message, field);
  const given = `message.${field.name}`;
  if (field.nullable === undefined || absent === "null") {
    return `const ${localName(field)} = ${given} ?? ${absent};`;
  }
  return `const ${localName(field)} = ${given} === undefined ? ${absent} : ${given};`;
}

/** The expression that holds the field's value in the write function. */
function valueText(context: StructContext, field: Field): string {
  return isOptional(context, field) ? localName(field) : `message.${field.name}`;
}

function writePresent(context: StructContext, field: Field): string[] {
  const presence = versionTest(field.versions, context.struct.versions);
  const lines = writeValue(context, field);
  return under(presence, lines);
}

/** Lines for the versions that do not have the field: a value of its own is refused. */
function refuseAbsent(context: StructContext, field: Field): string[] {
  const { message, struct } = context;
  const presence = versionTest(field.versions, struct.versions);
  if (presence === true || field.isIgnorable) return [];
  const test = `!(${presence}) && ${differs(message, field, valueText(context, field))}`;
  return [`if (${test}) {`, `  refuseField("${struct.name}.${field.name}", version);`, "}"];
}

/** The test that `value` is not the field's default. */
function differs(message: Message, field: Field, value: string): string {
  const absent = defaultText(message, field);
  if (absent === "null") return `${value} !== null`;
  const isNullable = field.nullable !== undefined;
  if (field.type.kind === "struct") return `!isDefault${field.type.name}(${value})`;
  if (field.default.kind !== "literal") {
    return isNullable ? `(${value} === null || ${value}.length > 0)` : `${value}.length > 0`;
  }
  if (absent === "false") return value;
  return absent === "true" ? `!${value}` : `${value} !== ${absent}`;
}

/** The opposite of `differs`. */
function isSame(message: Message, field: Field, value: string): string {
  const test = differs(message, field, value);
  const comparison = /^(\w[\w.]*) !== (.+)$/.exec(test);
  if (comparison !== null) return `${comparison[1]} === ${comparison[2]}`;
  return test.startsWith("!") ? test.slice(1) : `!(${test})`;
}

/** Lines that write a field that is in the version. */
function writeValue(context: StructContext, field: Field): string[] {
  const value = valueText(context, field);
  const flexible = flexibleArgument(context, field);
  const nullable = versionTest(field.nullable, liveRange(context, field));
  const isNull = `${value} === null`;
  if (field.type.kind === "primitive") return writePrimitive(context, field, value);
  const present =
    field.type.kind === "struct"
      ? [`write${field.type.name}(writer, ${value}, version);`]
      : writeArray(context, field, value);
  if (nullable === false && field.nullable === undefined) return present;
  const isStruct = field.type.kind === "struct";
  const none = isStruct
    ? "writer.writePresence(false);"
    : `writer.writeArrayLength(-1, ${flexible});`;
  const marker = isStruct ? under(nullable, ["writer.writePresence(true);"]) : [];
  const refusal = `refuseNull("${context.struct.name}.${field.name}", version);`;
  const refused = typeof nullable === "boolean" ? [] : [`if (!(${nullable})) ${refusal}`];
  return [
    `if (${isNull}) {`,
    ...indented(nullable === false ? [refusal] : [...refused, none]),
    "} else {",
    ...indented([...marker, ...present]),
    "}",
  ];
}

function writePrimitive(context: StructContext, field: Field, value: string): string[] {
  const { type } = field;
  if (type.kind !== "primitive") throw new Error(`${field.name} is no primitive`);
  if (!["string", "bytes", "records"].includes(type.name)) {
    const call = isInt64OrMax(field) ? "writeInt64OrMax" : WRITE_CALL[type.name];
    return [`writer.${call}(${value});`];
  }
  const flexible = flexibleArgument(context, field);
  const nullable = versionTest(field.nullable, liveRange(context, field));
  const call = WRITE_CALL[type.name];
  const nullableLine = `writer.${call.replace("write", "writeNullable")}(${value}, ${flexible});`;
  if (nullable === true) return [nullableLine];
  if (field.nullable === undefined) return [`writer.${call}(${value}, ${flexible});`];
  const refusal = `refuseNull("${context.struct.name}.${field.name}", version)`;
  const isRefused = nullable === false ? "" : `!(${nullable}) && `;
  return [`if (${isRefused}${value} === null) ${refusal};`, nullableLine];
}

function writeArray(context: StructContext, field: Field, value: string): string[] {
  const flexible = flexibleArgument(context, field);
  return [
    `writer.writeArrayLength(${value}.length, ${flexible});`,
    `for (const element of ${value}) ${elementCall(elementOf(field.type), flexible)};`,
  ];
}

function elementCall(type: FieldType, flexible: string): string {
  if (type.kind === "struct") return `write${type.name}(writer, element, version)`;
  if (type.kind === "array") throw new Error("arrays of arrays are unknown");
  const hasLength = ["string", "bytes", "records"].includes(type.name);
  return `writer.${WRITE_CALL[type.name]}(element${hasLength ? `, ${flexible}` : ""})`;
}

function writeTaggedFields(context: StructContext): string[] {
  const { message, struct } = context;
  const lines: string[] = [];
  const tests = taggedFields(struct).map((field) => {
    const presence = versionTest(field.versions, struct.versions);
    const isGiven = differs(message, field, valueText(context, field));
    return { field, test: presence === true ? isGiven : `${presence} && ${isGiven}` };
  });
  if (tests.length === 0) {
    lines.push("writer.writeUnsignedVarint(message.unknownTaggedFields?.length ?? 0);");
  } else {
    lines.push("let taggedFieldCount = message.unknownTaggedFields?.length ?? 0;");
    for (const { test } of tests) lines.push(`if (${test}) taggedFieldCount += 1;`);
    lines.push("writer.writeUnsignedVarint(taggedFieldCount);");
  }
  for (const { field, test } of tests) {
    lines.push(
      `if (${test}) {`,
      `  const start = writer.beginTaggedField(${field.tag});`,
      ...indented(writeValue(context, field)),
      "  writer.endTaggedField(start);",
      "}",
    );
  }
  lines.push("writer.writeUnknownTaggedFields(message.unknownTaggedFields);");
  return under(versionTest(message.flexible, struct.versions) === true ? true : "flexible", lines);
}

/** The names of structs whose default some field must be compared with. */
export function comparedStructs(message: Message): Set<string> {
  const names = new Set<string>();
  const add = (name: string): void => {
    if (names.has(name)) return;
    names.add(name);
    const struct = message.structs.find((candidate) => candidate.name === name);
    for (const field of struct?.fields ?? []) {
      if (field.default.kind === "struct") add(field.default.name);
    }
  };
  for (const struct of message.structs) {
    for (const field of struct.fields) {
      const isPartial = versionTest(field.versions, struct.versions) !== true;
      const isCompared = field.tagged !== undefined || (isPartial && !field.isIgnorable);
      if (field.default.kind === "struct" && isCompared) add(field.default.name);
    }
  }
  return names;
}

/** The function that tells whether a struct given for writing is the default one. */
export function emitIsDefault(context: StructContext): string[] {
  const { message, struct } = context;
  const locals: string[] = [];
  const tests: string[] = [];
  for (const field of struct.fields) {
    if (isOptional(context, field)) locals.push(localLine(context, field));
    tests.push(isSame(message, field, valueText(context, field)));
  }
  if (hasTaggedFields(context)) tests.push("(message.unknownTaggedFields?.length ?? 0) === 0");
  return [
    `function isDefault${struct.name}(message: ${struct.name}Input): boolean {`,
    ...indented(locals),
    "  return (",
    ...indented(indented(tests.map((test, index) => (index === 0 ? test : `&& ${test}`)))),
    "  );",
    "}",
    "",
  ];
}
