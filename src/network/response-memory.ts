/**
 * Bounds the memory of answers to Fetch requests: what is being loaded from disk, what is loaded and
 * waits to be encoded, and what waits for slow readers.
 *
 *   An answer from the slab holds nothing until it is encoded: its size follows from what is left then.
 *   An answer that must be loaded reserves its memory first. Reservations are granted in the order in
 *   which they were asked for, a connection one at a time, smaller ones the less is left. If slow
 *   readers hold everything, a few least ones at a time are granted still, up to a hard limit.
 *
 * So a client that does not read cannot stall the others: what waits for one that takes nothing at
 * all is given up when memory is short.
 */

import type { AnswerMemory, Reservation, ReservationRequest } from "../api/fetch-memory.ts";
import type { Clock } from "../core/clock.ts";

/** An answer may always be this large, short of the hard limit: progress for everybody. */
const ANSWER_BYTES_MIN = 64 * 1024;
/** One answer takes at most this part of what is left. */
const SHARE_OF_REST = 1 / 4;
/** Beyond the limit, this part of it is for the least reservations. */
const SHARE_OF_LEAST = 1 / 4;

interface Waiter {
  readonly request: ReservationRequest;
  settle(reservation: Reservation | undefined): void;
}

/** Counts the bytes of all connections. */
export class ResponseMemory implements AnswerMemory {
  readonly #limitBytes: number;
  readonly #leastShareBytes: number;
  readonly #clock: Clock;
  /** Reserved, and being loaded. */
  #loadingBytes = 0;
  /** Loaded or encoded: they go when their clients read. */
  #unsentBytes = 0;
  /** In the order of asking. */
  readonly #waiters = new Set<Waiter>();
  /** Connections that hold a reservation. */
  readonly #holders = new Set<number>();
  #isGrantScheduled = false;

  constructor(limitBytes: number, clock: Clock) {
    this.#limitBytes = limitBytes;
    this.#leastShareBytes = Math.floor(limitBytes * SHARE_OF_LEAST);
    this.#clock = clock;
  }

  /** More than half waits for clients: connections that take nothing must go. */
  get isShort(): boolean {
    return this.#unsentBytes > this.#limitBytes / 2;
  }

  /** Nothing may be added to what waits for clients. */
  get isExhausted(): boolean {
    return this.#unsentBytes >= this.#limitBytes + this.#leastShareBytes;
  }

  /** Loading, loaded and unsent. */
  get heldBytes(): number {
    return this.#loadingBytes + this.#unsentBytes;
  }

  /** More (or fewer) bytes wait for a socket. */
  change(deltaBytes: number): void {
    this.#unsentBytes += deltaBytes;
    if (deltaBytes < 0) this.#scheduleGrants();
  }

  allowanceBytes(): number {
    const restBytes = this.#limitBytes - this.heldBytes;
    return Math.max(ANSWER_BYTES_MIN, Math.floor(restBytes * SHARE_OF_REST));
  }

  reserve(request: ReservationRequest): Promise<Reservation | undefined> {
    const granted = this.#waiters.size === 0 ? this.#grant(request) : undefined;
    if (granted !== undefined) return Promise.resolve(granted);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        request,
        settle: (reservation) => {
          if (!this.#waiters.delete(waiter)) return;
          cancelTimer();
          removeAbandon();
          resolve(reservation);
          // The others may be smaller than the one that has gone.
          if (reservation === undefined) this.#scheduleGrants();
        },
      };
      let removeAbandon = (): void => {};
      this.#waiters.add(waiter);
      const cancelTimer = this.#clock.after(request.waitMs, () => waiter.settle(undefined));
      removeAbandon = request.onAbandon(() => waiter.settle(undefined));
      if (!this.#waiters.has(waiter)) removeAbandon();
      else this.#scheduleGrants();
    });
  }

  /** After the bytes of an answer that is being sent have been counted as unsent. */
  #scheduleGrants(): void {
    if (this.#isGrantScheduled || this.#waiters.size === 0) return;
    this.#isGrantScheduled = true;
    queueMicrotask(() => {
      this.#isGrantScheduled = false;
      for (const waiter of this.#waiters) {
        if (this.#holders.has(waiter.request.connectionId)) continue;
        const reservation = this.#grant(waiter.request);
        if (reservation === undefined) break;
        waiter.settle(reservation);
      }
    });
  }

  #grant(request: ReservationRequest): Reservation | undefined {
    const { connectionId } = request;
    if (this.#holders.has(connectionId)) return undefined;
    let sizeBytes = this.#grantableBytes(request);
    if (sizeBytes === 0) return undefined;
    let state: "loading" | "loaded" | "released" = "loading";
    this.#holders.add(connectionId);
    this.#loadingBytes += sizeBytes;
    return {
      get sizeBytes() {
        return sizeBytes;
      },
      resize: (newBytes) => {
        if (state !== "loading") return;
        this.#loadingBytes += newBytes - sizeBytes;
        if (newBytes < sizeBytes) this.#scheduleGrants();
        sizeBytes = newBytes;
      },
      settle: () => {
        if (state !== "loading") return;
        state = "loaded";
        this.#loadingBytes -= sizeBytes;
        this.#unsentBytes += sizeBytes;
      },
      release: () => {
        if (state === "released") return;
        if (state === "loading") this.#loadingBytes -= sizeBytes;
        else this.#unsentBytes -= sizeBytes;
        state = "released";
        this.#holders.delete(connectionId);
        this.#scheduleGrants();
      },
    };
  }

  /** 0: not now. */
  #grantableBytes({ wantedBytes, leastBytes }: ReservationRequest): number {
    const restBytes = this.#limitBytes - this.heldBytes;
    if (leastBytes <= restBytes) {
      const shareBytes = Math.floor(restBytes * SHARE_OF_REST);
      return Math.max(1, leastBytes, Math.min(wantedBytes, shareBytes));
    }
    if (this.isExhausted) return 0;
    // One is granted even if it is larger than the limit: some batch may be.
    const loadingBytes = this.#loadingBytes + leastBytes;
    return this.#loadingBytes === 0 || loadingBytes <= this.#leastShareBytes ? leastBytes : 0;
  }
}
