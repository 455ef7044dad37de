/**
 * Runs scripts against the group machine. A script is blocks of commands, `----`, and what came of them:
 *
 *   new a               JoinGroup without a member id; the group gives the id a      options: v= instance= protocols=
 *   join a              JoinGroup with the member id a                               session= rebalance= type=
 *   sync a              SyncGroup; the leader brings assign=a:x,b:y                  options: generation= instance=
 *   heartbeat a         likewise `commit a`; `commit -` is a client without a group
 *   leave a b           LeaveGroup; `instance=i` names a static member
 *   abandon a           the connection of the last request of a is gone
 *   fire join           a timer is over; also `fire sync`, `fire session a`
 *   hold, release, fail stores wait; the oldest succeeds; the oldest fails
 *   limits size=2 delay=3000 / restart / unload / describe
 *
 * Timers without a delay are over at once. After the replies comes the group: state, generation, leader, members,
 * ids given out, timers but sessions.
 */

import type { Group, MemberProtocol } from "../../src/coordinator/group.ts";
import { emptyGroup, groupOfStored } from "../../src/coordinator/group.ts";
import type {
  GroupEffect,
  GroupEvent,
  GroupReply,
  StoredEvent,
} from "../../src/coordinator/group-events.ts";
import { groupAfter } from "../../src/coordinator/group-machine.ts";
import { assert } from "../../src/core/assert.ts";
import type { StoredGroup } from "../../src/meta/meta-store.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";

type Timer = Extract<GroupEffect, { kind: "startTimer" }>;
type Store = Extract<GroupEffect, { kind: "store" }>;
type Options = Readonly<Record<string, string>>;

const text = new TextEncoder();
const read = new TextDecoder();

/** The output of each block, in order. */
export function runScript(blocks: readonly string[]): string[] {
  const runner = new ScriptRunner();
  return blocks.map((block) => runner.runBlock(block.split("\n")));
}

class ScriptRunner {
  #group: Group = emptyGroup("g", 0);
  #limits = { initialRebalanceDelayMs: 0, groupSizeMax: 100, newMemberJoinTimeoutMs: 300_000 };
  #nowMs = 0;
  #requestCount = 0;
  #labels = new Map<number, string>();
  #lastRequestOf = new Map<string, number>();
  #timers = new Map<string, Timer>();
  #stores: Store[] = [];
  #durable: StoredGroup | undefined;
  #isHolding = false;
  #output: string[] = [];

  runBlock(lines: readonly string[]): string {
    this.#output = [];
    for (const line of lines) if (line !== "" && !line.startsWith("#")) this.#run(line);
    this.#output.push(this.#summary());
    return this.#output.join("\n");
  }

  #run(line: string): void {
    const words = line.split(/\s+/);
    const options = Object.fromEntries(
      words.filter((word) => word.includes("=")).map((word) => word.split("=", 2)),
    );
    const [command = "", ...names] = words.filter((word) => !word.includes("="));
    this.#nowMs += 1;
    const [name = ""] = names;
    if (command === "fire") this.#fire(names.join(" "));
    else if (command === "new" || command === "join" || command === "sync") {
      const isSync = command === "sync";
      this.#apply(
        isSync ? this.#syncEvent(name, options) : this.#joinEvent(command, name, options),
      );
    } else if (command === "heartbeat" || command === "commit") {
      this.#apply(this.#memberEvent(command, name, options));
    } else if (command === "leave") this.#apply(this.#leaveEvent(names, options));
    else if (command === "abandon") {
      this.#apply({ kind: "abandoned", requestId: this.#lastRequestOf.get(name) ?? 0 });
    } else if (command === "unload") {
      this.#apply({ kind: "unloaded", errorCode: ErrorCode.notCoordinator });
    } else this.#control(command, options);
    for (const { timer, delayMs } of this.#timers.values()) if (delayMs === 0) this.#fire(timer);
  }

  #control(command: string, options: Options): void {
    if (command === "hold") this.#isHolding = true;
    else if (command === "release") this.#finishStore(ErrorCode.none);
    else if (command === "fail") this.#finishStore(ErrorCode.notCoordinator);
    else if (command === "describe") this.#describe();
    else if (command === "restart") this.#restart();
    else if (command === "limits") {
      const { size, delay } = options;
      if (size) this.#limits = { ...this.#limits, groupSizeMax: Number(size) };
      if (delay) this.#limits = { ...this.#limits, initialRebalanceDelayMs: Number(delay) };
    } else throw new Error(`unknown command ${command}`);
  }

  #request(label: string, name: string): number {
    this.#requestCount += 1;
    this.#labels.set(this.#requestCount, label);
    this.#lastRequestOf.set(name, this.#requestCount);
    return this.#requestCount;
  }

  #joinEvent(command: string, name: string, options: Options): GroupEvent {
    const version = Number(options["v"] ?? 9);
    return {
      kind: "join",
      requestId: this.#request(`${command} ${name}`, name),
      memberId: command === "new" ? "" : name,
      newMemberId: name,
      groupInstanceId: options["instance"] ?? null,
      clientId: "client",
      clientHost: "/127.0.0.1",
      protocolType: options["type"] ?? "consumer",
      protocols: protocolsOf(options["protocols"] ?? "range:t"),
      sessionTimeoutMs: Number(options["session"] ?? 10_000),
      rebalanceTimeoutMs: Number(options["rebalance"] ?? 60_000),
      mustKnowMemberId: version >= 4,
      canSkipAssignment: version >= 9,
    };
  }

  #syncEvent(name: string, options: Options): GroupEvent {
    const assignments = (options["assign"] ?? "").split(",").filter((part) => part !== "");
    return {
      kind: "sync",
      requestId: this.#request(`sync ${name}`, name),
      memberId: name,
      groupInstanceId: options["instance"] ?? null,
      generationId: Number(options["generation"] ?? this.#group.generationId),
      protocolType: options["type"] ?? null,
      protocolName: options["protocol"] ?? null,
      assignments: new Map(
        assignments.map((part) => {
          const [memberId = "", value = ""] = part.split(":");
          return [memberId, text.encode(value)];
        }),
      ),
    };
  }

  #memberEvent(kind: "heartbeat" | "commit", name: string, options: Options): GroupEvent {
    const generation = name === "-" ? "-1" : options["generation"];
    return {
      kind,
      requestId: this.#request(`${kind} ${name}`, name),
      memberId: name === "-" ? "" : name,
      groupInstanceId: options["instance"] ?? null,
      generationId: Number(generation ?? this.#group.generationId),
    };
  }

  #leaveEvent(names: readonly string[], options: Options): GroupEvent {
    const groupInstanceId = options["instance"] ?? null;
    const memberIds = names.length === 0 ? [""] : names;
    return {
      kind: "leave",
      requestId: this.#request(`leave ${names.join(" ")}`.trim(), names[0] ?? ""),
      members: memberIds.map((memberId) => ({ memberId, groupInstanceId })),
    };
  }

  #fire(name: string): void {
    const timer = this.#timers.get(name);
    assert(timer !== undefined, `no timer ${name}`);
    this.#timers.delete(name);
    this.#nowMs += timer.delayMs;
    this.#apply(timer.event);
  }

  #restart(): void {
    this.#timers.clear();
    this.#stores = [];
    this.#group = this.#durable ? groupOfStored(this.#durable) : emptyGroup("g", 0);
    this.#apply({ kind: "loaded" });
  }

  #apply(event: GroupEvent): void {
    const context = { nowMs: this.#nowMs, limits: this.#limits };
    const { group, effects } = groupAfter(this.#group, event, context);
    this.#group = group;
    for (const effect of effects) this.#perform(effect);
    checkInvariants(group);
    while (!this.#isHolding && this.#stores.length > 0) this.#finishStore(ErrorCode.none);
  }

  #perform(effect: GroupEffect): void {
    if (effect.kind === "startTimer") this.#timers.set(effect.timer, effect);
    else if (effect.kind === "stopTimer") this.#timers.delete(effect.timer);
    else if (effect.kind === "store") this.#stores.push(effect);
    else {
      const label = this.#labels.get(effect.requestId);
      assert(label !== undefined, `request ${effect.requestId} was answered twice`);
      this.#labels.delete(effect.requestId);
      this.#output.push(`reply ${label}: ${replyText(effect.reply)}`);
    }
  }

  #finishStore(errorCode: ErrorCode): void {
    const store = this.#stores.shift();
    assert(store !== undefined, "nothing to store");
    if (errorCode === ErrorCode.none) this.#durable = store.stored;
    const outcome: StoredEvent | undefined = store.outcome;
    if (outcome) this.#apply({ ...outcome, errorCode });
  }

  #describe(): void {
    for (const member of this.#group.members.values()) {
      const known = member.groupInstanceId === null ? "" : ` instance=${member.groupInstanceId}`;
      const protocols = member.protocols.map(
        ({ name, metadata }) => `${name}:${read.decode(metadata)}`,
      );
      const assignment = read.decode(member.assignment) || "-";
      this.#output.push(
        `member ${member.memberId}${known} protocols=${protocols.join(",")} assignment=${assignment}`,
      );
    }
    this.#output.push(
      `protocol ${this.#group.protocolName} of type ${this.#group.protocolType}`,
      `sessions ${[...this.#timers.values()]
        .filter(({ timer }) => timer.startsWith("session "))
        .map(({ timer, delayMs }) => `${timer.slice(8)}=${delayMs}`)
        .join(" ")}`,
    );
  }

  #summary(): string {
    const group = this.#group;
    const parts = [group.state, `generation=${group.generationId}`];
    if (group.leaderId !== null) parts.push(`leader=${group.leaderId}`);
    parts.push(`members=${[...group.members.keys()].join(",") || "-"}`);
    if (group.pendingMemberIds.size > 0) parts.push(`pending=${[...group.pendingMemberIds]}`);
    const timers = [...this.#timers.values()].filter(({ timer }) => !timer.startsWith("session "));
    for (const { timer, delayMs } of timers) parts.push(`${timer}-timer=${delayMs}`);
    if (this.#stores.length > 0) parts.push(`storing=${this.#stores.length}`);
    return parts.join(" ");
  }
}

function protocolsOf(list: string): MemberProtocol[] {
  return list.split(",").map((part) => {
    const [name = "", metadata = ""] = part.split(":");
    return { name, metadata: text.encode(metadata) };
  });
}

function replyText(reply: GroupReply): string {
  switch (reply.kind) {
    case "answered":
      return codeName(reply.errorCode);
    case "left":
      return reply.errorCodes.map(codeName).join(", ");
    case "synced": {
      if (reply.errorCode !== ErrorCode.none) return codeName(reply.errorCode);
      return `assignment=${read.decode(reply.assignment) || "-"} protocol=${reply.protocolName}`;
    }
    case "joined": {
      if (reply.errorCode !== ErrorCode.none) {
        return `${codeName(reply.errorCode)} member=${reply.memberId || "-"}`;
      }
      const members = reply.members.map(
        ({ memberId, metadata }) => `${memberId}:${read.decode(metadata)}`,
      );
      const list = members.length === 0 ? "" : ` members=${members.join(",")}`;
      const skip = reply.skipAssignment ? " skip-assignment" : "";
      return `member=${reply.memberId} generation=${reply.generationId} leader=${reply.leaderId} protocol=${reply.protocolName}${list}${skip}`;
    }
  }
}

function codeName(code: number): string {
  const found = Object.entries(ErrorCode).find(([, value]) => value === code);
  const name = found?.[0] ?? String(code);
  return name === "none" ? "ok" : name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** What must hold after every event. */
export function checkInvariants(group: Group): void {
  const { members, leaderId, pendingMemberIds, pendingSyncIds, state } = group;
  assert((leaderId === null) === (members.size === 0), `leader ${leaderId} of ${members.size}`);
  assert(leaderId === null || members.has(leaderId), `leader ${leaderId} is no member`);
  assert(state !== "Empty" || members.size === 0, "an empty group has members");
  assert(state !== "Stable" || members.size > 0, "a stable group has no members");
  const instances = [...members.values()].flatMap((member) => member.groupInstanceId ?? []);
  assert(new Set(instances).size === instances.length, "a group instance id is there twice");
  for (const id of pendingMemberIds) assert(!members.has(id), `${id} is member and pending`);
  for (const id of pendingSyncIds) assert(members.has(id), `${id} should sync but is no member`);
  for (const [memberId, member] of members) {
    assert(member.memberId === memberId, "a member stands under another id");
    const waitsForSync = member.syncRequestId !== undefined;
    assert(!waitsForSync || state === "CompletingRebalance", `${memberId} waits for a sync`);
  }
}
