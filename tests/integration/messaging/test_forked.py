"""A worker forked out of a preloaded parent converts and sends as well."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ecosystem.sandbox.server import Sandbox
from tests.support import media_files
from tests.support.paired import ADA, BEA, PHONES, Paired, log_in
from tests.support.redis_process import RedisProcess
from tests.support.sends import send_form, sent
from tests.support.worker_process import WorkerProcess, make_spec


async def test_a_forked_worker_converts_files() -> None:
    folder = Path(tempfile.mkdtemp(prefix="zf-", dir="/tmp"))
    redis = RedisProcess(folder)
    try:
        (folder / "wa").mkdir()
        redis.start()
        async with Sandbox(folder / "wa") as sandbox:
            for number, name in PHONES.items():
                sandbox.add_phone(number, name)
            module = ("-m", "tests.support.forking_parent", "mapped", str(folder / "cache"))
            worker = WorkerProcess(
                make_spec(folder / "alpha", redis.url), module=module, environment=sandbox.environment()
            )
            try:
                await worker.start()
                await log_in(worker, sandbox, ADA)
                bench = Paired(worker, sandbox, redis)
                file = ("audio", "a.wav", media_files.wav())
                _, content = await sent(bench, await send_form(bench, "/send/audio", {"phone": BEA, "ptt": "1"}, file))
                assert content.audioMessage.PTT
                image = ("image", "a.png", media_files.png(90, 60))
                _, content = await sent(bench, await send_form(bench, "/send/image", {"phone": BEA}, image))
                assert content.imageMessage.width == 90
            finally:
                await worker.kill()
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)
