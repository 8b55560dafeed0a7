"""Examples of what a client asks of one session: groups, people, chats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ecosystem.contract import chats, groups, happenings, people, worker

if TYPE_CHECKING:
    import msgspec

_GROUP: Final = "120363024512399999@g.us"
_JID: Final = "5511900000001@s.whatsapp.net"
_LID: Final = "123456789@lid"
_AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ANA: Final = happenings.Person(jid=_JID, lid=_LID, name="Ana")

SESSION_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    worker.Retention(days=90, rows=100_000),
    groups.CreateGroup(title="Lab", participants=["5511900000001"]),
    groups.ChangeMembers(group_id=_GROUP, participants=["5511900000001"]),
    groups.JoinGroup(link="https://chat.whatsapp.com/AbC"),
    groups.LeaveGroup(group_id=_GROUP),
    groups.SetGroupName(group_id=_GROUP, name="Lab"),
    groups.SetGroupTopic(group_id=_GROUP, topic="Rules"),
    groups.SetGroupLocked(group_id=_GROUP, locked=True),
    groups.SetGroupAnnounce(group_id=_GROUP, announce=True),
    people.SetPushName(push_name="Ana"),
    people.UnfollowNewsletter(newsletter_id="120363144038483540@newsletter"),
    people.RejectCall(caller_jid=_JID, call_id="ABC123"),
    chats.PinChat(pinned=True),
    chats.ArchiveChat(archived=True),
    chats.SetDisappearing(timer_seconds=86_400),
    happenings.GroupJoined(group=_GROUP, name="Lab", topic="Rules", members=[_ANA], sender=_ANA, reason="invite"),
    happenings.GroupChanged(
        group=_GROUP,
        timestamp=_AT,
        sender=_ANA,
        name="Lab",
        topic="Rules",
        locked=True,
        announce=True,
        ephemeral_s=86_400,
        invite_link="https://chat.whatsapp.com/AbC",
        deleted=True,
        joined=[_ANA],
        left=[_ANA],
        promoted=[_ANA],
        demoted=[_ANA],
        join_reason="invite",
    ),
    happenings.PictureChanged(jid=_JID, lid=_LID, author=_ANA, removed=True, timestamp=_AT),
    happenings.ContactChanged(contact=_ANA, old_name="Anna"),
    happenings.CallChanged(call_id="ABC", caller=_ANA, state="ended", video=True, timestamp=_AT, reason="timeout"),
    happenings.PresenceChanged(contact=_ANA, online=False, last_seen=_AT),
    happenings.TypingChanged(chat=_JID, chat_lid=_LID, sender=_ANA, is_group=True, state="typing"),
    happenings.HistorySynced(kind="recent", progress=50, chunk=2, chats=3, messages=40, names=5),
    happenings.PollVoted(
        poll_id="3EB0",
        chat=_GROUP,
        chat_lid=_LID,
        voter=_ANA,
        from_me=True,
        options=["yes", None],
        hashes=["8d7f", "aa01"],
        timestamp=_AT,
    ),
)
