"""What WhatsApp refuses, told by the real engine, as the error a client gets and the state the session shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.session import Reason, SessionState
from ecosystem.sandbox.faults import FaultOrder
from tests.support.paired import ADA, BEA, CARL, NOBODY

if TYPE_CHECKING:
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("code", "status", "word"),
    [(463, 502, "account_restricted"), (429, 429, "whatsapp_rate_overlimit"), (479, 429, "whatsapp_rate_overlimit"),
     (406, 502, "whatsapp_rejected")],
)  # fmt: skip
async def test_a_message_whatsapp_does_not_take(ada: Paired, code: int, status: int, word: str) -> None:
    await ada.sandbox.faults.apply(FaultOrder("refuse_sends", ADA, code=code))
    try:
        refused = await ada.post("/send/message", {"phone": BEA, "message": f"refused {code}"})
        assert (refused["status"], refused["code"]) == (status, word), refused
        assert refused["results"]["upstream_code"] == str(code)
        if code == 463:
            await ada.worker.until(lambda beat: beat.reason is Reason.RESTRICTED)
            assert (await ada.worker.state()).state is SessionState.AUTHENTICATED
    finally:
        ada.sandbox.faults.heal()
    sent = await ada.ok("/send/message", {"phone": BEA, "message": f"taken after {code}"})
    await ada.until(lambda: any(m.id == sent["message_id"] for _, m in ada.sandbox.world.inbox.after(BEA)))
    assert not any(m.text == f"refused {code}" for _, m in ada.sandbox.world.inbox.after(BEA))


async def test_whom_one_cannot_write_to(ada: Paired) -> None:
    nobody = await ada.post("/send/message", {"phone": NOBODY, "message": "x"})
    assert (nobody["status"], nobody["code"]) == (400, "recipient_not_on_whatsapp")
    theirs = ada.sandbox.create_group(BEA, "Not Ada's", [CARL])
    outside = await ada.post("/send/message", {"phone": str(theirs.jid), "message": "x"})
    assert (outside["status"], outside["code"]) == (409, "not_in_group"), outside
    missing = await ada.post("/send/message", {"phone": "120363099999999999@g.us", "message": "x"})
    assert (missing["status"], missing["code"]) in ((404, "group_not_found"), (409, "not_in_group")), missing
