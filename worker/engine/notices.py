"""Native notices about groups, people and calls to contract events; like translate, which has the messages.

The protobuf fields are those of neonize 0.5.2 (`Neonize.proto`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.happenings import (
    CallChanged,
    GroupChanged,
    GroupJoined,
    Happening,
    NewsletterJoined,
    NewsletterLeft,
    NewsletterMuted,
    NewsletterPost,
    NewsletterPosted,
    Person,
    PictureChanged,
    PresenceChanged,
    TypingChanged,
)
from worker.engine.natives import neonize
from worker.engine.translate import bare, content_of, enum_name, is_user, moment, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Known = Mapping[str, str]

HISTORY: Final = 13
"""The number of a HistorySync event; see worker.engine.history."""


# --- people in a notice -----------------------------------------------------------------------


def people(code: int, native: Any) -> set[str]:
    """The addresses of persons in a notice, to look up their other halves."""
    found = {bare(jid) for jid in PEOPLE[code](native)}
    return {text for text in found if text is not None and is_user(text)}


def _person(known: Known, *natives: Any) -> Person:
    """Somebody told by one or two addresses."""
    texts = [text for text in map(bare, natives) if text is not None]
    jid, lid = pair(texts[0] if texts else None, texts[1] if len(texts) > 1 else None, known)
    return Person(jid=jid or (None if lid or not texts else texts[0]), lid=lid)


def _persons(known: Known, natives: Iterable[Any]) -> list[Person]:
    return [_person(known, native) for native in natives]


# --- groups ----------------------------------------------------------------------------------------


def joined_group(native: Any, known: Known) -> Happening:
    """JoinedGroup."""
    group = native.GroupInfo
    sender = [native.Sender] if native.HasField("Sender") else []
    sender += [native.SenderPN] if native.HasField("SenderPN") else []
    return GroupJoined(
        group=bare(group.JID) or "",
        name=group.GroupName.Name,
        topic=group.GroupTopic.Topic,
        members=[_person(known, member.JID, member.PhoneNumber) for member in group.Participants],
        sender=_person(known, *sender) if sender else None,
        reason=native.Reason or None,
    )


def group_info(native: Any, known: Known) -> Happening | None:
    """GroupInfoEvent; None for changes the library does not name."""
    change = GroupChanged(
        group=bare(native.JID) or "",
        timestamp=moment(native.Timestamp),
        sender=_person(known, native.Sender) if native.HasField("Sender") else None,
        name=native.Name.Name if native.HasField("Name") else None,
        topic=native.Topic.Topic if native.HasField("Topic") else None,
        locked=native.Locked.isLocked if native.HasField("Locked") else None,
        announce=native.Announce.IsAnnounce if native.HasField("Announce") else None,
        ephemeral_s=native.Ephemeral.DisappearingTimer if native.HasField("Ephemeral") else None,
        invite_link=native.NewInviteLink or None,
        deleted=True if native.HasField("Delete") and native.Delete.Deleted else None,
        joined=_persons(known, native.Join),
        left=_persons(known, native.Leave),
        promoted=_persons(known, native.Promote),
        demoted=_persons(known, native.Demote),
        join_reason=native.JoinReason or None,
    )
    return None if change == GroupChanged(change.group, change.timestamp, change.sender) else change


# --- people ------------------------------------------------------------------------------------------


def picture(native: Any, known: Known) -> Happening:
    """Picture: of a person or a group."""
    jid, lid = pair(bare(native.JID), None, known)
    return PictureChanged(
        jid=jid or bare(native.JID) or "",
        lid=lid,
        author=_person(known, native.Author),
        removed=native.Remove,
        timestamp=moment(native.Timestamp),
    )


def presence(native: Any, known: Known) -> Happening:
    """Presence; Go's zero time, where nobody told, is far below zero."""
    return PresenceChanged(
        contact=_person(known, native.From),
        online=not native.Unavailable,
        last_seen=moment(native.LastSeen) if native.LastSeen > 0 else None,
    )


def typing(native: Any, known: Known) -> Happening:
    """ChatPresence."""
    source = native.MessageSource
    chat = bare(source.Chat) or ""
    jid, lid = pair(chat, None, known) if is_user(chat) else (chat, None)
    state = "paused" if native.State == 2 else "recording" if native.Media == 2 else "typing"
    return TypingChanged(
        chat=jid or chat,
        chat_lid=lid,
        sender=_person(known, source.Sender, source.SenderAlt),
        is_group=source.IsGroup,
        state=state,
    )


# --- calls -----------------------------------------------------------------------------------------------


def _call(state: str) -> Callable[[Any, Known], Happening]:
    def translated(native: Any, known: Known) -> Happening:
        meta = native.basicCallMeta
        names = native.DESCRIPTOR.fields_by_name
        remote = native.callRemoteMeta if "callRemoteMeta" in names else None
        return CallChanged(
            call_id=meta.callID,
            caller=_person(known, meta.callCreator, meta.callCreatorAlt),
            state=state,
            video=_is_video(native),
            timestamp=moment(meta.timestamp),
            reason=native.reason or None if "reason" in names else None,
            group=_called_group(native),
            platform=remote.remotePlatform or None if remote is not None else None,
            version=remote.remoteVersion or None if remote is not None else None,
        )

    return translated


def _is_video(native: Any) -> bool:
    """An offer lists its media as children; a group's notice names it."""
    if "media" in native.DESCRIPTOR.fields_by_name:
        return bool(native.media == "video")
    return any(child.Tag == "video" for child in native.data.Nodes)


def _called_group(native: Any) -> str | None:
    """A group's call names it as an attribute of the notice, which the library hands on as it came."""
    for attribute in native.data.Attrs:
        if attribute.name == "group-jid":
            return bare(attribute.jid) if attribute.HasField("jid") else attribute.text or None
    return None


# --- channels --------------------------------------------------------------------------------------------


def followed(native: Any, _: Known) -> Happening:
    """NewsletterJoin."""
    channel = native.NewsletterMetadata
    return NewsletterJoined(
        newsletter=bare(channel.ID) or "",
        name=channel.ThreadMeta.Name.Text,
        description=channel.ThreadMeta.Description.Text,
        role=enum_name(channel.ViewerMeta, "Role") if channel.HasField("ViewerMeta") else None,
    )


def unfollowed(native: Any, _: Known) -> Happening:
    """NewsletterLeave."""
    return NewsletterLeft(newsletter=bare(native.ID) or "", role=enum_name(native, "Role"))


def channel_muted(native: Any, _: Known) -> Happening:
    """NewsletterMuteChange."""
    return NewsletterMuted(newsletter=bare(native.ID) or "", muted=enum_name(native, "Mute") == "on")


def posted(native: Any, _: Known) -> Happening:
    """NewsletterLiveUpdate."""
    return NewsletterPosted(
        newsletter=bare(native.JID) or "",
        posts=[_post(post) for post in native.Messages],
        timestamp=moment(native.TIME),
    )


def _post(native: Any) -> NewsletterPost:
    said = content_of(native.Message) if native.HasField("Message") else None
    return NewsletterPost(
        server_id=native.MessageServerID,
        kind=said[0] if said else None,
        text=said[1] if said else None,
        views=native.ViewsCount,
        reactions={reaction.type: reaction.count for reaction in native.ReactionCounts},
    )


def _source(native: Any) -> list[Any]:
    return [native.MessageSource.Chat, native.MessageSource.Sender]


def _of_group(native: Any) -> list[Any]:
    actor = [native.Sender] if native.HasField("Sender") else []
    return [*actor, *native.Join, *native.Leave, *native.Promote, *native.Demote]


def _of_call(native: Any) -> list[Any]:
    return [native.basicCallMeta.callCreator]


_CALLS: Final = {
    36: (neonize.CallOffer, _call("ringing")),
    37: (neonize.CallAccept, _call("accepted")),
    40: (neonize.CallOfferNotice, _call("ringing")),
    42: (neonize.CallTerminate, _call("ended")),
}

JOURNALED: Final[dict[int, tuple[Any, Callable[[Any, Known], Happening | None]]]] = {
    21: (neonize.JoinedGroup, joined_group),
    22: (neonize.GroupInfoEvent, group_info),
    23: (neonize.Picture, picture),
    32: (neonize.NewsletterJoin, followed),
    33: (neonize.NewsletterLeave, unfollowed),
    34: (neonize.NewsletterMuteChange, channel_muted),
    35: (neonize.NewsletterLiveUpdate, posted),
    **_CALLS,
}
"""The library's number of an event → its type and its translation: what must not be lost."""

PASSING: Final[dict[int, tuple[Any, Callable[[Any, Known], Happening | None]]]] = {
    19: (neonize.ChatPresence, typing),
    20: (neonize.Presence, presence),
}
"""The same for what is over in a moment: not worth a write to the disk before it is told."""

PEOPLE: Final[dict[int, Callable[[Any], list[Any]]]] = {
    19: _source,
    20: lambda native: [native.From],
    21: lambda native: [native.Sender] if native.HasField("Sender") else [],
    22: _of_group,
    23: lambda native: [native.JID, native.Author],
    **dict.fromkeys((32, 33, 34, 35), lambda _: []),
    **dict.fromkeys(_CALLS, _of_call),
}
"""The library's number of an event → the persons in it."""

ALL: Final = {**JOURNALED, **PASSING}
