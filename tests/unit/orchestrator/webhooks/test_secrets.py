"""Secrets at rest."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from ecosystem.contract.errors import InternalError, InvalidSettings, RegistryDown
from ecosystem.settings import SECRET_FIELDS, Settings, load
from orchestrator.registry.secrets import SecretBox, open_box

if TYPE_CHECKING:
    from pathlib import Path


def test_what_goes_in_comes_out_and_does_not_show() -> None:
    box = SecretBox([Fernet.generate_key()])
    sealed = box.seal("the secret ü")
    assert b"secret" not in sealed
    assert box.seal("the secret ü") != sealed
    assert box.open(sealed) == "the secret ü"
    assert "secret ü" not in repr(box)


def test_a_new_key_in_front_still_reads_what_the_old_one_wrote() -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    sealed = SecretBox([old]).seal("x")
    assert SecretBox([new, old]).open(sealed) == "x"
    with pytest.raises(InternalError, match="present key"):
        SecretBox([new]).open(sealed)


def test_a_closed_box_says_so() -> None:
    box = SecretBox()
    with pytest.raises(RegistryDown):
        box.seal("x")
    box.fill([Fernet.generate_key()])
    assert box.open(box.seal("x")) == "x"


def test_the_key_file_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    sealed = open_box(settings).seal("x")
    file = tmp_path / "home" / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_box(settings).open(sealed) == "x"
    assert [path.name for path in file.parent.iterdir()] == ["secret.key"]


def test_keys_of_the_setting(tmp_path: Path) -> None:
    keys = ",".join(Fernet.generate_key().decode() for _ in range(2))
    settings = load(environ={"ZAPVISOR_SECRET_KEY": keys}, folder=tmp_path)
    box = open_box(settings)
    assert box.open(box.seal("x")) == "x"
    assert not (tmp_path / "secret.key").exists()
    assert "zapvisor_secret_key" in SECRET_FIELDS


@pytest.mark.parametrize("text", ["short", ",", "é", "A" * 44])
def test_a_bad_key_is_refused_by_its_name_and_not_shown(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_box(Settings(home=str(tmp_path), zapvisor_secret_key=text))
    assert caught.value.field == "ZAPVISOR_SECRET_KEY"
    assert len(text) < 3 or text not in caught.value.message


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match=r"secret\.key"):
        open_box(Settings(home=str(tmp_path / "file")))
