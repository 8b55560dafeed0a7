"""Votes in polls, which WhatsApp encrypts once more. Source: whatsmeow `msgsecret.go`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.failures import check
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from worker.engine.protocol import Client


def decrypt_vote(client: Client, message: bytes) -> list[str]:
    """The SHA-256 (hex) of each chosen option of an encoded Message event with a vote. Raises WhatsAppRejected: poll unknown."""
    answer = neonize.ReturnFunctionWithError.FromString(client.call("DecryptPollVote", message))
    check(answer.Error)
    return [option.hex() for option in answer.PollVoteMessage.selectedOptions]
