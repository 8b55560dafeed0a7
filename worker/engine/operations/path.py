"""A round trip that changes nothing: does WhatsApp answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.engine.protocol import Client


def prove(client: Client) -> str:
    """Tells WhatsApp that this device is active, as at every login; the text of the error, empty where it agreed.

    One small iq and its answer (about 100 bytes). Blocks up to 75 s when nobody answers.
    """
    return client.call("SetPassive", False).decode("utf-8", "replace")
