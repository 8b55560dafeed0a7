"""Bodies of `/group/…`. A group is named by its address, or by the digits of it; people by number or any address."""

from __future__ import annotations

import msgspec


class CreateGroup(msgspec.Struct, frozen=True):
    """Body of `POST /group`. `title` is 1 to 100 characters; nobody has to be in it but this account."""

    title: str
    participants: list[str] = []


class ChangeMembers(msgspec.Struct, frozen=True):
    """Body of `POST /group/participants`, also `/remove`, `/promote`, `/demote`, and of answers to join requests."""

    group_id: str
    participants: list[str]


class JoinGroup(msgspec.Struct, frozen=True):
    """Body of `POST /group/join-with-link`."""

    link: str


class LeaveGroup(msgspec.Struct, frozen=True):
    """Body of `POST /group/leave`."""

    group_id: str


class SetGroupName(msgspec.Struct, frozen=True):
    """Body of `POST /group/name`; 1 to 100 characters."""

    group_id: str
    name: str


class SetGroupTopic(msgspec.Struct, frozen=True):
    """Body of `POST /group/topic`; an empty text takes the description away."""

    group_id: str
    topic: str = ""


class SetGroupLocked(msgspec.Struct, frozen=True):
    """Body of `POST /group/locked`: whether only admins change name, picture and description."""

    group_id: str
    locked: bool


class SetGroupAnnounce(msgspec.Struct, frozen=True):
    """Body of `POST /group/announce`: whether only admins write."""

    group_id: str
    announce: bool
