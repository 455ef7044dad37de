/** The group coordinator: waiting requests, timers, durability, restarts, limits. */

import { expect, test } from "bun:test";
import type { JoinReply } from "../../src/coordinator/group-events.ts";
import { seededRandom } from "../../src/core/clock.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { settle } from "../manual-clock.ts";
import {
  coordinatorOver,
  joinAlone,
  joinRequest,
  newCoordinator,
  offsetOf,
  reopen,
  simpleCommit,
  syncRequest,
} from "./coordinator-parts.ts";

/** A connection that a test can end. */
function connection() {
  const listeners = new Set<() => void>();
  return {
    onClose: (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      for (const listener of [...listeners]) listener();
    },
    listeners,
  };
}

test("join, sync: three members get one generation, the leader assigns to all", async () => {
  const { groups, clock, store } = await newCoordinator({ groupInitialRebalanceDelayMs: 3_000 });
  const joining = ["a", "b", "c"].map((clientId) => groups.join(joinRequest({ clientId })));
  await clock.advance(6_000);
  const replies = await Promise.all(joining);
  expect(replies.map(({ memberId }) => memberId)).toEqual(["a-uuid1", "b-uuid2", "c-uuid3"]);
  expect(new Set(replies.map(({ generationId }) => generationId))).toEqual(new Set([1]));
  expect(replies.map(({ members }) => members.length)).toEqual([3, 0, 0]);
  const assignments = new Map(
    replies.map(({ memberId }, index) => [memberId, new Uint8Array([index])]),
  );
  const syncing = replies.map(({ memberId }) =>
    groups.sync(syncRequest({ memberId, assignments })),
  );
  const parts = await Promise.all(syncing);
  expect(parts.map(({ assignment }) => [...assignment])).toEqual([[0], [1], [2]]);
  expect(groups.group("g")?.state).toBe("Stable");
  expect(store.storedGroup("g")?.members.length).toBe(3);
  expect(groups.waitingCount).toBe(0);
});

test("sync: nobody learns an assignment before it is durable", async () => {
  const { groups, clock, log } = await newCoordinator();
  const joining = groups.join(joinRequest());
  await clock.advance(0);
  const { memberId } = await joining;
  log.isAutomatic = false;
  let isAnswered = false;
  const syncing = groups.sync(syncRequest({ memberId })).then((reply) => {
    isAnswered = true;
    return reply;
  });
  await settle();
  expect(isAnswered).toBe(false);
  log.sync();
  expect((await syncing).errorCode).toBe(ErrorCode.none);
});

test("sync: a failed log is told as NOT_COORDINATOR", async () => {
  const { groups, clock, log } = await newCoordinator();
  const joining = groups.join(joinRequest());
  await clock.advance(0);
  const { memberId } = await joining;
  log.isAutomatic = false;
  const syncing = groups.sync(syncRequest({ memberId }));
  log.fail();
  expect((await syncing).errorCode).toBe(ErrorCode.notCoordinator);
});

test("heartbeat: a silent member is out after its session timeout, a waiting one is not", async () => {
  const parts = await newCoordinator();
  const { groups, clock } = parts;
  const memberId = await joinAlone(parts);
  await clock.advance(9_000);
  const identity = { groupId: "g", memberId, groupInstanceId: null, generationId: 1 };
  expect(groups.heartbeat(identity)).toBe(ErrorCode.none);
  await clock.advance(9_000);
  expect(groups.group("g")?.members.size).toBe(1);
  await clock.advance(1_000);
  expect(groups.group("g")?.state).toBe("Empty");
  expect(groups.heartbeat(identity)).toBe(ErrorCode.unknownMemberId);
});

test("restart: members, generation and assignments are there; sessions run anew", async () => {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts);
  const { groups, clock } = coordinatorOver(reopen(parts.log));
  expect(groups.group("g")).toMatchObject({ state: "Stable", generationId: 1, leaderId: memberId });
  const { assignment } = await groups.sync(syncRequest({ memberId }));
  expect([...assignment]).toEqual([1]);
  const identity = { groupId: "g", memberId, groupInstanceId: null, generationId: 1 };
  expect(groups.heartbeat(identity)).toBe(ErrorCode.none);
  await clock.advance(10_000);
  expect(groups.group("g")?.state).toBe("Empty");
});

test("restart: an emptied group keeps its generation", async () => {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts);
  parts.groups.leave("g", [{ memberId, groupInstanceId: null }]);
  await settle();
  const { groups } = coordinatorOver(reopen(parts.log));
  expect(groups.group("g")).toMatchObject({ state: "Empty", generationId: 2 });
});

test("connection: a new member that nobody can name is dropped with its connection", async () => {
  const parts = await newCoordinator();
  await joinAlone(parts);
  const { onClose, close, listeners } = connection();
  const joining = parts.groups.join(joinRequest({ onClose }));
  await settle();
  expect(parts.groups.group("g")?.members.size).toBe(2);
  close();
  expect((await joining).errorCode).not.toBe(ErrorCode.none);
  expect(parts.groups.group("g")?.members.size).toBe(1);
  expect(parts.groups.waitingCount).toBe(0);
  expect(listeners.size).toBe(0);
});

test("connection: a known member stays when its connection ends, and nothing leaks", async () => {
  const parts = await newCoordinator();
  const { groups } = parts;
  const leader = await joinAlone(parts);
  const first = await groups.join(joinRequest({ mustKnowMemberId: true }));
  expect(first.errorCode).toBe(ErrorCode.memberIdRequired);
  const { onClose, close } = connection();
  const lost = groups.join(joinRequest({ memberId: first.memberId, onClose }));
  await settle();
  close();
  await lost;
  expect(groups.waitingCount).toBe(0);
  const again = groups.join(joinRequest({ memberId: first.memberId }));
  const others = await groups.join(joinRequest({ memberId: leader }));
  expect(others).toMatchObject({ errorCode: ErrorCode.none, generationId: 2 });
  expect((await again).generationId).toBe(2);
});

test("connection: listeners are removed when the answer has come", async () => {
  const parts = await newCoordinator();
  const { onClose, listeners } = connection();
  const joining = parts.groups.join(joinRequest({ onClose }));
  expect(listeners.size).toBe(1);
  await parts.clock.advance(0);
  await joining;
  expect(listeners.size).toBe(0);
});

test("close: everybody who waits is answered, no timer is left", async () => {
  const parts = await newCoordinator();
  const { groups, clock } = parts;
  await joinAlone(parts);
  const joining = groups.join(joinRequest());
  await settle();
  groups.close();
  expect((await joining).errorCode).toBe(ErrorCode.notCoordinator);
  expect(clock.timerCount).toBe(0);
  expect((await groups.join(joinRequest())).errorCode).toBe(ErrorCode.coordinatorNotAvailable);
  const unknown = { groupId: "g", memberId: "m", groupInstanceId: null, generationId: 1 };
  expect(groups.heartbeat(unknown)).toBe(ErrorCode.coordinatorNotAvailable);
});

test("limits: session timeouts, group ids, groups, members' bytes", async () => {
  const parts = await newCoordinator({ groupsMax: 2, groupMembersBytesMax: 60 });
  const { groups } = parts;
  const codeOf = async (changes: Parameters<typeof joinRequest>[0]) =>
    (await groups.join(joinRequest(changes))).errorCode;
  expect(await codeOf({ groupId: "" })).toBe(ErrorCode.invalidGroupId);
  expect(await codeOf({ sessionTimeoutMs: 5_999 })).toBe(ErrorCode.invalidSessionTimeout);
  expect(await codeOf({ sessionTimeoutMs: 1_800_001 })).toBe(ErrorCode.invalidSessionTimeout);
  expect(await codeOf({ memberId: "nobody" })).toBe(ErrorCode.unknownMemberId);
  await joinAlone(parts, { groupId: "g1" });
  await joinAlone(parts, { groupId: "g2" });
  expect(await codeOf({ groupId: "g3" })).toBe(ErrorCode.groupMaxSizeReached);
  const protocols = [{ name: "range", metadata: new Uint8Array(100) }];
  expect(await codeOf({ groupId: "g1", protocols })).toBe(ErrorCode.groupMaxSizeReached);
});

test("limits: ids that never come back leave no group behind", async () => {
  const { groups, clock } = await newCoordinator();
  for (let count = 0; count < 50; count += 1) {
    await groups.join(joinRequest({ groupId: `g${count}`, mustKnowMemberId: true }));
  }
  expect([...groups.groups()].length).toBe(50);
  await clock.advance(10_000);
  expect([...groups.groups()].length).toBe(0);
  expect(clock.timerCount).toBe(0);
});

test("delete: only an empty group goes, with its offsets, for good", async () => {
  const parts = await newCoordinator();
  const { groups, offsets, store } = parts;
  const memberId = await joinAlone(parts);
  await offsets.commit(simpleCommit("simple", [offsetOf(0, 5)]));
  expect(await groups.delete("g")).toBe(ErrorCode.nonEmptyGroup);
  expect(await groups.delete("missing")).toBe(ErrorCode.groupIdNotFound);
  expect(await groups.delete("simple")).toBe(ErrorCode.none);
  groups.leave("g", [{ memberId, groupInstanceId: null }]);
  expect(await groups.delete("g")).toBe(ErrorCode.none);
  expect([...store.groupIds()]).toEqual([]);
  expect([...groups.groups()]).toEqual([]);
  const again = coordinatorOver(reopen(parts.log));
  expect([...again.groups.groups()]).toEqual([]);
});

test("chaos: whatever clients do, every request is answered and generations only rise", async () => {
  const only = Bun.env["SEED"];
  const seeds = only ? [Number(only)] : Array.from({ length: 40 }, (_, index) => index);
  for (const seed of seeds) await runChaos(seed);
});

async function runChaos(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = (count: number) => Math.floor(random() * count);
  const parts = await newCoordinator({ groupInitialRebalanceDelayMs: pick(2) * 1_000 });
  const { groups, clock } = parts;
  const known: JoinReply[] = [];
  let openCount = 0;
  let generationId = 0;
  const track = async <Reply>(promise: Promise<Reply>): Promise<Reply> => {
    openCount += 1;
    const reply = await promise;
    openCount -= 1;
    return reply;
  };
  for (let count = 0; count < 150; count += 1) {
    const former = known[pick(known.length + 1)];
    const memberId = former?.memberId ?? "";
    const groupInstanceId = pick(4) === 0 ? `i${pick(2)}` : null;
    const { onClose, close } = connection();
    const identity = { groupId: "g", memberId, groupInstanceId };
    const currentId = former?.generationId ?? 0;
    switch (pick(7)) {
      case 0:
      case 1: {
        const isNew = { mustKnowMemberId: pick(2) === 0, canSkipAssignment: pick(2) === 0 };
        const joining = track(groups.join(joinRequest({ ...identity, ...isNew, onClose })));
        void joining.then((joined) => known.push(joined));
        break;
      }
      case 2:
      case 3:
        void track(groups.sync(syncRequest({ ...identity, generationId: currentId, onClose })));
        break;
      case 4:
        groups.heartbeat({ ...identity, generationId: currentId });
        break;
      case 5:
        if (pick(3) === 0) groups.leave("g", [{ memberId, groupInstanceId }]);
        break;
      default:
        await clock.advance(pick(3) === 0 ? pick(20_000) : pick(500));
    }
    if (pick(10) === 0) close();
    await settle();
    const group = groups.group("g");
    expect(group?.generationId ?? generationId, `SEED=${seed}`).toBeGreaterThanOrEqual(
      group ? generationId : 0,
    );
    generationId = group?.generationId ?? 0;
  }
  await clock.advance(1_000_000);
  expect([openCount, groups.waitingCount], `SEED=${seed}`).toEqual([0, 0]);
  groups.close();
  expect(clock.timerCount, `SEED=${seed}`).toBe(0);
}
