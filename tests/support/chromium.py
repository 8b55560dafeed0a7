"""A real Chromium without a window, spoken to in its own protocol (CDP): for what only a browser can say of a page."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S: Final = 60.0


class BrowserMissing(Exception):
    """There is no Chromium on this machine: `make setup-dev` as root installs it."""


class Chromium:
    """One browser with one page. Leaving the context ends it. `messages`: what the page wrote to its console, and its errors."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        self._size = (width, height)
        self._folder = Path(tempfile.mkdtemp(prefix="zc-", dir="/tmp"))
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._client: aiohttp.ClientSession | None = None
        self._loaded: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """What is loaded, by the browser's own ids: another page's end must not be taken for the one that was asked for."""
        self.messages: list[str] = []
        self.requests: list[str] = []
        """Every address the page asked for."""

    async def __aenter__(self) -> Self:
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            raise BrowserMissing(BrowserMissing.__doc__)
        width, height = self._size
        self._process = await asyncio.create_subprocess_exec(
            program,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
            *("--remote-debugging-port=0", f"--user-data-dir={self._folder}", f"--window-size={width},{height}"),
            # Whatever is not this machine cannot be reached: the page has to do without.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._connect()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _connect(self) -> None:
        file = self._folder / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE_S):
            port = await asyncio.to_thread(_port_in, file)
        self._client = aiohttp.ClientSession()
        async with asyncio.timeout(PATIENCE_S):
            self._socket = await self._client.ws_connect(await _page_at(self._client, port), max_msg_size=0)
        self._listening = asyncio.create_task(self._listen(), name="browser")
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.setLifecycleEventsEnabled", enabled=True)

    async def _end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            await self._socket.close()
        if self._client is not None:
            await self._client.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                answer = self._answers.pop(told["id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(told)
            else:
                self._note(told["method"], told.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Page.lifecycleEvent" and told["name"] == "load":
            self._loaded[told["loaderId"]].set()
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.messages.append(str(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
        elif event == "Log.entryAdded":
            self.messages.append(f"{told['entry']['level']}: {told['entry']['text']} {told['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled":
            self.messages.append(f"{told['type']}: {[entry.get('value') for entry in told['args']]}")

    async def ask(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol. Raises AssertionError with the browser's refusal, TimeoutError."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_S):
            told = await answer
        assert "error" not in told, told
        return told["result"]

    async def open(self, url: str, *, headers: dict[str, str] | None = None) -> None:
        """Loads a page. `headers` go along with all its requests."""
        if headers:
            await self.ask("Network.setExtraHTTPHeaders", headers=headers)
        wanted = (await self.ask("Page.navigate", url=url))["loaderId"]
        async with asyncio.timeout(PATIENCE_S):
            await self._loaded[wanted].wait()

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for. Raises AssertionError with what it throws."""
        told = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Until an expression is truthy. Raises TimeoutError naming it."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while not await self.run(f"Boolean({script})"):
            if asyncio.get_running_loop().time() > end:
                raise TimeoutError(f"never so in the page: {script}")
            await asyncio.sleep(0.05)

    async def prefer(self, scheme: str) -> None:
        """`light` or `dark`, as the system would say."""
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, path: Path) -> None:
        """What is seen, as PNG."""
        found = await self.ask("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))


async def _page_at(client: aiohttp.ClientSession, port: str) -> str:
    """Where the first page is spoken to, once there is one: the browser listens before it has made it."""
    while True:
        async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
            for entry in await answer.json():
                if entry["type"] == "page":
                    return str(entry["webSocketDebuggerUrl"])
        await asyncio.sleep(0.05)


def _port_in(file: Path) -> str:
    """The port the browser listens on, once it has written it down. Blocks. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            if lines := file.read_text().splitlines():
                return lines[0]
        time.sleep(0.05)
    raise TimeoutError("the browser did not start")
