"""Examples of what a client asks of one session: groups, people, chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract import chats, groups, people, worker

if TYPE_CHECKING:
    import msgspec

_GROUP: Final = "120363024512399999@g.us"
_JID: Final = "5511900000001@s.whatsapp.net"

SESSION_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    worker.RenewalRules(after_pairing=False, grown_bytes=4 << 20, idle_s=60.0),
    worker.Retention(days=90, rows=100_000, media_s=604_800.0, media_bytes=1 << 30),
    groups.CreateGroup(title="Lab", participants=["5511900000001"]),
    groups.ChangeMembers(group_id=_GROUP, participants=["5511900000001"]),
    groups.JoinGroup(link="https://chat.whatsapp.com/AbC"),
    groups.LeaveGroup(group_id=_GROUP),
    groups.SetGroupName(group_id=_GROUP, name="Lab"),
    groups.SetGroupTopic(group_id=_GROUP, topic="Rules"),
    groups.SetGroupLocked(group_id=_GROUP, locked=True),
    groups.SetGroupAnnounce(group_id=_GROUP, announce=True),
    people.SetPushName(push_name="Ana"),
    people.FollowPresence(phone="5511900000001", follow=False),
    people.UnfollowNewsletter(newsletter_id="120363144038483540@newsletter"),
    people.WatchNewsletter(newsletter_id="120363144038483540@newsletter"),
    people.RejectCall(caller_jid=_JID, call_id="ABC123"),
    chats.PinChat(pinned=True),
    chats.ArchiveChat(archived=True),
    chats.SetDisappearing(timer_seconds=86_400),
)
