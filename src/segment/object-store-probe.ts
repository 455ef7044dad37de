/** Asks an object store, by small objects that it removes again, whether it does what brokers rely on. */

import { systemRandomBytes } from "../core/clock.ts";
import { ObjectExistsError, type ObjectStore, ObjectStoreError } from "./object-store.ts";

/** Below it nothing but probes lie. */
const PROBE_DIRECTORY = "probe";

export interface ObjectStoreFindings {
  /** Whether it refuses to overwrite an object. If not, only the randomness of keys protects them. */
  readonly refusesOverwrites: boolean;
}

/** @throws ObjectStoreError if it can't write, read, list and delete */
export async function probeObjectStore(store: ObjectStore): Promise<ObjectStoreFindings> {
  const key = `${PROBE_DIRECTORY}/${Buffer.from(systemRandomBytes(12)).toString("hex")}`;
  const [first, second] = [1, 2].map((byte) => new Uint8Array(16).fill(byte)) as [
    Uint8Array,
    Uint8Array,
  ];
  await store.put(key, first);
  try {
    await expectBytes(store, key, first);
    const refusesOverwrites = await isRefused(store.put(key, second));
    if (refusesOverwrites) await expectBytes(store, key, first);
    let isListed = false;
    for await (const found of store.list(key)) isListed ||= found.key === key;
    if (!isListed) throw new ObjectStoreError(`${store.name} does not list what was put.`);
    return { refusesOverwrites };
  } finally {
    await store.delete([key]);
  }
}

async function isRefused(putting: Promise<void>): Promise<boolean> {
  try {
    await putting;
    return false;
  } catch (thrown) {
    if (thrown instanceof ObjectExistsError) return true;
    throw thrown;
  }
}

/** In two ranges, as archives are read. */
async function expectBytes(store: ObjectStore, key: string, wanted: Uint8Array): Promise<void> {
  const found = [await store.readRange(key, 0, 5), await store.readRange(key, 5, wanted.length)];
  if (Buffer.concat(found).equals(wanted)) return;
  throw new ObjectStoreError(`${store.name} does not read by range what was put.`);
}
