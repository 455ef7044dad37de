/** Random valid commands for metadata tests, and what a store shows. */

import type { Random } from "../../src/core/clock.ts";
import type { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import type { MetaCommand, StoredGroup } from "../../src/meta/meta-store.ts";

/** A command that `store` accepts, provided that all commands before are applied. */
export function randomCommand(store: LocalMetaStore, random: Random): MetaCommand {
  const pick = (count: number) => Math.floor(random() * count);
  const topics = [...store.topics()];
  const topic = topics[pick(topics.length)];
  const groupId = `group-${pick(5)}`;
  const place = () => ({ topic: topic?.name ?? "none", partition: pick(4) });
  switch (topic ? pick(10) : 0) {
    case 0: {
      const name = `topic-${pick(1_000_000)}`;
      const configs = { "retention.ms": `${pick(1000)}` };
      const topicId = `id-${pick(1_000_000_000)}`;
      const partitionCount = 1 + pick(4);
      return {
        kind: "topicCreated",
        topic: { topicId, name, partitionCount, configs, createdMs: pick(1e9) },
      };
    }
    case 1:
      return {
        kind: "partitionsAdded",
        topicId: topic?.topicId ?? "",
        partitionCount: (topic?.partitionCount ?? 0) + 1,
      };
    case 2:
      return { kind: "topicDeleted", topicId: topic?.topicId ?? "", name: topic?.name ?? "" };
    case 3:
      return {
        kind: "topicConfigsSet",
        topicId: topic?.topicId ?? "",
        configs: { a: "ä\n\u0000" },
      };
    case 4:
      return { kind: "offsetsRemoved", groupId, partitions: [place()] };
    case 5:
      return { kind: "groupStored", group: randomGroup(groupId, pick) };
    case 6:
      return { kind: "groupRemoved", groupId };
    case 8: {
      const offsets = [{ partition: pick(4), offset: 1 + pick(1000) }];
      return { kind: "logStartOffsetsSet", topicId: topic?.topicId ?? "", offsets };
    }
    case 7:
      return { kind: "producerIdsAllocated", nextProducerId: store.nextProducerId + 1000 };
    default: {
      const offsets = Array.from({ length: 1 + pick(40) }, () => ({
        ...place(),
        offset: pick(2 ** 40),
        leaderEpoch: pick(3) - 1,
        metadata: "m".repeat(pick(20)),
        commitTimestampMs: pick(1e9),
        ...(pick(2) === 0 ? {} : { expireTimestampMs: pick(1e9) }),
      }));
      return { kind: "offsetsCommitted", groupId, offsets };
    }
  }
}

/** Everything that reads can tell, in an order of its own. */
export function viewOf(store: LocalMetaStore): unknown {
  return {
    topics: [...store.topics()].sort((left, right) => (left.name < right.name ? -1 : 1)),
    byId: [...store.topics()].every((topic) => store.topicById(topic.topicId) === topic),
    starts: [...store.topics()]
      .map(({ name, topicId }) => [name, [0, 1, 2, 3].map((i) => store.logStartOffset(topicId, i))])
      .sort(([left = ""], [right = ""]) => (left < right ? -1 : 1)),
    groups: [...store.groupIds()].sort().map((groupId) => ({
      stored: store.storedGroup(groupId),
      offsets: Object.fromEntries(
        [...store.committedOffsets(groupId)].map((committed) => [
          `${committed.topic}/${committed.partition}`,
          committed,
        ]),
      ),
    })),
    counts: [store.topicCount, store.groupCount, store.committedOffsetsBytes],
    nextProducerId: store.nextProducerId,
  };
}

function randomGroup(groupId: string, pick: (count: number) => number): StoredGroup {
  const members = Array.from({ length: pick(3) }, (_, index) => ({
    memberId: `member-${index}`,
    groupInstanceId: pick(2) === 0 ? null : `instance-${index}`,
    clientId: "client",
    clientHost: "/127.0.0.1",
    rebalanceTimeoutMs: 60_000,
    sessionTimeoutMs: 10_000,
    subscription: "AAA=",
    assignment: "",
  }));
  const protocolName = members.length === 0 ? null : "range";
  const leaderId = members[0]?.memberId ?? null;
  const generationId = pick(100);
  const stateTimestampMs = pick(1e9);
  const protocolType = "consumer";
  return { groupId, protocolType, generationId, protocolName, leaderId, stateTimestampMs, members };
}
