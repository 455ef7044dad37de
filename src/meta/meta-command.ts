/**
 * The bytes of a metadata entry: JSON in UTF-8, `{"version":1,"command":{"kind":…}}`. The WAL and the checkpoint
 * guard them with a checksum. A new or changed command raises the version.
 */

import { assert } from "../core/assert.ts";
import type { MetaCommand } from "./meta-store.ts";

/** Raised with each change that an older broker could not read. */
export const META_COMMAND_VERSION = 1;

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
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeMetaCommand(command: MetaCommand): Uint8Array {
  assert(Object.hasOwn(KINDS, command.kind), `unknown metadata command ${command.kind}`);
  return encoder.encode(JSON.stringify({ version: META_COMMAND_VERSION, command }));
}

/** @throws MetaRecoveryError if a newer broker wrote it or it is not a command. */
export function decodeMetaCommand(payload: Uint8Array): MetaCommand {
  const envelope = parse(payload);
  if (typeof envelope["version"] !== "number" || envelope["version"] > META_COMMAND_VERSION) {
    throw new MetaRecoveryError(
      `The metadata has version ${String(envelope["version"])}, this broker reads up to ${META_COMMAND_VERSION}: a newer broker wrote it.`,
    );
  }
  const command = envelope["command"];
  if (!isCommand(command)) {
    throw new MetaRecoveryError("A metadata entry has a valid checksum but is not a command.");
  }
  return command;
}

function parse(payload: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(decoder.decode(payload));
    if (isRecord(value)) return value;
  } catch (cause) {
    throw new MetaRecoveryError("A metadata entry has a valid checksum but is not JSON.", {
      cause,
    });
  }
  throw new MetaRecoveryError("A metadata entry has a valid checksum but is not an object.");
}

/** The checksum vouches for the fields: only this program wrote them. */
function isCommand(value: unknown): value is MetaCommand {
  return (
    isRecord(value) && typeof value["kind"] === "string" && Object.hasOwn(KINDS, value["kind"])
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
