/** Listens for Kafka clients: accepts, counts and limits connections, and closes idle ones. */

import type { Socket, TCPSocketListener } from "bun";
import type { Clock } from "../core/clock.ts";
import { listenFailureOf } from "../core/listen-failure.ts";
import type { Logger } from "../core/logger.ts";
import { type ByteSocket, Connection, type ConnectionShared } from "./connection.ts";

/** How often idle connections are looked for. */
const IDLE_SWEEP_MS = 5000;
/** When memory is short, a client that has taken nothing for so long loses what waits for it. */
const STALLED_MS = 10_000;

export interface ListenerOptions {
  readonly hostname: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly connectionsMax: number;
  readonly connectionsMaxIdleMs: number;
  readonly shared: ConnectionShared;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Unsent answers take too much memory. */
  isMemoryShort(): boolean;
  onAccepted(): void;
  /** Told how many connections are open, as they come and go. */
  onCountChange(count: number): void;
  onRejected(): void;
}

/** The owner of all connections. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #connections = new Set<Connection>();
  readonly #server: TCPSocketListener<Connection | undefined>;
  #nextConnectionId = 1;
  #isDraining = false;
  #cancelSweep = (): void => {};

  /** Listens at once. @throws Error with a sentence that says why it cannot */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = this.#listen();
    this.#scheduleSweep();
  }

  get port(): number {
    return this.#server.port;
  }

  /** Takes no new connections, and starts no further requests; those that run are answered. */
  drain(): void {
    this.#isDraining = true;
    this.#server.stop(false);
    for (const connection of this.#connections) connection.drain();
  }

  /** Whether some request is still to be answered. */
  get hasRequests(): boolean {
    for (const connection of this.#connections) if (connection.hasRequests) return true;
    return false;
  }

  /** Closes every connection. */
  closeAll(): void {
    this.#cancelSweep();
    for (const connection of [...this.#connections]) connection.close("The broker stops.");
    this.#server.stop(true);
  }

  #listen(): TCPSocketListener<Connection | undefined> {
    const { hostname, port } = this.#options;
    try {
      return Bun.listen<Connection | undefined>({
        hostname,
        port,
        socket: {
          binaryType: "uint8array",
          open: (socket) => this.#onOpen(socket),
          data: (socket, chunk) => socket.data?.onData(chunk),
          drain: (socket) => socket.data?.onDrain(),
          close: (socket) => this.#onClose(socket),
          error: (socket, error) => this.#onError(socket, error),
        },
      });
    } catch (thrown) {
      throw listenFailureOf(thrown, hostname, port);
    }
  }

  #onOpen(socket: Socket<Connection | undefined>): void {
    const { connectionsMax, shared } = this.#options;
    if (this.#isDraining || this.#connections.size >= connectionsMax) {
      this.#options.onRejected();
      socket.terminate();
      return;
    }
    socket.setNoDelay(true);
    const byteSocket: ByteSocket = {
      write: (bytes) => socket.write(bytes),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      shutdown: () => void socket.shutdown(),
      terminate: () => socket.terminate(),
    };
    const ends = {
      id: this.#nextConnectionId,
      remoteAddress: plainAddressOf(socket.remoteAddress),
      localAddress: plainAddressOf(socket.localAddress),
      localPort: socket.localPort,
    };
    this.#nextConnectionId += 1;
    const connection = new Connection(byteSocket, ends, shared);
    socket.data = connection;
    this.#connections.add(connection);
    this.#options.onAccepted();
    this.#options.onCountChange(this.#connections.size);
  }

  /** The socket failed, or a handler above threw; no close follows by itself. */
  #onError(socket: Socket<Connection | undefined>, error: Error): void {
    if (socket.data === undefined) socket.terminate();
    else socket.data.close(error.message);
  }

  #onClose(socket: Socket<Connection | undefined>): void {
    const connection = socket.data;
    if (connection === undefined) return;
    this.#connections.delete(connection);
    connection.onClosed();
    this.#options.onCountChange(this.#connections.size);
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#options.clock.after(IDLE_SWEEP_MS, () => {
      const nowMs = this.#options.clock.monotonicMs();
      const isMemoryShort = this.#options.isMemoryShort();
      for (const connection of [...this.#connections]) {
        const silentMs = nowMs - connection.lastActiveMs;
        if (silentMs > this.#options.connectionsMaxIdleMs) {
          connection.close("The connection was idle.");
        } else if (isMemoryShort && connection.hasUnsent && silentMs > STALLED_MS) {
          connection.close("The client does not read, and memory is short.");
        }
      }
      this.#scheduleSweep();
    });
  }
}

/** An IPv4 address that a socket for both families shows as `::ffff:127.0.0.1` is told as IPv4. */
function plainAddressOf(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "");
}
