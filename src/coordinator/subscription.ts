/** What the members of a group of consumers subscribe to, read from the metadata of their protocol. */

import { KafkaError } from "../protocol/errors.ts";
import { readConsumerProtocolSubscription } from "../protocol/generated/consumer-protocol-subscription.ts";
import { Reader } from "../protocol/reader.ts";
import type { Group } from "./group.ts";
import { metadataOf } from "./group.ts";

/** The protocol type of Kafka's consumers; others (Connect, registries) say nothing about topics. */
const CONSUMER_PROTOCOL_TYPE = "consumer";
/** Every version begins with the fields of version 0. */
const PREFIX_VERSION = 0;

/** Topics that some member subscribes to; undefined when the group does not say. */
export function subscribedTopicsOf(group: Group): ReadonlySet<string> | undefined {
  if (group.protocolType !== CONSUMER_PROTOCOL_TYPE) return undefined;
  const topics = new Set<string>();
  try {
    for (const member of group.members.values()) {
      const reader = new Reader(metadataOf(member, group.protocolName));
      reader.readInt16(); // The version that the client wrote.
      const subscription = readConsumerProtocolSubscription(reader, PREFIX_VERSION);
      for (const topic of subscription.topics) topics.add(topic);
    }
  } catch (thrown) {
    if (thrown instanceof KafkaError) return undefined; // A client's own format: we cannot know.
    throw thrown;
  }
  return topics;
}
