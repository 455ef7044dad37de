/** What a topic may be called (source: Apache Kafka's `org.apache.kafka.common.internals.Topic`). */

/** Longest name, in characters. */
const TOPIC_NAME_LENGTH_MAX = 249;

const LEGAL_NAME = /^[a-zA-Z0-9._-]+$/;

/** What is wrong with `name`, in Kafka's words; undefined if nothing is. */
export function topicNameFaultOf(name: string): string | undefined {
  if (name === "") return "Topic name is invalid: the empty string is not allowed";
  if (name === "." || name === "..") return "Topic name is invalid: '.' or '..' is not allowed";
  if (name.length > TOPIC_NAME_LENGTH_MAX) {
    return `Topic name is invalid: the length of '${name.slice(0, 20)}…' is longer than the max allowed length ${TOPIC_NAME_LENGTH_MAX}`;
  }
  if (!LEGAL_NAME.test(name)) {
    return `Topic name is invalid: '${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`;
  }
  return undefined;
}
