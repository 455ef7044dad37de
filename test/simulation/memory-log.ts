/** A log of metadata without a disk: its entries are durable when they are appended, and outlive every process. */

import type { MetaLog } from "../../src/meta/local-meta-store.ts";

export class MemoryLog implements MetaLog {
  readonly entries: { readonly address: number; readonly payload: Uint8Array }[] = [];
  appendedAddress = 1;

  get durableAddress(): number {
    return this.appendedAddress;
  }

  appendMetadata(payload: Uint8Array): number {
    const address = this.appendedAddress;
    this.entries.push({ address, payload });
    this.appendedAddress += payload.length;
    return address;
  }

  async whenDurable(): Promise<void> {}

  hasRoom(): boolean {
    return true;
  }

  async whenRoom(): Promise<void> {}
}
