/**
 * One client's connection: frames in, responses out in the order of their requests.
 *
 * - A request starts when the one before it has taken effect; responses that are ready leave in one
 *   write per wake-up.
 * - A client that reads slowly is not read from: while bytes wait for the socket, nothing starts.
 * - Memory is bounded by what has arrived (`IntakeBudget`) and by `inFlightRequestsMax`.
 * - After a request that cannot be served nothing more is understood, but what was asked before it is
 *   answered; then the connection ends.
 * - Nothing that arrives makes a method here throw: it would end more than this connection.
 */

import type { Dispatcher, ResponseWriter } from "../api/dispatcher.ts";
import type { ClientConnection } from "../api/handler.ts";
import type { BufferPool } from "../core/buffer-pool.ts";
import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { Writer } from "../protocol/writer.ts";
import { FrameBuffer } from "./frame-buffer.ts";
import type { IntakeBudget, IntakeWaiter } from "./intake-budget.ts";

/** What a connection needs of a socket. */
export interface ByteSocket {
  /** @returns how many bytes were taken: 0 when full, -1 when closed. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Tells the client that nothing more comes, after what was written. */
  shutdown(): void;
  terminate(): void;
}

/** What all connections of a listener share. */
export interface ConnectionShared {
  readonly dispatcher: Dispatcher;
  readonly intake: IntakeBudget;
  readonly bufferPool: BufferPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly frameBytesLimit: number;
  readonly inFlightRequestsMax: number;
  /** Told how many bytes wait for slow readers, as they come and go. */
  onUnsentChange(deltaBytes: number): void;
}

/** Addresses of a connection. */
export interface ConnectionEnds {
  readonly id: number;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
}

/** A started request; its response leaves when it is at the head of the queue. */
interface Slot {
  response: "waiting" | "none" | "failed" | ResponseWriter;
}

/** One write at most. */
const WRITE_BYTES_MAX = 1024 * 1024;
/** While a request keeps the connection busy, this much of the next ones is read ahead. */
const READ_AHEAD_BYTES_MAX = 64 * 1024;
/** A request that is half here may hold this much without asking the budget. */
const INTAKE_FREE_BYTES = 4096;

/** How long a connection that ends waits for answers under way, and for its client to close. */
const ENDING_MS_MAX = 10_000;
/** So much of what still comes is read and dropped: closing over unread bytes would lose answers. */
const DISCARDED_BYTES_MAX = 1024 * 1024;

/** What the shared writer keeps: most answers to Fetch fit, so it need not grow for each. */
const SHARED_WRITER_BYTES_MAX = 8 * 1024 * 1024;

/** Every connection encodes into it and hands it to its socket before giving up control. */
const sharedWriter = new Writer(64 * 1024, SHARED_WRITER_BYTES_MAX);

/** The owner of one socket's order. */
export class Connection implements ClientConnection, IntakeWaiter {
  readonly id: number;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** When bytes last came or went, on the monotonic clock. */
  lastActiveMs: number;
  readonly #socket: ByteSocket;
  readonly #shared: ConnectionShared;
  readonly #frames: FrameBuffer;
  readonly #slots: Slot[] = [];
  readonly #closeListeners = new Set<() => void>();
  #heldBytes = 0;
  #unsent: Uint8Array | undefined;
  /** Bytes before it have been sent. */
  #unsentStart = 0;
  #isBusy = false;
  #isFrameHeld = false;
  #isClosed = false;
  #isPaused = false;
  #isIntakeDenied = false;
  #isFlushScheduled = false;
  #isDraining = false;
  /** Why the connection ends once everything is answered. */
  #endReason: string | undefined;
  #cancelEnd: CancelTimer = () => {};
  #isShutDown = false;
  #receivedBytes = 0;
  #discardedBytes = 0;

  constructor(socket: ByteSocket, ends: ConnectionEnds, shared: ConnectionShared) {
    this.#socket = socket;
    this.#shared = shared;
    this.id = ends.id;
    this.remoteAddress = ends.remoteAddress;
    this.localAddress = ends.localAddress;
    this.localPort = ends.localPort;
    this.lastActiveMs = shared.clock.monotonicMs();
    this.#frames = new FrameBuffer(shared.frameBytesLimit, shared.bufferPool);
  }

  /** Whether a request has been started and not answered. */
  get hasRequests(): boolean {
    return this.#slots.length > 0 || this.#unsent !== undefined;
  }

  /** Whether bytes wait for the client to read. */
  get hasUnsent(): boolean {
    return this.#unsent !== undefined;
  }

  onClose(listener: () => void): () => void {
    if (this.#isClosed) listener();
    else this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes have arrived. */
  onData(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    this.lastActiveMs = this.#shared.clock.monotonicMs();
    this.#receivedBytes += chunk.length;
    if (this.#endReason === undefined) {
      this.#pump(chunk);
      return;
    }
    this.#discardedBytes += chunk.length;
    if (this.#discardedBytes > DISCARDED_BYTES_MAX) this.close(this.#endReason);
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    this.lastActiveMs = this.#shared.clock.monotonicMs();
    const unsent = this.#unsent;
    if (unsent !== undefined) {
      const takenBytes = this.#socket.write(unsent.subarray(this.#unsentStart));
      if (takenBytes < 0) this.close("The client is gone.");
      this.#unsentStart += Math.max(0, takenBytes);
      // Counted until the last byte is gone: so long it is held.
      if (this.#unsentStart >= unsent.length) this.#setUnsent(undefined);
    }
    if (this.#unsent === undefined) this.#flush();
  }

  /** The socket is gone. */
  onClosed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelEnd();
    this.#setUnsent(undefined);
    this.#slots.length = 0;
    this.#frames.clear();
    this.#shared.intake.leave(this);
    this.#shared.intake.change(-this.#heldBytes);
    this.#heldBytes = 0;
    for (const listener of this.#closeListeners) listener();
    this.#closeListeners.clear();
  }

  /** Ends the connection at once; `reason` is for the log. The socket is gone afterwards in any case. */
  close(reason: string): void {
    if (!this.#isClosed && this.#endReason === undefined) this.#logEnd(reason);
    this.onClosed();
    this.#socket.terminate();
  }

  /** Starts no further requests; what is running is answered. */
  drain(): void {
    this.#isDraining = true;
  }

  resumeIntake(): void {
    this.#isIntakeDenied = false;
    this.#adjustReading();
  }

  onStalled(): void {
    this.close("The client stalled in a request, and memory is short.");
  }

  /** Takes in `chunk`, and starts every request that may start now. */
  #pump(chunk?: Uint8Array): void {
    try {
      if (chunk !== undefined) this.#frames.push(chunk);
      while (this.#mayStart()) {
        const frame = this.#frames.peek();
        if (frame === undefined) break;
        this.#start(frame);
        if (!this.#isFrameHeld) this.#frames.consume();
      }
      if (!this.#isFrameHeld) this.#frames.settle();
      this.#account();
      this.#adjustReading();
    } catch (thrown) {
      this.#end(thrown);
    }
  }

  /** Understands nothing more of what arrives, and closes when what was started has been answered. */
  #end(thrown: unknown): void {
    if (this.#isClosed || this.#endReason !== undefined) return;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    this.#logEnd(reason);
    this.#endReason = reason;
    this.#cancelEnd = this.#shared.clock.after(ENDING_MS_MAX, () => this.close(reason));
    this.#frames.clear();
    this.#account();
    this.#adjustReading();
  }

  #logEnd(reason: string): void {
    const { remoteAddress, id } = this;
    this.#shared.logger.info("connection_closed", { connection: id, remoteAddress, reason });
  }

  #mayStart(): boolean {
    return (
      !this.#isClosed &&
      !this.#isDraining &&
      this.#endReason === undefined &&
      !this.#isBusy &&
      this.#unsent === undefined &&
      this.#slots.length < this.#shared.inFlightRequestsMax
    );
  }

  #start(frame: Uint8Array): void {
    const started = this.#shared.dispatcher.start(this, frame);
    const slot: Slot = { response: "waiting" };
    this.#slots.push(slot);
    const onFailure = (thrown: unknown): void => this.#onFailure(slot, thrown);
    if (started.effectsDone !== undefined) {
      this.#isBusy = true;
      this.#isFrameHeld = started.holdsFrame;
      started.effectsDone.then(() => this.#onEffectsDone()).catch(onFailure);
    }
    if (started.response instanceof Promise) {
      started.response.then((response) => this.#onResponse(slot, response)).catch(onFailure);
    } else {
      this.#onResponse(slot, started.response);
    }
  }

  /** `slot` cannot be answered, so nothing after it can be either. */
  #onFailure(slot: Slot, thrown: unknown): void {
    const index = this.#slots.indexOf(slot);
    if (index >= 0) this.#slots.length = index;
    this.#end(thrown);
  }

  #onEffectsDone(): void {
    if (this.#isClosed) return;
    this.#isBusy = false;
    if (this.#isFrameHeld) this.#frames.consume();
    this.#isFrameHeld = false;
    this.#pump();
  }

  #onResponse(slot: Slot, response: ResponseWriter | undefined): void {
    slot.response = response ?? "none";
    if (this.#isFlushScheduled || this.#isClosed || this.#slots[0]?.response === "waiting") return;
    this.#isFlushScheduled = true;
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      if (this.#unsent === undefined) this.#flush();
    });
  }

  /** Sends the ready responses at the head of the queue, then starts what waited for them. */
  #flush(): void {
    try {
      while (this.#unsent === undefined && !this.#isClosed && this.#encodeReady()) {
        if (sharedWriter.position > 0) this.#send(sharedWriter.bytesWritten());
      }
    } catch (thrown) {
      this.close(thrown instanceof Error ? thrown.message : String(thrown));
    } finally {
      // Gives back the memory of a large response, also if no other follows.
      sharedWriter.reset();
    }
    const head = this.#slots[0];
    if (head?.response === "failed") {
      this.#onFailure(head, new Error("A response could not be encoded."));
    }
    if (!this.#isClosed) this.#pump();
  }

  /** Encodes responses up to about one write. @returns whether there were any. */
  #encodeReady(): boolean {
    sharedWriter.reset();
    let count = 0;
    let head = this.#slots[0];
    while (head !== undefined && head.response !== "waiting") {
      if (sharedWriter.position >= WRITE_BYTES_MAX) break;
      if (typeof head.response === "function") this.#encode(head, head.response);
      if (head.response === "failed") break;
      this.#slots.shift();
      count += 1;
      head = this.#slots[0];
    }
    return count > 0;
  }

  /** A response that cannot be encoded is a fault of ours; no other client may suffer from it. */
  #encode(slot: Slot, response: ResponseWriter): void {
    const start = sharedWriter.position;
    try {
      response(sharedWriter);
    } catch (thrown) {
      sharedWriter.position = start;
      slot.response = "failed";
      const stack = thrown instanceof Error ? thrown.stack : String(thrown);
      this.#shared.logger.error("response_not_encoded", { connection: this.id, stack });
    }
  }

  #send(bytes: Uint8Array): void {
    const takenBytes = this.#socket.write(bytes);
    this.lastActiveMs = this.#shared.clock.monotonicMs();
    if (takenBytes < 0) this.close("The client is gone.");
    else if (takenBytes < bytes.length) this.#setUnsent(bytes.slice(takenBytes));
  }

  #setUnsent(unsent: Uint8Array | undefined): void {
    this.#shared.onUnsentChange((unsent?.length ?? 0) - (this.#unsent?.length ?? 0));
    this.#unsent = unsent;
    this.#unsentStart = 0;
  }

  /** Counts the memory of half-received requests, and asks whether more may come. */
  #account(): void {
    if (this.#isClosed) return;
    const { intake } = this.#shared;
    const heldBytes = this.#frames.heldBytes;
    intake.change(heldBytes - this.#heldBytes);
    this.#heldBytes = heldBytes;
    const isHalfReceived = this.#frames.bufferedBytes > INTAKE_FREE_BYTES;
    if (isHalfReceived && this.#mayStart()) {
      this.#isIntakeDenied = !intake.mayRead(this);
      return;
    }
    // What waits for us and not for its client takes no turn: it would seem to stall.
    this.#isIntakeDenied = isHalfReceived && intake.isExhausted;
    intake.leave(this);
  }

  /** Reads from the socket, or does not. A socket that is not read does not tell that it was closed. */
  #adjustReading(): void {
    if (this.#isClosed) return;
    const isPauseDue = this.#endReason === undefined ? this.#isPauseDue() : !this.#isEndTold();
    if (isPauseDue === this.#isPaused) return;
    this.#isPaused = isPauseDue;
    if (isPauseDue) this.#socket.pause();
    else this.#socket.resume();
  }

  #isPauseDue(): boolean {
    if (this.#isIntakeDenied || this.#unsent !== undefined) return true;
    return this.#frames.bufferedBytes > READ_AHEAD_BYTES_MAX && !this.#mayStart();
  }

  /** Tells the client of the end after its last answer. @returns whether that is done */
  #isEndTold(): boolean {
    if (!this.#isShutDown && !this.hasRequests) {
      this.#isShutDown = true;
      this.#socket.shutdown();
    }
    return this.#isShutDown;
  }
}
