/** Who a request claims to be: member id and group instance id against the group. */

import { ErrorCode } from "../protocol/errors.ts";
import type { Group } from "./group.ts";
import { staticMember } from "./group.ts";
import type { MemberIdentity } from "./group-events.ts";

/** @returns none, UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when another holds the group instance id. */
export function memberFault(group: Group, identity: MemberIdentity): ErrorCode {
  const { memberId, groupInstanceId } = identity;
  const member = group.members.get(memberId);
  if (groupInstanceId !== null && member?.groupInstanceId !== groupInstanceId) {
    const holder = staticMember(group, groupInstanceId);
    return holder ? ErrorCode.fencedInstanceId : ErrorCode.unknownMemberId;
  }
  return member ? ErrorCode.none : ErrorCode.unknownMemberId;
}
