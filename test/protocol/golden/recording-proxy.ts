/** A TCP proxy that keeps every request with its response, as frames without their length. */
import { connect, createServer, type Server } from "node:net";

/** A request and what the broker answered. */
export interface Exchange {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
}

const LENGTH_BYTES = 4;
const CORRELATION_ID_POSITION = 4;

export class RecordingProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #exchanges: Exchange[];

  /** Listens at once; the broker may start later. @param targetPort asked at each connection */
  static async start(targetPort: () => number): Promise<RecordingProxy> {
    const exchanges: Exchange[] = [];
    const server = createServer({ noDelay: true }, (client) => {
      const broker = connect({ port: targetPort(), host: "127.0.0.1", noDelay: true });
      const waiting = new Map<number, Uint8Array>();
      const requests = new FrameCutter((frame) => {
        waiting.set(Buffer.from(frame).readInt32BE(CORRELATION_ID_POSITION), frame);
      });
      const responses = new FrameCutter((frame) => {
        const request = waiting.get(Buffer.from(frame).readInt32BE(0));
        if (request !== undefined) exchanges.push({ request, response: frame });
      });
      client.on("data", (chunk: Buffer) => requests.add(chunk));
      broker.on("data", (chunk: Buffer) => responses.add(chunk));
      client.pipe(broker);
      broker.pipe(client);
      for (const socket of [client, broker]) {
        socket.on("error", () => undefined);
        socket.on("close", () => {
          client.destroy();
          broker.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
    return new RecordingProxy(address.port, server, exchanges);
  }

  private constructor(port: number, server: Server, exchanges: Exchange[]) {
    this.port = port;
    this.#server = server;
    this.#exchanges = exchanges;
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** What was recorded since the last call. */
  take(): Exchange[] {
    return this.#exchanges.splice(0);
  }

  stop(): void {
    this.#server.close();
  }
}

/** Cuts a stream into frames. */
class FrameCutter {
  readonly #onFrame: (frame: Uint8Array) => void;
  #pending = Buffer.alloc(0);

  constructor(onFrame: (frame: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  add(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + this.#pending.readInt32BE(0);
      if (this.#pending.length < end) return;
      this.#onFrame(Uint8Array.from(this.#pending.subarray(LENGTH_BYTES, end)));
      this.#pending = this.#pending.subarray(end);
    }
  }
}
