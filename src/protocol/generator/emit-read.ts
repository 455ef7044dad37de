/** Writes the source text of a struct's read function. */

import { type VersionRange, versionsIn } from "./definition.ts";
import type { Field, FieldType, Message, PrimitiveName } from "./model.ts";
import {
  defaultText,
  flexibleArgument,
  flexibleLine,
  hasTaggedFields,
  indented,
  liveRange,
  localName,
  plainTypeText,
  type StructContext,
  structOf,
  taggedFields,
  typeText,
  under,
  versionParameter,
  versionTest,
} from "./source-text.ts";

const READ_CALL: Readonly<Record<Exclude<PrimitiveName, "string" | "bytes" | "records">, string>> =
  {
    bool: "readBoolean",
    int8: "readInt8",
    int16: "readInt16",
    uint16: "readUint16",
    int32: "readInt32",
    uint32: "readUint32",
    int64: "readInt64",
    float64: "readFloat64",
    uuid: "readUuid",
  };

const FIXED_BYTES: Readonly<Record<PrimitiveName, number>> = {
  bool: 1,
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  float64: 8,
  uuid: 16,
  string: 0,
  bytes: 0,
  records: 0,
};

/** The function that reads `struct`; exported for the message itself. */
export function emitRead(context: StructContext): string[] {
  const { message, struct } = context;
  const isTop = struct.name === message.name;
  const body = struct.fields.flatMap((field) => {
    if (field.tagged !== undefined) return [declaration(message, field)];
    return readField(context, field);
  });
  if (hasTaggedFields(context)) body.push(...readTaggedFields(context));
  body.push(...returnLines(context));
  const lines = [...flexibleLine(context, body), ...body];
  const parameter = versionParameter(lines);
  const head = isTop
    ? [
        `/** @throws KafkaError INVALID_REQUEST if the bytes are none, UNSUPPORTED_VERSION. */`,
        `export function read${struct.name}(reader: Reader, version: number): ${struct.name} {`,
        `  if (!(version >= ${message.versions.lowest} && version <= ${message.versions.highest})) {`,
        `    refuseVersion("${message.name}", version);`,
        "  }",
      ]
    : [`function read${struct.name}(reader: Reader, ${parameter}: number): ${struct.name} {`];
  return [...head, ...indented(lines), "}", ""];
}

function declaration(message: Message, field: Field): string {
  return `let ${localName(field)}: ${typeText(field, "read")} = ${defaultText(message, field)};`;
}

function readField(context: StructContext, field: Field): string[] {
  const presence = versionTest(field.versions, context.struct.versions);
  const isArray = field.type.kind === "array";
  if (!isArray) {
    const value = valueText(context, field);
    if (presence === true) return [`const ${localName(field)} = ${value};`];
    const absent = defaultText(context.message, field);
    const type = typeText(field, "read");
    const line = `const ${localName(field)}: ${type} = ${presence} ? ${value} : ${absent};`;
    if (line.length <= 98 && !value.includes("?")) return [line];
    return [
      declaration(context.message, field),
      ...under(presence, [`${localName(field)} = ${value};`]),
    ];
  }
  if (presence === true && field.nullable === undefined) {
    const element = plainTypeText(elementOf(field.type), "read");
    return [
      `const ${localName(field)}: ${element}[] = [];`,
      ...readElements(context, field, localName(field)),
    ];
  }
  return [declaration(context.message, field), ...under(presence, assignArray(context, field))];
}

/** Lines that give the field, declared before, the array that comes next. */
function assignArray(context: StructContext, field: Field): string[] {
  const element = plainTypeText(elementOf(field.type), "read");
  const list = `${field.name}Read`;
  if (field.nullable === undefined) {
    return [
      `const ${list}: ${element}[] = [];`,
      ...readElements(context, field, list),
      `${localName(field)} = ${list};`,
    ];
  }
  const count = `${field.name}Count`;
  return [
    `let ${count} = ${lengthText(context, field)};`,
    `if (${count} < 0) {`,
    `  ${localName(field)} = null;`,
    "} else {",
    `  const ${list}: ${element}[] = [];`,
    `  for (; ${count} > 0; ${count} -= 1) {`,
    `    ${list}.push(${elementText(context, field)});`,
    "  }",
    `  ${localName(field)} = ${list};`,
    "}",
  ];
}

function readElements(context: StructContext, field: Field, list: string): string[] {
  return [
    `for (let count = ${lengthText(context, field)}; count > 0; count -= 1) {`,
    `  ${list}.push(${elementText(context, field)});`,
    "}",
  ];
}

/** The call that reads an array's length; nullable where its version says so. */
function lengthText(context: StructContext, field: Field): string {
  const { message } = context;
  const bytesMin = elementBytesMin(message, liveRange(context, field), elementOf(field.type));
  const rest = `(${flexibleArgument(context, field)}, ${bytesMin})`;
  const nullable = versionTest(field.nullable, liveRange(context, field));
  if (nullable === true) return `reader.readNullableArrayLength${rest}`;
  if (nullable === false) return `reader.readArrayLength${rest}`;
  return `${nullable} ? reader.readNullableArrayLength${rest} : reader.readArrayLength${rest}`;
}

function elementText(context: StructContext, field: Field): string {
  const element = elementOf(field.type);
  if (element.kind === "struct") return `read${element.name}(reader, version)`;
  if (element.kind === "array") throw new Error(`${field.name}: arrays of arrays are unknown`);
  const flexible = flexibleArgument(context, field);
  if (element.name === "string") return `reader.readString(${flexible})`;
  if (element.name === "bytes" || element.name === "records")
    return `reader.readBytes(${flexible})`;
  return `reader.${READ_CALL[element.name]}()`;
}

/** The expression that reads a field that is no array. */
function valueText(context: StructContext, field: Field): string {
  const { type } = field;
  const nullable = versionTest(field.nullable, liveRange(context, field));
  if (type.kind === "array") throw new Error("an array is read by a loop");
  if (type.kind === "struct") {
    const value = `read${type.name}(reader, version)`;
    if (nullable === false) return value;
    const test = nullable === true ? "" : `!(${nullable}) || `;
    return `${test}reader.readPresence() ? ${value} : null`;
  }
  const kind = { string: "String", bytes: "Bytes", records: "Bytes" }[type.name as "string"];
  if (kind === undefined) return `reader.${plainReadCall(field, type.name)}()`;
  const flexible = flexibleArgument(context, field);
  const nullableCall = `reader.readNullable${kind}(${flexible})`;
  const plainCall = `reader.read${kind}(${flexible})`;
  if (nullable === true) return nullableCall;
  return nullable === false ? plainCall : `${nullable} ? ${nullableCall} : ${plainCall}`;
}

function plainReadCall(field: Field, name: PrimitiveName): string {
  if (isInt64OrMax(field)) return "readInt64OrMax";
  if (name === "string" || name === "bytes" || name === "records") throw new Error(name);
  return READ_CALL[name];
}

/** Whether the field's default is 2^63-1, which a number cannot hold. */
export function isInt64OrMax(field: Field): boolean {
  return field.default.kind === "literal" && field.default.text === "2 ** 63";
}

function readTaggedFields(context: StructContext): string[] {
  const { message, struct } = context;
  const known = taggedFields(struct);
  const unknown =
    "unknownTaggedFields = reader.readUnknownTaggedField(tag, end, unknownTaggedFields);";
  const cases = known.flatMap((field) => {
    const assign =
      field.type.kind === "array"
        ? assignArray(context, field)
        : [`${localName(field)} = ${valueText(context, field)};`];
    const lines = [...assign, "reader.endTaggedField(end);"];
    const test = versionTest(field.versions, struct.versions);
    const block = test === true ? lines : blockOf(String(test), lines, unknown);
    return [`case ${field.tag}: {`, ...indented(block), "  break;", "}"];
  });
  const dispatch =
    known.length === 0
      ? [unknown]
      : ["switch (tag) {", ...indented([...cases, "default:", `  ${unknown}`]), "}"];
  const loop = [
    "for (let left = reader.readTaggedFieldCount(); left > 0; left -= 1) {",
    "  const tag = reader.readUnsignedVarint();",
    "  const end = reader.readTaggedFieldEnd();",
    ...indented(dispatch),
    "}",
  ];
  const test = versionTest(message.flexible, struct.versions);
  return [
    "let unknownTaggedFields: UnknownTaggedField[] | undefined;",
    ...under(test === true ? true : "flexible", loop),
  ];
}

function blockOf(test: string, lines: readonly string[], otherwise: string): string[] {
  return [`if (${test}) {`, ...indented(lines), "} else {", `  ${otherwise}`, "}"];
}

function returnLines(context: StructContext): string[] {
  const names = context.struct.fields.map((field) => {
    const local = localName(field);
    return local === field.name ? local : `${field.name}: ${local}`;
  });
  if (hasTaggedFields(context)) names.push("unknownTaggedFields");
  const line = `return { ${names.join(", ")} };`;
  if (line.length <= 98) return [line];
  return ["return {", ...names.map((name) => `  ${name},`), "};"];
}

/** What an array's elements are. */
export function elementOf(type: FieldType): FieldType {
  if (type.kind !== "array") throw new Error("not an array");
  return type.element;
}

/** The fewest bytes that one element of an array takes, over all versions in `live`. */
function elementBytesMin(message: Message, live: VersionRange, type: FieldType): number {
  const sizes = versionsIn(live).map((version) => bytesMin(message, type, version));
  return Math.max(1, Math.min(...sizes));
}

function bytesMin(message: Message, type: FieldType, version: number): number {
  const isFlexible = versionTest(message.flexible, { lowest: version, highest: version }) === true;
  if (type.kind === "array") return isFlexible ? 1 : 4;
  if (type.kind === "struct") return structBytesMin(message, type.name, version, isFlexible);
  if (type.name === "string") return isFlexible ? 1 : 2;
  return FIXED_BYTES[type.name] === 0 ? (isFlexible ? 1 : 4) : FIXED_BYTES[type.name];
}

function structBytesMin(
  message: Message,
  name: string,
  version: number,
  isFlexible: boolean,
): number {
  let total = isFlexible ? 1 : 0;
  const live = { lowest: version, highest: version };
  for (const field of structOf(message, name).fields) {
    if (field.tagged !== undefined || versionTest(field.versions, live) === false) continue;
    const isNullableStruct = field.type.kind === "struct" && field.nullable !== undefined;
    total += isNullableStruct ? 1 : bytesMin(message, field.type, version);
  }
  return total;
}
