/**
 * The headers before each request and response (KIP-482). Their form depends on API and version:
 *
 *   request   v0: key i16, version i16, correlationId i32      (only ControlledShutdown v0)
 *             v1: v0, clientId nullable string
 *             v2: v1, tagged fields                            (flexible versions)
 *   response  v0: correlationId i32
 *             v1: v0, tagged fields                            (flexible versions, but never ApiVersions)
 *
 * `clientId` keeps its two-byte length in v2, and ApiVersions answers with v0 always, so that a client
 * and a broker that do not know each other's versions still understand each other.
 */

import { API_MESSAGES, ApiKey, type ApiMessages } from "./generated/api-keys.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** What precedes a request's body. */
export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  /** -1 if the API or its version is unknown: then only key, version and correlation id are sure. */
  readonly headerVersion: number;
}

/** The only API that ever used header v0. */
const CONTROLLED_SHUTDOWN_KEY = 7;

const byKey: (ApiMessages | undefined)[] = [];
for (const api of API_MESSAGES) byKey[api.apiKey] = api;

/** Whether that version of the API uses compact lengths and tagged fields. */
function isFlexible(apiKey: number, apiVersion: number): boolean {
  const api = byKey[apiKey];
  return api !== undefined && apiVersion >= api.flexibleFrom;
}

/** The request header's version; -1 if the API or its version is unknown. */
export function requestHeaderVersion(apiKey: number, apiVersion: number): number {
  const api = byKey[apiKey];
  if (api === undefined || apiVersion < api.minVersion || apiVersion > api.maxVersion) return -1;
  if (apiVersion >= api.flexibleFrom) return 2;
  return apiKey === CONTROLLED_SHUTDOWN_KEY && apiVersion === 0 ? 0 : 1;
}

/** The response header's version. */
export function responseHeaderVersion(apiKey: number, apiVersion: number): number {
  return apiKey !== ApiKey.apiVersions && isFlexible(apiKey, apiVersion) ? 1 : 0;
}

/**
 * Reads the header and leaves `reader` at the body; with an unknown API or version, after the
 * correlation id. @throws KafkaError INVALID_REQUEST if it is cut short.
 */
export function readRequestHeader(reader: Reader): RequestHeader {
  const apiKey = reader.readInt16();
  const apiVersion = reader.readInt16();
  const correlationId = reader.readInt32();
  const headerVersion = requestHeaderVersion(apiKey, apiVersion);
  const clientId = headerVersion >= 1 ? reader.readNullableString() : null;
  if (headerVersion >= 2) skipTaggedFields(reader);
  return { apiKey, apiVersion, correlationId, clientId, headerVersion };
}

/** Writes a request's header, as a client does. */
export function writeRequestHeader(
  writer: Writer,
  header: Omit<RequestHeader, "headerVersion">,
): void {
  const headerVersion = requestHeaderVersion(header.apiKey, header.apiVersion);
  writer.writeInt16(header.apiKey);
  writer.writeInt16(header.apiVersion);
  writer.writeInt32(header.correlationId);
  if (headerVersion !== 0) writer.writeNullableString(header.clientId);
  if (headerVersion === 2) writer.writeUnsignedVarint(0);
}

/** Writes the header of the answer to a request of that API and version. */
export function writeResponseHeader(
  writer: Writer,
  apiKey: number,
  apiVersion: number,
  correlationId: number,
): void {
  writer.writeInt32(correlationId);
  if (responseHeaderVersion(apiKey, apiVersion) === 1) writer.writeUnsignedVarint(0);
}

/** Reads an answer's header, as a client does. @returns the correlation id. */
export function readResponseHeader(reader: Reader, apiKey: number, apiVersion: number): number {
  const correlationId = reader.readInt32();
  if (responseHeaderVersion(apiKey, apiVersion) === 1) skipTaggedFields(reader);
  return correlationId;
}

function skipTaggedFields(reader: Reader): void {
  for (let left = reader.readTaggedFieldCount(); left > 0; left -= 1) {
    reader.readUnsignedVarint();
    reader.position = reader.readTaggedFieldEnd();
  }
}
