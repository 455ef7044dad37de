/** Settings and limits of the group coordinator. Names are Kafka's where it has the setting. */

/** The part of the broker's configuration that groups need. */
export interface GroupSettings {
  readonly groupInitialRebalanceDelayMs: number;
  readonly groupMinSessionTimeoutMs: number;
  readonly groupMaxSessionTimeoutMs: number;
  /** Offsets of a group without members are kept this long. */
  readonly offsetsRetentionMinutes: number;
  /** Members of one group, and ids given out; then JoinGroup answers GROUP_MAX_SIZE_REACHED. */
  readonly groupMaxSize: number;
  /** Groups there can be; then a new one is answered GROUP_MAX_SIZE_REACHED. */
  readonly groupsMax: number;
  /** Subscriptions and assignments of all members together; then JoinGroup answers GROUP_MAX_SIZE_REACHED. */
  readonly groupMembersBytesMax: number;
  /** Committed offsets of all groups; then new ones are answered INVALID_COMMIT_OFFSET_SIZE. */
  readonly committedOffsetsBytesMax: number;
  /** Characters of text that a client may store with an offset; then OFFSET_METADATA_TOO_LARGE. */
  readonly offsetMetadataMaxBytes: number;
}

/** A JoinGroup of a new member is held no longer (as in Kafka, not configurable): its client may be gone. */
export const NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000;
