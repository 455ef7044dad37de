/** Calls API handlers as a connection does: through the bytes of one version, there and back. */

import type { ClientConnection, Handler, RequestContext } from "../../../src/api/handler.ts";
import { Reader } from "../../../src/protocol/reader.ts";
import { Writer } from "../../../src/protocol/writer.ts";

export type Write<Message> = (writer: Writer, message: Message, version: number) => void;
export type Read<Message> = (reader: Reader, version: number) => Message;

/** A client's side of an API. */
export interface ClientCodec<Input, Answer> {
  readonly write: Write<Input>;
  readonly read: Read<Answer>;
}

export function contextOf(apiVersion: number, apiKey = 0): RequestContext {
  const connection: ClientConnection = {
    id: 1,
    remoteAddress: "127.0.0.1",
    localAddress: "127.0.0.1",
    localPort: 9092,
    onClose: () => () => {},
  };
  return { connection, apiKey, apiVersion, correlationId: 1, clientId: "c" };
}

/** The answer as the client reads it. */
export async function call<Request, Response, Input, Answer>(
  handler: Handler<Request, Response>,
  codec: ClientCodec<Input, Answer>,
  asked: { readonly version: number; readonly request: Input },
): Promise<Answer> {
  const { version, request } = asked;
  const writer = new Writer();
  codec.write(writer, request, version);
  const read = handler.readRequest(new Reader(writer.bytesWritten().slice()), version);
  const response = await handler.handle(contextOf(version, handler.apiKey), read);
  return codec.read(new Reader(answerBytes(handler, response as Response, version)), version);
}

/** The answer to a request that failed as a whole. */
export function callFailed<Request, Response, Input, Answer>(
  handler: Handler<Request, Response>,
  codec: ClientCodec<Input, Answer>,
  asked: { readonly version: number; readonly request: Input; readonly errorCode: number },
): Answer {
  const { version, request, errorCode } = asked;
  const writer = new Writer();
  codec.write(writer, request, version);
  const read = handler.readRequest(new Reader(writer.bytesWritten().slice()), version);
  const response = handler.errorResponse?.(read, errorCode, version);
  if (response === undefined) throw new Error("there is no answer for a failed request");
  return codec.read(new Reader(answerBytes(handler, response, version)), version);
}

/** Every version that a handler serves. */
export function versionsOf({
  minVersion,
  maxVersion,
}: {
  readonly minVersion: number;
  readonly maxVersion: number;
}): number[] {
  return Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => minVersion + index);
}

function answerBytes<Request, Response>(
  handler: Handler<Request, Response>,
  response: Response,
  version: number,
): Uint8Array {
  const writer = new Writer();
  handler.writeResponse(writer, response, version);
  return writer.bytesWritten().slice();
}
