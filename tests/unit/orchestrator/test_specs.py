"""Specifications, folders and archives."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.ids import ulid
from ecosystem.contract.worker import MediaLimits
from ecosystem.definition import session_log
from ecosystem.settings import Settings, check
from orchestrator.reconcile.specs import Workshop, archived_at
from tests.unit.orchestrator.build import row

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return check({"home": str(tmp_path), "qr_code_timeout_s": 60, "archive_retention_s": 3600})


@pytest.fixture
def workshop(settings: Settings) -> Workshop:
    return Workshop(settings, redis_url="unix:///r.sock", keys=("admin", "gateway"))


def test_the_worker_gets_hashes_and_never_the_keys(workshop: Workshop, settings: Settings) -> None:
    spec = workshop.spec(row(generation=7, metadata={"a": 1}), 3005)
    assert spec.access_key_hashes == tuple(hashlib.sha256(key).hexdigest() for key in (b"admin", b"gateway"))
    assert (spec.session_id, spec.generation, spec.port, spec.metadata) == ("alpha", 7, 3005, {"a": 1})
    assert spec.pairing_timeout_s == 60
    assert spec.folder == str(settings.storage / "session_alpha")


def test_the_operators_limits_of_files_reach_the_worker(tmp_path: Path) -> None:
    settings = check({"home": str(tmp_path), "image_max_bytes": 7, "download_max_bytes": 9, "media_keep_s": 3600})
    spec = Workshop(settings, redis_url="unix:///r.sock", keys=()).spec(row(), 3005)
    assert (spec.media.image_max_bytes, spec.media.download_max_bytes) == (7, 9)
    assert spec.media.file_max_bytes == MediaLimits().file_max_bytes
    assert (spec.retention.media_s, spec.retention.media_bytes) == (3600, 0)


def test_limits_of_files_that_are_not_set_are_the_contracts(settings: Settings) -> None:
    assert settings.media == MediaLimits()


def test_the_folder_is_private(workshop: Workshop) -> None:
    workshop.make_folder("alpha")
    workshop.make_folder("alpha")
    assert stat.S_IMODE(workshop.folder("alpha").stat().st_mode) == 0o700


def test_folder_and_logs_are_archived_together_and_neighbours_stay(workshop: Workshop, settings: Settings) -> None:
    workshop.make_folder("alpha")
    (workshop.folder("alpha") / "whatsapp.db").write_text("keys")
    log = session_log(settings, "alpha")
    log.parent.mkdir(parents=True)
    for name in ("alpha.log", "alpha.log.1", "alpha-2.log", "alpha.log.backup-of-mine"):
        (log.parent / name).write_text("x")
    moved = workshop.archive("alpha")
    assert moved is not None
    assert {path.name for path in moved.iterdir()} == {"whatsapp.db", "alpha.log", "alpha.log.1"}
    assert {path.name for path in log.parent.iterdir()} == {"alpha-2.log", "alpha.log.backup-of-mine"}
    assert workshop.archive("alpha") is None


def test_only_old_archives_are_purged(workshop: Workshop, settings: Settings) -> None:
    archive = settings.paths.archive
    old = archive / f"alpha-{ulid(0, bytes(10))}"
    for folder in (old, archive / "not-ours"):
        folder.mkdir(parents=True)
    workshop.make_folder("beta")
    fresh = workshop.archive("beta")
    assert workshop.purge() == [old]
    assert fresh is not None
    assert fresh.exists()
    assert (archive / "not-ours").exists()


def test_the_time_of_an_archive_is_in_its_name() -> None:
    assert archived_at(f"a-b-{ulid(1_700_000_000_123, bytes(10))}") == 1_700_000_000.123
    assert archived_at("a-b") is None
    assert archived_at(ulid(5, bytes(10))) is None
