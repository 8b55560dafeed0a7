"""What the evidence says about the way to WhatsApp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.diagnosis import PathHealth
from worker.path import Path

if TYPE_CHECKING:
    from collections.abc import Callable

H = PathHealth


def lose_send(path: Path) -> None:
    path.send_lost(0.0)


def waiting(age_s: float) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        path.send_age_s = age_s

    return act


@pytest.mark.parametrize(
    ("name", "evidence", "health"),
    [
        ("nothing yet", [], H.HEALTHY),
        ("one lost keep-alive", [lambda path: path.keepalive_lost(1)], H.DEGRADED),
        ("many lost keep-alives", [lambda path: path.keepalive_lost(9)], H.DEGRADED),
        ("one lost round trip", [Path.unproved], H.DEGRADED),
        ("two lost round trips", [Path.unproved, Path.unproved], H.DEAF),
        ("both kinds", [lambda path: path.keepalive_lost(1), Path.unproved], H.DEAF),
        ("a send without acknowledgement", [lose_send], H.DEGRADED),
        ("sends alone are never deafness", [lose_send] * 20, H.DEGRADED),
        ("a message that waits", [waiting(21.0)], H.DEGRADED),
        ("a message on its way", [waiting(3.0)], H.HEALTHY),
        ("an answer cures", [Path.unproved, Path.unproved, lambda path: path.proved(1.0)], H.HEALTHY),
        ("an answer does not acknowledge sends", [lose_send, lambda path: path.proved(1.0)], H.DEGRADED),
        ("a send lost long ago is forgotten", [lose_send, lambda path: path.proved(601.0)], H.HEALTHY),
        ("a frame cures keep-alives", [lambda path: path.keepalive_lost(2), lambda path: path.frame(1.0)], H.HEALTHY),
        ("an acknowledgement cures", [lose_send, lambda path: path.send_acknowledged(1.0)], H.HEALTHY),
        (
            "a new connection begins anew",
            [Path.unproved, Path.unproved, lose_send, lambda path: path.open(1.0)],
            H.HEALTHY,
        ),
    ],
)
def test_judgement(name: str, evidence: list[Callable[[Path], None]], health: PathHealth) -> None:
    path = Path()
    for act in evidence:
        act(path)
    assert path.health is health, name
    assert path.doubtful is (health is not H.HEALTHY)
    assert (path.detail is None) is (health is H.HEALTHY)
