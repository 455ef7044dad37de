/**
 * A proxy before a real S3 server that does to requests what networks and stores do. It speaks TCP and knows of HTTP
 * where a request begins: a client's chunk that starts with a method.
 */

import { connect, createServer, type Server, type Socket } from "node:net";

export type Fault =
  /** Connections break at once. */
  | { readonly kind: "down" }
  /** Requests are taken and never answered. */
  | { readonly kind: "hang" }
  /** `503 Slow Down`; the server hears nothing. */
  | { readonly kind: "unavailable" }
  /** The server does it, and its answer is lost. */
  | { readonly kind: "answerLost" }
  /** The answer breaks off, or stops coming, after so many bytes. */
  | { readonly kind: "answerCut" | "answerStalls"; readonly afterBytes: number }
  /** The answer comes in pieces, one a millisecond. */
  | { readonly kind: "slow"; readonly pieceBytes: number }
  /** A bit of the request's body is turned. */
  | { readonly kind: "bodyDamaged" }
  /** The server does not hear of `If-None-Match`. It must let strangers in, as the signature goes too. */
  | { readonly kind: "conditionIgnored" };

interface Injection {
  readonly fault: Fault;
  readonly on: RegExp;
  left: number;
}

const METHOD = /^(GET|HEAD|PUT|POST|DELETE) /;
const SLOW_DOWN_BODY = "<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>";
const SLOW_DOWN = [
  "HTTP/1.1 503 Slow Down",
  "content-type: application/xml",
  `content-length: ${SLOW_DOWN_BODY.length}`,
  "connection: close",
  "",
  SLOW_DOWN_BODY,
].join("\r\n");

export class FaultProxy {
  readonly port: number;
  /** First lines of the requests so far: `PUT /bucket/key?… HTTP/1.1`. */
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  #injections: Injection[] = [];

  private constructor(server: Server, port: number, targetPort: number) {
    this.#server = server;
    this.port = port;
    this.#targetPort = targetPort;
    server.on("connection", (client) => this.#accept(client));
  }

  static async start(targetPort: number): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
    return new FaultProxy(server, address.port, targetPort);
  }

  /** From now on requests whose first line matches `on` meet the fault, the next `times` of them. */
  inject(
    fault: Fault,
    {
      on = /./,
      times = Number.POSITIVE_INFINITY,
    }: { readonly on?: RegExp; readonly times?: number } = {},
  ): void {
    this.#injections.push({ fault, on, left: times });
  }

  /** All is well again, for new connections. */
  heal(): void {
    this.#injections = [];
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.#server.close();
    this.heal();
  }

  #accept(client: Socket): void {
    const server = connect({ port: this.#targetPort, host: "127.0.0.1", noDelay: true });
    let fault: Fault | undefined;
    let answeredBytes = 0;
    const trickle = new Trickle(client);
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        server.destroy();
        if (socket === client || !trickle.isRunning) client.destroy();
      });
    }
    client.on("data", (chunk: Buffer) => {
      const isHead = METHOD.test(chunk.toString("latin1", 0, 8));
      if (isHead) {
        fault = this.#faultOf(chunk);
        answeredBytes = 0;
      }
      forward({ client, server, chunk, isHead }, fault);
    });
    server.on("data", (chunk: Buffer) => {
      if (fault?.kind === "slow") trickle.add(chunk, fault.pieceBytes);
      else answer(client, { chunk, answeredBytes }, fault);
      answeredBytes += chunk.length;
    });
  }

  #faultOf(head: Buffer): Fault | undefined {
    const line = head.toString("latin1", 0, head.indexOf("\r\n"));
    this.requests.push(line);
    const injection = this.#injections.find(({ on, left }) => left > 0 && on.test(line));
    if (injection === undefined) return undefined;
    injection.left -= 1;
    return injection.fault;
  }
}

/** What reaches the server of a chunk of the client. */
function forward(
  {
    client,
    server,
    chunk,
    isHead,
  }: {
    readonly client: Socket;
    readonly server: Socket;
    readonly chunk: Buffer;
    readonly isHead: boolean;
  },
  fault: Fault | undefined,
): void {
  switch (fault?.kind) {
    case "down":
      client.destroy();
      return;
    case "hang":
      return;
    case "unavailable":
      if (isHead) client.end(SLOW_DOWN);
      return;
    case "bodyDamaged":
      server.write(isHead ? damaged(chunk, chunk.indexOf("\r\n\r\n") + 4) : damaged(chunk, 0));
      return;
    case "conditionIgnored":
      server.write(isHead ? withoutCondition(chunk) : chunk);
      return;
    default:
      server.write(chunk);
  }
}

/** What reaches the client of a chunk of the server. */
function answer(
  client: Socket,
  { chunk, answeredBytes }: { readonly chunk: Buffer; readonly answeredBytes: number },
  fault: Fault | undefined,
): void {
  switch (fault?.kind) {
    case "answerLost":
      client.destroy();
      return;
    case "answerCut":
    case "answerStalls": {
      const room = Math.max(0, fault.afterBytes - answeredBytes);
      client.write(chunk.subarray(0, room));
      if (fault.kind === "answerCut" && chunk.length > room) client.end();
      return;
    }
    default:
      client.write(chunk);
  }
}

/** A copy whose last byte differs, if there is one from `start` on. */
function damaged(chunk: Buffer, start: number): Buffer {
  if (chunk.length <= start) return chunk;
  const copy = Buffer.from(chunk);
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 1;
  return copy;
}

function withoutCondition(chunk: Buffer): Buffer {
  const end = chunk.indexOf("\r\n\r\n");
  const head = chunk.toString("latin1", 0, end).split("\r\n");
  const kept = head.filter((line) => !/^(if-none-match|authorization):/i.test(line));
  return Buffer.concat([Buffer.from(kept.join("\r\n"), "latin1"), chunk.subarray(end)]);
}

/** Pieces wait for those before them. */
class Trickle {
  readonly #client: Socket;
  readonly #pieces: Buffer[] = [];
  #isRunning = false;

  constructor(client: Socket) {
    this.#client = client;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  add(chunk: Buffer, pieceBytes: number): void {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      this.#pieces.push(chunk.subarray(start, start + pieceBytes));
    }
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      this.#client.write(piece);
      await Bun.sleep(1);
    }
    this.#isRunning = false;
  }
}
