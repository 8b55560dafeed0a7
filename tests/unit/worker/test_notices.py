"""Native notices about groups, people and calls, built from the library's own types, as contract events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ecosystem.contract.happenings import (
    CallChanged,
    GroupChanged,
    GroupJoined,
    NewsletterJoined,
    NewsletterLeft,
    NewsletterMuted,
    NewsletterPost,
    NewsletterPosted,
    Person,
    PictureChanged,
)
from tests.unit.worker.test_translate import BEA, BEA_LID, GROUP, ME, ME_LID, NOTHING, source
from worker.engine import lifecycle, notices, translate
from worker.engine.natives import neonize
from worker.engine.translate import native_jid

KNOWN = {BEA: BEA_LID, BEA_LID: BEA, ME: ME_LID, ME_LID: ME}
AT = 1_767_225_600
MOMENT = dt.datetime.fromtimestamp(AT, dt.UTC)
BOTH = Person(jid=BEA, lid=BEA_LID)


def group_event(**changes: Any) -> Any:
    return neonize.GroupInfoEvent(
        JID=native_jid(GROUP),
        Notify="Bea",
        Sender=native_jid(BEA_LID),
        Timestamp=AT,
        PrevParticipantsVersionID="",
        ParticipantVersionID="",
        JoinReason="",
        **changes,
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"Name": neonize.GroupName(Name="Lab", NameSetAt=AT, NameSetBy=NOTHING)}, {"name": "Lab"}),
        ({"Locked": neonize.GroupLocked(isLocked=False)}, {"locked": False}),
        ({"Announce": neonize.GroupAnnounce(IsAnnounce=True, AnnounceVersionID="1")}, {"announce": True}),
        ({"Ephemeral": neonize.GroupEphemeral(IsEphemeral=False, DisappearingTimer=0)}, {"ephemeral_s": 0}),
        ({"NewInviteLink": "https://chat.whatsapp.com/x"}, {"invite_link": "https://chat.whatsapp.com/x"}),
        ({"Delete": neonize.GroupDelete(Deleted=True, DeletedReason="admin")}, {"deleted": True}),
        ({"Join": [native_jid(BEA_LID)]}, {"joined": [BOTH]}),
        ({"Leave": [native_jid(BEA)]}, {"left": [BOTH]}),
        ({"Promote": [native_jid("99@lid")]}, {"promoted": [Person(lid="99@lid")]}),
        ({"Demote": [native_jid(BEA_LID)]}, {"demoted": [BOTH]}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_change_of_a_group_alone(changes: dict[str, Any], told: dict[str, Any]) -> None:
    found = notices.group_info(group_event(**changes), KNOWN)
    assert found == GroupChanged(group=GROUP, timestamp=MOMENT, sender=BOTH, **told)


def test_a_topic_taken_away_is_an_empty_one() -> None:
    topic = neonize.GroupTopic(Topic="", TopicID="1", TopicSetAt=AT, TopicSetBy=NOTHING, TopicDeleted=True)
    found = notices.group_info(group_event(Topic=topic), KNOWN)
    assert isinstance(found, GroupChanged)
    assert found.topic == ""


def test_a_change_the_library_does_not_name_is_not_told() -> None:
    assert notices.group_info(group_event(UnknownChanges=[neonize.Node(Tag="growth_locked")]), KNOWN) is None


def test_a_group_that_was_joined_names_its_members_by_both_addresses() -> None:
    native = neonize.JoinedGroup(Reason="invite", Type="", CreateKey="")
    native.GroupInfo.JID.CopyFrom(native_jid(GROUP))
    native.GroupInfo.GroupName.Name = "Lab"
    member = native.GroupInfo.Participants.add(IsAdmin=True, IsSuperAdmin=False, DisplayName="", Error=0)
    member.JID.CopyFrom(native_jid(BEA_LID))
    member.PhoneNumber.CopyFrom(native_jid(BEA))
    member.LID.CopyFrom(NOTHING)
    found = notices.joined_group(native, {})
    assert found == GroupJoined(group=GROUP, name="Lab", topic="", members=[BOTH], sender=None, reason="invite")


@pytest.mark.parametrize(("jid", "told", "lid"), [(BEA_LID, BEA, BEA_LID), (GROUP, GROUP, None)])
def test_pictures_of_people_and_groups(jid: str, told: str, lid: str | None) -> None:
    native = neonize.Picture(JID=native_jid(jid), Author=native_jid(BEA_LID), Timestamp=AT, Remove=True)
    assert notices.picture(native, KNOWN) == PictureChanged(told, lid, BOTH, removed=True, timestamp=MOMENT)


def call(kind: Any, *, creator: str = BEA_LID, media: str = "", **more: Any) -> Any:
    native = kind(**more)
    meta = native.basicCallMeta
    getattr(meta, "from").CopyFrom(native_jid(creator))
    meta.timestamp, meta.callID = AT, "CALL1"
    meta.callCreator.CopyFrom(native_jid(creator))
    meta.callCreatorAlt.CopyFrom(NOTHING)
    native.data.Tag = "offer"
    if media:
        native.data.Nodes.add(Tag=media)
    return native


@pytest.mark.parametrize(
    ("code", "kind", "more", "state", "video", "reason"),
    [
        (36, neonize.CallOffer, {"media": "video"}, "ringing", True, None),
        (36, neonize.CallOffer, {"media": "audio"}, "ringing", False, None),
        (37, neonize.CallAccept, {}, "accepted", False, None),
        (42, neonize.CallTerminate, {"reason": "timeout"}, "ended", False, "timeout"),
    ],
)
def test_calls(code: int, kind: Any, more: dict[str, str], state: str, video: bool, reason: str | None) -> None:
    _, function = notices.JOURNALED[code]
    assert function(call(kind, **more), KNOWN) == CallChanged("CALL1", BOTH, state, video, MOMENT, reason)


def test_a_groups_call_is_only_noticed_and_names_its_media() -> None:
    native = neonize.CallOfferNotice(media="video", type="group")
    native.basicCallMeta.callID = "CALL2"
    native.basicCallMeta.callCreator.CopyFrom(native_jid(BEA))
    native.basicCallMeta.timestamp = AT
    _, function = notices.JOURNALED[40]
    found = function(native, KNOWN)
    assert isinstance(found, CallChanged)
    assert (found.call_id, found.video, found.caller) == ("CALL2", True, BOTH)


def test_what_a_call_tells_besides() -> None:
    native = call(neonize.CallOffer)
    native.callRemoteMeta.remotePlatform, native.callRemoteMeta.remoteVersion = "android", "2.24"
    native.data.Attrs.add(name="call-id", text="CALL1")
    native.data.Attrs.add(name="group-jid", jid=native_jid(GROUP))
    found = notices.JOURNALED[36][1](native, KNOWN)
    assert isinstance(found, CallChanged)
    assert (found.platform, found.version, found.group) == ("android", "2.24", GROUP)


CHANNEL = "120363144038483540@newsletter"


def test_channels() -> None:
    joined = neonize.NewsletterJoin()
    joined.NewsletterMetadata.ID.CopyFrom(native_jid(CHANNEL))
    joined.NewsletterMetadata.ThreadMeta.Name.Text = "News"
    joined.NewsletterMetadata.ThreadMeta.Description.Text = "Every day"
    joined.NewsletterMetadata.ViewerMeta.Role = 1
    told: list[Any] = [
        (32, joined, NewsletterJoined(CHANNEL, "News", "Every day", "subscriber")),
        (33, neonize.NewsletterLeave(ID=native_jid(CHANNEL), Role=2), NewsletterLeft(CHANNEL, "guest")),
        (34, neonize.NewsletterMuteChange(ID=native_jid(CHANNEL), Mute=1), NewsletterMuted(CHANNEL, muted=True)),
        (34, neonize.NewsletterMuteChange(ID=native_jid(CHANNEL), Mute=2), NewsletterMuted(CHANNEL, muted=False)),
    ]
    for code, native, wanted in told:
        assert notices.people(code, native) == set()
        assert notices.JOURNALED[code][1](native, {}) == wanted


def test_posts_of_a_channel() -> None:
    native = neonize.NewsletterLiveUpdate(JID=native_jid(CHANNEL), TIME=AT)
    post = native.Messages.add(MessageServerID=7, ViewsCount=15)
    post.ReactionCounts.add(type="👍", count=3)
    post.Message.conversation = "hello"
    native.Messages.add(MessageServerID=8, ViewsCount=1)
    assert notices.JOURNALED[35][1](native, {}) == NewsletterPosted(
        CHANNEL, [NewsletterPost(7, "text", "hello", 15, {"👍": 3}), NewsletterPost(8, None, None, 1)], MOMENT
    )


@pytest.mark.parametrize(("state", "media", "told"), [(1, 1, "typing"), (1, 2, "recording"), (2, 1, "paused")])
def test_typing(state: int, media: int, told: str) -> None:
    native = neonize.ChatPresence(MessageSource=source(BEA_LID, BEA_LID), State=state, Media=media)
    found: Any = notices.typing(native, KNOWN)
    assert (found.chat, found.chat_lid, found.sender, found.state, found.is_group) == (BEA, BEA_LID, BOTH, told, False)
    native = neonize.ChatPresence(MessageSource=source(GROUP, BEA_LID), State=state, Media=media)
    found = notices.typing(native, KNOWN)
    assert (found.chat, found.chat_lid, found.is_group) == (GROUP, None, True)


@pytest.mark.parametrize(("seen", "told"), [(AT, MOMENT), (-62_135_596_800, None), (0, None)])
def test_presence_and_gos_zero_time(seen: int, told: dt.datetime | None) -> None:
    found: Any = notices.presence(neonize.Presence(From=native_jid(BEA), Unavailable=True, LastSeen=seen), KNOWN)
    assert (found.contact, found.online, found.last_seen) == (BOTH, False, told)


def test_the_tables_fit_together() -> None:
    assert notices.ALL.keys() == notices.PEOPLE.keys()
    assert not notices.JOURNALED.keys() & notices.PASSING.keys()
    others = {*translate.JOURNALED, *lifecycle.LIFECYCLE, notices.HISTORY}
    assert not others & notices.ALL.keys()


def test_people_to_look_up_are_persons_only() -> None:
    event = group_event(Join=[native_jid("99@lid")], Leave=[native_jid(BEA)])
    assert notices.people(22, event) == {BEA_LID, "99@lid", BEA}
    native = neonize.Picture(JID=native_jid(GROUP), Author=NOTHING, Timestamp=AT, Remove=False)
    assert notices.people(23, native) == set()
