/**
 * A TCP proxy before a broker that can lose answers: requests still reach the broker and take effect, what it says
 * is thrown away, then the connections break. That is the fault which idempotent producers are for.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

const LOSS_MS = 150;

export class LossyProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #connections: Set<readonly [Socket, Socket]>;
  readonly #state: { isLosing: boolean };

  /** Listens at once; the broker may start later. @param targetPort asked at each connection */
  static async start(targetPort: () => number): Promise<LossyProxy> {
    const connections = new Set<readonly [Socket, Socket]>();
    const state = { isLosing: false };
    const server = createServer({ noDelay: true }, (client) => {
      const broker = connect({ port: targetPort(), host: "127.0.0.1", noDelay: true });
      const pair = [client, broker] as const;
      connections.add(pair);
      client.pipe(broker);
      broker.on("data", (chunk) => {
        if (state.isLosing) return;
        if (!client.write(chunk)) broker.pause();
      });
      client.on("drain", () => broker.resume());
      for (const socket of pair) {
        socket.on("error", () => undefined);
        socket.on("close", () => {
          for (const each of pair) each.destroy();
          connections.delete(pair);
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
    return new LossyProxy({ port: address.port, server, connections, state });
  }

  private constructor(parts: {
    port: number;
    server: Server;
    connections: Set<readonly [Socket, Socket]>;
    state: { isLosing: boolean };
  }) {
    this.port = parts.port;
    this.#server = parts.server;
    this.#connections = parts.connections;
    this.#state = parts.state;
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Throws away the broker's answers for a moment, then breaks every connection. */
  async loseAnswers(): Promise<void> {
    this.#state.isLosing = true;
    await Bun.sleep(LOSS_MS);
    for (const [client] of this.#connections) client.destroy();
    this.#state.isLosing = false;
  }

  stop(): void {
    this.#server.close();
    for (const [client] of this.#connections) client.destroy();
  }
}
