/** When clients count as busy, and when what waits for them goes on. */
import { expect, test } from "bun:test";
import { ClientTraffic, waitWhileBusy } from "../../src/core/client-traffic.ts";
import { nextTurn } from "../../src/core/clock.ts";
import { ManualClock } from "../manual-clock.ts";

const MIB = 1024 * 1024;
const WINDOW_MS = 250;

/** Traffic of so many MiB in each of some windows; what `isBusy` was after each. */
async function windows(
  { clock, traffic }: { clock: ManualClock; traffic: ClientTraffic },
  { mib, count }: { mib: number; count: number },
): Promise<boolean[]> {
  const seen: boolean[] = [];
  for (let step = 0; step < count; step += 1) {
    traffic.note(0); // Where silence was, this begins the window.
    traffic.note(mib * MIB);
    await clock.advance(WINDOW_MS);
    seen.push(traffic.isBusy);
  }
  return seen;
}

function start() {
  const clock = new ManualClock();
  return { clock, traffic: new ClientTraffic(clock) };
}

test("client traffic: a fast stream makes it busy within a window, a slow one never", async () => {
  const fast = start();
  expect(await windows(fast, { mib: 10, count: 2 })).toEqual([true, true]);
  const slow = start();
  expect(await windows(slow, { mib: 1, count: 20 })).not.toContain(true);
});

test("client traffic: a second after the burst it is quiet, and no timer is left", async () => {
  const { clock, traffic } = start();
  await windows({ clock, traffic }, { mib: 10, count: 4 });
  const waits: string[] = [];
  void traffic.whenQuiet().then(() => waits.push("quiet"));
  await clock.advance(999);
  expect([traffic.isBusy, waits]).toEqual([true, []]);
  await clock.advance(WINDOW_MS);
  expect([traffic.isBusy, waits]).toEqual([false, ["quiet"]]);
  await clock.advance(2 * WINDOW_MS);
  expect(clock.timerCount).toBe(0);
  await traffic.whenQuiet();
});

test("client traffic: a burst without end shares the machine after 30 s; the next one does not", async () => {
  const world = start();
  const all = await windows(world, { mib: 10, count: 160 });
  expect(all.slice(0, 120)).not.toContain(false);
  expect(all.slice(121)).not.toContain(true);
  await world.clock.advance(2_000);
  expect(await windows(world, { mib: 10, count: 2 })).toEqual([true, true]);
});

test("client traffic: a Worker's thread stands still while clients are busy", async () => {
  const { clock, traffic } = start();
  const source = `
    import { waitWhileBusy } from ${JSON.stringify(import.meta.resolve("../../src/core/client-traffic.ts"))};
    self.onmessage = ({ data }) => {
      if (data.shared === undefined) return postMessage("ready");
      Atomics.store(data.seen, 1, 1);
      waitWhileBusy(data.shared);
      postMessage(Atomics.load(data.seen, 0));
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const answer = (): Promise<unknown> =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
    });
  try {
    await windows({ clock, traffic }, { mib: 10, count: 1 });
    const seen = new Int32Array(new SharedArrayBuffer(8));
    const ready = answer();
    worker.postMessage({});
    await ready;
    const done = answer();
    worker.postMessage({ shared: traffic.shared, seen });
    while (Atomics.load(seen, 1) === 0) await nextTurn();
    for (let turn = 0; turn < 100; turn += 1) await nextTurn();
    Atomics.store(seen, 0, 1);
    traffic.close();
    expect(await done).toBe(1);
  } finally {
    worker.terminate();
  }
  waitWhileBusy(traffic.shared);
});
