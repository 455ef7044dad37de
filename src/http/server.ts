/**
 * The HTTP port. Compose it with the owners it shows:
 *
 *   const http = await startHttpServer({ hostname, port, search, metrics, isReady, logger, clock, version,
 *     connectionsMax, bodyBytesLimit, searchConcurrencyMax });
 *   http.port; await http.stop();
 */

import type { CancelTimer } from "../core/clock.ts";
import { HttpConnection } from "./connection.ts";
import { createRoutes, type RouteOptions, responseOfFault } from "./routes.ts";

export interface HttpServerOptions extends RouteOptions {
  readonly hostname: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** More are closed at once. */
  readonly connectionsMax: number;
  /** A larger body is answered with 413. */
  readonly bodyBytesLimit: number;
}

export interface HttpServer {
  readonly port: number;
  /** Stops listening, lets running requests be answered for a moment, and closes what is left. */
  stop(): Promise<void>;
}

/** How often slow clients are looked for while there are connections. */
const SWEEP_MS = 1_000;
const STOP_MS_MAX = 2_000;
const STOP_POLL_MS = 10;

/** Listens. @throws what `Bun.listen` throws when the address is taken or not allowed. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { clock } = options;
  const connections = new Set<HttpConnection>();
  const connectionOptions = {
    clock,
    bodyBytesLimit: options.bodyBytesLimit,
    handle: createRoutes(options),
    handleFault: responseOfFault,
  };
  let cancelSweep: CancelTimer | undefined;
  const sweep = (): void => {
    cancelSweep = undefined;
    const nowMs = clock.monotonicMs();
    for (const connection of connections) connection.closeIfOverdue(nowMs);
    if (connections.size > 0) cancelSweep = clock.after(SWEEP_MS, sweep);
  };
  const listener = Bun.listen<HttpConnection | undefined>({
    hostname: options.hostname,
    port: options.port,
    allowHalfOpen: true,
    data: undefined,
    socket: {
      open: (socket) => {
        if (connections.size >= options.connectionsMax) {
          socket.terminate();
          return;
        }
        const connection = new HttpConnection(socket, connectionOptions);
        socket.data = connection;
        connections.add(connection);
        cancelSweep ??= clock.after(SWEEP_MS, sweep);
      },
      data: (socket, chunk) => socket.data?.onData(chunk),
      drain: (socket) => socket.data?.onDrain(),
      end: (socket) => socket.data?.onEnd(),
      error: (socket, error) => {
        options.logger.warn("http_connection_failed", { reason: error.message });
        socket.data?.close();
      },
      close: (socket) => {
        if (socket.data === undefined) return;
        socket.data.onClose();
        connections.delete(socket.data);
      },
    },
  });
  const stop = async (): Promise<void> => {
    listener.stop();
    for (const connection of connections) connection.stop();
    const deadlineMs = clock.monotonicMs() + STOP_MS_MAX;
    while (connections.size > 0 && clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => clock.after(STOP_POLL_MS, resolve));
    }
    cancelSweep?.();
    for (const connection of connections) connection.close();
  };
  return { port: listener.port, stop };
}
