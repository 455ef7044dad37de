/**
 * The bytes of a metadata entry: JSON in UTF-8, `{"version":2,"command":{"kind":…}}`. The WAL and the checkpoint
 * guard them with a checksum. A new or changed command raises the version: 2 added `logStartOffsetsSet`.
 */

import { assert } from "../core/assert.ts";
import type { MetaCommand } from "./meta-store.ts";

/** Raised with each change that an older broker could not read. */
const META_COMMAND_VERSION = 2;

/** Metadata that this broker cannot go on from: it must not start. */
export class MetaRecoveryError extends Error {
  override readonly name = "MetaRecoveryError";
}

const KINDS: Readonly<Record<MetaCommand["kind"], true>> = {
  topicCreated: true,
  partitionsAdded: true,
  topicDeleted: true,
  topicConfigsSet: true,
  offsetsCommitted: true,
  offsetsRemoved: true,
  groupStored: true,
  groupRemoved: true,
  producerIdsAllocated: true,
  logStartOffsetsSet: true,
  segmentsChanged: true,
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeMetaCommand(command: MetaCommand): Uint8Array {
  assert(Object.hasOwn(KINDS, command.kind), `unknown metadata command ${command.kind}`);
  return encoder.encode(JSON.stringify({ version: META_COMMAND_VERSION, command }));
}

/** Several at once, for the checkpoint: `{"version":2,"commands":[…]}`. */
export function encodeMetaCommands(commands: readonly MetaCommand[]): Uint8Array {
  return encoder.encode(JSON.stringify({ version: META_COMMAND_VERSION, commands }));
}

/** @throws MetaRecoveryError if a newer broker wrote it or it is not a command. */
export function decodeMetaCommand(payload: Uint8Array): MetaCommand {
  const { command } = openEnvelope(payload);
  if (!isCommand(command)) throw new MetaRecoveryError(`${WHAT} is not a command.`);
  return command;
}

/** @throws MetaRecoveryError if a newer broker wrote them or they are not commands. */
export function decodeMetaCommands(payload: Uint8Array): readonly MetaCommand[] {
  const { commands } = openEnvelope(payload);
  if (!Array.isArray(commands) || !commands.every(isCommand)) {
    throw new MetaRecoveryError(`${WHAT} is not a list of commands.`);
  }
  return commands;
}

type Envelope = Readonly<Record<string, unknown>>;

const WHAT = "A metadata entry has a valid checksum but";

function openEnvelope(payload: Uint8Array): Envelope {
  const envelope = parse(payload);
  const { version } = envelope;
  if (typeof version !== "number" || version > META_COMMAND_VERSION) {
    throw new MetaRecoveryError(
      `The metadata has version ${String(version)}, this broker reads up to ${META_COMMAND_VERSION}: a newer broker wrote it.`,
    );
  }
  return envelope;
}

function parse(payload: Uint8Array): Envelope {
  try {
    const value: unknown = JSON.parse(decoder.decode(payload));
    if (isRecord(value)) return value;
  } catch (cause) {
    throw new MetaRecoveryError(`${WHAT} is not JSON.`, { cause });
  }
  throw new MetaRecoveryError(`${WHAT} is not an object.`);
}

/** The checksum vouches for the fields: only this program wrote them. */
function isCommand(value: unknown): value is MetaCommand {
  if (!isRecord(value)) return false;
  const { kind } = value;
  return typeof kind === "string" && Object.hasOwn(KINDS, kind);
}

function isRecord(value: unknown): value is Envelope {
  return typeof value === "object" && value !== null;
}
