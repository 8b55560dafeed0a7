"""Operations on people, groups, newsletters and chats: what they ask of the library, and what they make of its answers."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.errors import (
    DomainError,
    GroupNotFound,
    InvalidImage,
    InviteLinkInvalid,
    NewsletterNotFound,
    NotGroupAdmin,
    NotInGroup,
    PictureHidden,
    PictureNotFound,
    WhatsAppRateOverlimit,
    WhatsAppRejected,
)
from tests.unit.worker.test_translate import BEA, BEA_LID, GROUP, NOTHING
from worker.engine import golib, translate
from worker.engine.exports import EXPORTS
from worker.engine.natives import e2e, neonize
from worker.engine.operations import chats, groups, newsletters, people, polls
from worker.engine.translate import native_jid

if TYPE_CHECKING:
    from pathlib import Path

AT = 1_767_225_600
MOMENT = dt.datetime.fromtimestamp(AT, dt.UTC)


class Answering:
    """A library that gives one answer, and keeps what it was asked."""

    def __init__(self, answer: Any = b"") -> None:
        self._answer = answer.SerializeToString() if hasattr(answer, "SerializeToString") else answer
        self.asked: list[tuple[str, tuple[bytes | str | int, ...]]] = []

    def call(self, name: str, *arguments: bytes | str | int) -> bytes:
        takes = EXPORTS[name].partition(">")[0]
        kinds = {"m": bytes, "s": str, "i": int, "l": int, "q": int}
        assert len(takes) == len(arguments), name
        assert all(isinstance(value, kinds[letter]) for letter, value in zip(takes, arguments, strict=True)), name
        self.asked.append((name, arguments))
        return bytes(self._answer)

    def upload(self, path: Path, kind: int) -> bytes:
        raise AssertionError("nothing is uploaded here")

    def download(self, message: bytes, target: Path) -> str:
        raise AssertionError("nothing is downloaded here")


def native_group(**changes: Any) -> Any:
    found = neonize.GroupInfo(GroupCreated=float(AT), ParticipantVersionID="7")
    found.JID.CopyFrom(native_jid(GROUP))
    found.OwnerJID.CopyFrom(native_jid(BEA_LID))
    found.OwnerPN.CopyFrom(native_jid(BEA))
    found.GroupName.CopyFrom(neonize.GroupName(Name="Lab", NameSetAt=AT, NameSetBy=native_jid(BEA_LID)))
    found.GroupTopic.CopyFrom(
        neonize.GroupTopic(Topic="", TopicID="", TopicSetAt=-62_135_596_800, TopicSetBy=NOTHING, TopicDeleted=False)
    )
    found.GroupLocked.isLocked = True
    found.GroupAnnounce.CopyFrom(neonize.GroupAnnounce(IsAnnounce=False, AnnounceVersionID="3"))
    found.GroupEphemeral.CopyFrom(neonize.GroupEphemeral(IsEphemeral=True, DisappearingTimer=86_400))
    found.GroupIncognito.IsIncognito = False
    found.GroupParent.CopyFrom(neonize.GroupParent(IsParent=False, DefaultMembershipApprovalMode=""))
    found.GroupLinkedParent.LinkedParentJID.CopyFrom(NOTHING)
    found.GroupIsDefaultSub.IsDefaultSubGroup = False
    found.Participants.extend(changes.get("members", ()))
    return found


def native_member(jid: str, other: str = "", **more: Any) -> Any:
    values = {"IsAdmin": False, "IsSuperAdmin": False, "DisplayName": "", "Error": 0, **more}
    return neonize.GroupParticipant(
        JID=native_jid(jid), LID=NOTHING, PhoneNumber=native_jid(other) if other else NOTHING, **values
    )


def test_a_group_with_everything_told_of_it() -> None:
    member = native_member(BEA_LID, BEA, IsSuperAdmin=True)
    client = Answering(neonize.GetGroupInfoReturnFunction(GroupInfo=native_group(members=[member])))
    found = groups.info(client, GROUP)
    assert client.asked == [("GetGroupInfo", (native_jid(GROUP).SerializeToString(),))]
    assert (found.jid, found.name, found.owner, found.owner_lid) == (GROUP, "Lab", BEA, BEA_LID)
    assert (found.name_set_at, found.topic_set_at, found.is_locked, found.ephemeral_s) == (MOMENT, None, True, 86_400)
    assert found.created is not None
    assert abs(found.created - MOMENT) <= dt.timedelta(minutes=2, seconds=8), "a 32-bit float is not finer"
    assert found.members == (groups.Member(BEA, BEA_LID, is_admin=True, is_super_admin=True),)


def test_what_became_of_each_member() -> None:
    failed = native_member(
        BEA_LID, Error=403, AddRequest=neonize.GroupParticipantAddRequest(Code="abc", Expiration=0.0)
    )
    client = Answering(neonize.UpdateGroupParticipantsReturnFunction(participants=[failed]))
    assert groups.change_members(client, GROUP, (BEA,), "add") == [groups.Member(None, BEA_LID, error=403, code="abc")]
    ((name, arguments),) = client.asked
    assert (name, arguments[2]) == ("UpdateGroupParticipants", "add")


def test_who_asks_comes_with_microseconds() -> None:
    request = neonize.GroupParticipantRequest(Participant=native_jid(BEA_LID), TimeAt=AT * 1_000_000)
    client = Answering(neonize.GetGroupRequestParticipantsReturnFunction(Participants=[request]))
    assert groups.join_requests(client, GROUP) == [groups.JoinRequest(None, BEA_LID, MOMENT)]


IQ = "info query returned status {}"


@pytest.mark.parametrize(
    ("operation", "text", "error"),
    [
        (lambda c: groups.leave(c, GROUP), IQ.format("404: item-not-found"), GroupNotFound),
        (lambda c: groups.leave(c, GROUP), IQ.format("403: forbidden"), NotInGroup),
        (lambda c: groups.set_name(c, GROUP, "x"), IQ.format("403: forbidden"), NotGroupAdmin),
        (lambda c: groups.set_topic(c, GROUP, "x"), IQ.format("401: not-authorized"), NotGroupAdmin),
        (lambda c: groups.set_locked(c, GROUP, locked=True), IQ.format("429: rate-overlimit"), WhatsAppRateOverlimit),
        (lambda c: groups.set_announce(c, GROUP, announce=True), IQ.format("404: item-not-found"), GroupNotFound),
        (lambda c: newsletters.unfollow(c, "1@newsletter"), "graphql error: 404 gone (CRITICAL)", NewsletterNotFound),
    ],
)
def test_refusals_told_by_text(operation: Any, text: str, error: type[DomainError]) -> None:
    with pytest.raises(error):
        operation(Answering(text.encode()))


@pytest.mark.parametrize(
    ("operation", "kind", "text", "error"),
    [
        (lambda c: groups.info(c, GROUP), "GetGroupInfo", "you're not participating in that group", NotInGroup),
        (lambda c: groups.info(c, GROUP), "GetGroupInfo", "that group does not exist", GroupNotFound),
        (
            lambda c: groups.info_from_link(c, "x"), "GetGroupInfo",
            "that group invite link has been revoked", InviteLinkInvalid,
        ),
        (
            lambda c: groups.join_with_link(c, "x"), "JoinGroupWithLink",
            "that group invite link is not valid", InviteLinkInvalid,
        ),
        (
            lambda c: groups.invite_link(c, GROUP, reset=False), "GetGroupInviteLink",
            "you don't have the permission to get the group's invite link", NotGroupAdmin,
        ),
        (lambda c: groups.set_photo(c, GROUP, b"x"), "SetGroupPhoto", "the given data is not a valid image", InvalidImage),
        (lambda c: people.set_picture(c, b"x"), "SetGroupPhoto", IQ.format("406: not-acceptable"), InvalidImage),
        (
            lambda c: people.picture(c, BEA, preview=True, is_community=False), "GetProfilePicture",
            "the user has hidden their profile picture from you", PictureHidden,
        ),
        (
            lambda c: people.picture(c, BEA, preview=True, is_community=False), "GetProfilePicture",
            "that user or group does not have a profile picture", PictureNotFound,
        ),
    ],
)  # fmt: skip
def test_refusals_told_in_the_answer(operation: Any, kind: str, text: str, error: type[DomainError]) -> None:
    answer = getattr(neonize, f"{kind}ReturnFunction")(Error=text)
    if kind == "SetGroupPhoto":
        answer.PictureID = ""
    with pytest.raises(error):
        operation(Answering(answer))


def test_a_picture_that_is_not_told_is_none() -> None:
    with pytest.raises(PictureNotFound):
        people.picture(Answering(neonize.GetProfilePictureReturnFunction()), BEA, preview=False, is_community=False)


def test_a_profile() -> None:
    user = neonize.UserInfo(Status="hi", PictureID="9", Devices=[native_jid("4915100000002:3@s.whatsapp.net")])
    single = neonize.GetUserInfoSingleReturnFunction(JID=native_jid(BEA), UserInfo=user)
    found = people.profile(Answering(neonize.GetUserInfoReturnFunction(UsersInfo=[single])), BEA)
    assert found == people.Profile(BEA, "", "hi", "9", (people.Device("4915100000002", 0, 3, "s.whatsapp.net"),))
    assert people.profile(Answering(neonize.GetUserInfoReturnFunction()), BEA) is None


def test_numbers_are_asked_with_a_plus_and_an_empty_answer_means_nobody() -> None:
    client = Answering(neonize.IsOnWhatsAppReturnFunction(Error="Function returned nothing."))
    assert people.is_on_whatsapp(client, "4915100000002") == people.Presence(is_in=False, jid=None)
    assert client.asked == [("IsOnWhatsApp", ("+4915100000002",))]


def test_privacy_in_whatsapps_words() -> None:
    native = neonize.PrivacySettings(GroupAdd=2, LastSeen=3, Status=4, Profile=5, ReadReceipts=7, CallAdd=6, Online=1)
    assert people.privacy(Answering(native)) == people.Privacy(
        "all", "contacts", "contact_blacklist", "match_last_seen", "none", "known", ""
    )


def test_timers_go_out_in_nanoseconds_with_the_moment_of_the_change() -> None:
    client = Answering()
    chats.set_disappearing(client, BEA, 86_400)
    ((_, (_, nanoseconds, millis)),) = client.asked
    assert nanoseconds == 86_400 * 10**9
    assert isinstance(millis, int)
    assert abs(millis / 1000 - dt.datetime.now(dt.UTC).timestamp()) < 60


def test_a_vote_is_told_by_the_digests_of_its_options() -> None:
    digests = [hashlib.sha256(name).digest() for name in (b"soup", b"bread")]
    answer = neonize.ReturnFunctionWithError()
    answer.PollVoteMessage.selectedOptions.extend(digests)
    client = Answering(answer)
    assert polls.decrypt_vote(client, b"event") == [digest.hex() for digest in digests]
    assert client.asked == [("DecryptPollVote", (b"event",))]
    with pytest.raises(WhatsAppRejected):
        polls.decrypt_vote(
            Answering(neonize.ReturnFunctionWithError(Error="original message secret key not found")), b"x"
        )


@pytest.mark.parametrize("field", ["pollCreationMessage", "pollCreationMessageV2", "pollCreationMessageV3"])
def test_options_of_a_poll_by_their_digests(field: str) -> None:
    body = e2e.PollCreationMessage(name="Lunch?", options=[e2e.PollCreationMessage.Option(optionName="soup")])
    content = e2e.Message(**{field: body}).SerializeToString()
    assert translate.poll_options(content) == {hashlib.sha256(b"soup").hexdigest(): "soup"}
    assert translate.poll_options(e2e.Message(conversation="no poll").SerializeToString()) == {}


def test_every_export_is_well_formed_and_in_the_library() -> None:
    library = golib.library_path().read_bytes()
    for name, signature in EXPORTS.items():
        takes, arrow, gives = signature.partition(">")
        assert arrow == ">", name
        assert set(takes) <= set("msilq"), name
        assert gives in ("b", "s", ""), name
        assert f"{name}\0".encode() in library, name
