"""Votes: encrypted with a key that only who has the poll can make.

Source: whatsmeow `msgsecret.go`. Key: HKDF-SHA256(the poll's secret, no salt, poll id + its author + the voter + "Poll Vote").
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecosystem.contract.errors import InvalidRequest
from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.codec.node import GROUP_SERVER
from ecosystem.sandbox.crypto.curve import hkdf

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.protobuf import Fields
    from ecosystem.sandbox.phone.phone import Phone

_POLLS: Final = (49, 60, 64, 111)
_CONTEXT, _SECRET, _OPTIONS, _UPDATE = 35, 3, 3, 50
_NONCE_BYTES: Final = 12


def vote(phone: Phone, poll_id: str, *options: str) -> str:
    """Votes in a poll of the inbox, no option: takes the vote back; the message's id. Raises MessageNotFound, InvalidRequest."""
    received = phone.find(poll_id)
    content = protobuf.decode(received.plain)
    number = next((number for number in _POLLS if number in content), None)
    secret = content.message(_CONTEXT).data(_SECRET)
    if number is None or not secret:
        raise InvalidRequest("that message is no poll", field="poll_id")
    known = [protobuf.decode(raw).text(1) for raw in content.message(number).every(_OPTIONS)]
    if unknown := set(options) - set(known):
        raise InvalidRequest(f"the poll has no option {sorted(unknown)[0]!r}", field="options")
    author, voter = str(received.author.bare), str(phone.account.by_lid())
    key = hkdf(secret, 32, info=f"{poll_id}{author}{voter}Poll Vote".encode())
    plain = protobuf.encode({1: [hashlib.sha256(option.encode()).digest() for option in options]})
    nonce = os.urandom(_NONCE_BYTES)
    boxed = AESGCM(key).encrypt(nonce, plain, f"{poll_id}\0{voter}".encode())
    in_group = received.chat.server == GROUP_SERVER
    poll: Fields = {1: str(received.chat), 2: False, 3: poll_id, 4: author if in_group else None}
    update: Fields = {1: poll, 2: {1: boxed, 2: nonce}, 4: time.time_ns() // 1_000_000}
    return phone.deliver(received.chat, protobuf.encode({_UPDATE: update}), "poll")
