/** A log in memory for metadata tests: entries become durable when the test says so, and may be lost in a crash. */

import type { MetaLog } from "../../src/meta/local-meta-store.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";

interface Waiter {
  readonly address: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class MemoryLog implements MetaLog {
  readonly entries: { readonly address: number; readonly payload: Uint8Array }[] = [];
  /** With false, `sync` must be called. */
  isAutomatic = true;
  roomBytes = Number.POSITIVE_INFINITY;
  #end = 4096;
  #durableEnd = 4096;
  #isFailed = false;
  #waiters: Waiter[] = [];
  #roomWaiters: (() => void)[] = [];

  constructor(entries: MemoryLog["entries"] = []) {
    for (const { payload } of entries) this.appendMetadata(payload);
    this.sync();
  }

  get appendedAddress(): number {
    return this.#end;
  }

  get durableAddress(): number {
    return this.#durableEnd;
  }

  appendMetadata(payload: Uint8Array): number {
    if (this.#isFailed || this.roomBytes < payload.length) throw storageError();
    const address = this.#end;
    this.#end += payload.length + 64;
    this.roomBytes -= payload.length;
    this.entries.push({ address, payload: payload.slice() });
    return address;
  }

  whenDurable(address: number): Promise<void> {
    if (this.#isFailed) return Promise.reject(storageError());
    if (this.isAutomatic) this.#durableEnd = this.#end;
    if (address < this.#durableEnd) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ address, resolve, reject }));
  }

  hasRoom(lengthBytes: number): boolean {
    return this.roomBytes >= lengthBytes;
  }

  whenRoom(): Promise<void> {
    if (this.#isFailed) return Promise.reject(storageError());
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  makeRoom(lengthBytes: number): void {
    this.roomBytes = lengthBytes;
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  sync(): void {
    this.#durableEnd = this.#end;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  fail(): void {
    this.#isFailed = true;
    for (const { reject } of this.#waiters.splice(0)) reject(storageError());
  }

  /** What a crash leaves: the durable entries. */
  survivors(): MemoryLog["entries"] {
    return this.entries.filter(({ address }) => address < this.#durableEnd);
  }
}

function storageError(): KafkaError {
  return new KafkaError(ErrorCode.kafkaStorageError, "The disk is gone.");
}
