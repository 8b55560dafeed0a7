"""`/send/{image,video,audio,file,sticker}`: files from a form or a URL, made into what WhatsApp shows, and uploaded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from ecosystem.contract.errors import InvalidRequest, MediaTypeNotAllowed
from ecosystem.contract.messages import Addressed, SendAudio, SendFile, SendImage, SendSticker, SendVideo
from ecosystem.contract.worker import MediaLimits
from worker.api.access import may_reach_inside
from worker.api.edge import SESSION, Routes
from worker.api.forms import FileField, read_form
from worker.api.outbound import check, deliver
from worker.engine.operations.media import MediaKind, upload
from worker.engine.outgoing import Body, Clip, Document, Picture, Preview, Sound, Sticker, Uploaded
from worker.media import convert, kinds
from worker.media.fetch import Rules, fetch
from worker.media.kinds import FileType, sniff
from worker.media.scratch import Scratch, Stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


C = TypeVar("C", bound=Addressed)

SCRATCH: Final = web.AppKey("scratch", Scratch)
LIMITS: Final = web.AppKey("limits", MediaLimits)

CAPTION_MAX: Final = 1024 * 4


class Source(msgspec.Struct, frozen=True):
    """Where one request's file comes from: the field of a form, or the URL in another one."""

    field: str
    url_field: str
    limit_bytes: int


class Job(msgspec.Struct, frozen=True):
    """One request's file once it is here; `field` is the one to name when there is something wrong with it."""

    request: web.Request
    stored: Stored
    kind: FileType | None
    folder: Path
    field: str

    async def put(self, path: Path, kind: MediaKind) -> Uploaded:
        """Onto WhatsApp's media host. Raises as Session.do and operations.media.upload."""
        return await self.request.app[SESSION].do(upload, path, kind)


async def image(request: web.Request) -> web.Response:
    """`POST /send/image`."""

    async def make(job: Job, command: SendImage) -> Body:
        found = await convert.image(
            job.stored.path,
            _one_of(job, kinds.IMAGES),
            job.folder,
            hd=command.hd,
            compress=command.compress,
            field=job.field,
        )
        file = await job.put(found.path, MediaKind.IMAGE)
        return Picture(
            file, found.mimetype, command.caption, found.width, found.height, found.thumbnail, command.view_once
        )

    source = Source("image", "image_url", request.app[LIMITS].image_max_bytes)
    return await _send(request, SendImage, source, make, "Message sent to {to}")


async def video(request: web.Request) -> web.Response:
    """`POST /send/video`."""

    async def make(job: Job, command: SendVideo) -> Body:
        found = await convert.video(
            job.stored.path,
            _one_of(job, kinds.VIDEOS),
            job.folder,
            hd=command.hd,
            compress=command.compress,
            field=job.field,
        )
        return Clip(
            await job.put(found.path, MediaKind.VIDEO),
            found.mimetype,
            command.caption,
            found.seconds,
            found.width,
            found.height,
            found.thumbnail,
            command.view_once,
            command.gif_playback,
        )

    source = Source("video", "video_url", request.app[LIMITS].video_max_bytes)
    return await _send(request, SendVideo, source, make, "Video sent to {to}")


async def audio(request: web.Request) -> web.Response:
    """`POST /send/audio`: a recording, or with `ptt` a voice note."""

    async def make(job: Job, command: SendAudio) -> Body:
        found = await convert.sound(
            job.stored.path, _one_of(job, kinds.SOUNDS), job.folder, voice_note=command.ptt, field=job.field
        )
        file = await job.put(found.path, MediaKind.AUDIO)
        return Sound(file, found.mimetype, found.seconds, found.voice_note, found.waveform)

    source = Source("audio", "audio_url", request.app[LIMITS].audio_max_bytes)
    return await _send(request, SendAudio, source, make, "Send audio success {to}")


async def file(request: web.Request) -> web.Response:
    """`POST /send/file`: any file, as it is."""

    async def make(job: Job, command: SendFile) -> Body:
        stored = job.stored
        mimetype = kinds.document_type(stored.filename, job.kind, stored.mimetype)
        return Document(await job.put(stored.path, MediaKind.DOCUMENT), mimetype, stored.filename, command.caption)

    source = Source("file", "file_url", request.app[LIMITS].file_max_bytes)
    return await _send(request, SendFile, source, make, "Document sent to {to}")


async def sticker(request: web.Request) -> web.Response:
    """`POST /send/sticker`: a picture, moving or not, made a WebP of 512 pixels; a short video likewise."""

    async def make(job: Job, _: SendSticker) -> Body:
        allowed = (*kinds.STICKERS, *kinds.VIDEOS)
        found = await convert.sticker(job.stored.path, _one_of(job, allowed), job.folder, field=job.field)
        return Sticker(await job.put(found.path, MediaKind.IMAGE), found.width, found.height, found.animated)

    source = Source("sticker", "sticker_url", request.app[LIMITS].sticker_max_bytes)
    return await _send(request, SendSticker, source, make, "Sticker sent to {to}")


async def preview_of(request: web.Request, link: str) -> Preview | None:
    """How the page behind a link is shown, None when it does not tell."""
    from worker.media.preview import look_at  # an HTML parser only links need

    async with request.app[SCRATCH].folder() as folder:
        page = await look_at(link, folder, allow_private=_may_reach_inside(request))
    return Preview(link, page.title, page.description, page.thumbnail) if page else None


async def _send(
    request: web.Request,
    wanted: type[C],
    source: Source,
    make: Callable[[Job, C], Awaitable[Body]],
    said: str,
) -> web.Response:
    """Reads the request, then has the file fetched, converted and uploaded, unless the same was sent before."""
    async with request.app[SCRATCH].folder() as folder:
        command, stored = await read_form(request, wanted, FileField(source.field, folder, source.limit_bytes))
        url = getattr(command, source.url_field)
        check(command)
        _check_source(command, source, stored, url)

        async def body() -> Body:
            here, field = stored, source.field
            if here is None:
                here, field = await _fetched(request, url, folder, source), source.url_field
            kind = await asyncio.to_thread(sniff, here.path)
            return await make(Job(request, here, kind, folder, field), command)

        return await deliver(request, command, body, stored=stored, said=said)


def _check_source(command: Addressed, source: Source, stored: Stored | None, url: str | None) -> None:
    if stored is None and not url:
        raise InvalidRequest(
            f"either {source.field} or {source.url_field} must be given", field=source.field, hint="a file or its URL"
        )
    if stored is not None and url:
        raise InvalidRequest(f"{source.field} and {source.url_field} cannot both be given", field=source.url_field)
    if len(getattr(command, "caption", "")) > CAPTION_MAX:
        raise InvalidRequest(f"caption must not be longer than {CAPTION_MAX} characters", field="caption")


async def _fetched(request: web.Request, url: str, folder: Path, source: Source) -> Stored:
    limits = request.app[LIMITS]
    rules = Rules(source.url_field, source.limit_bytes, limits.url_timeout_s, _may_reach_inside(request))
    return await fetch(url, folder / "fetched", rules)


def _may_reach_inside(request: web.Request) -> bool:
    limits = request.app[LIMITS]
    return limits.allow_private_urls and (limits.private_for_sessions or may_reach_inside(request))


def _one_of(job: Job, allowed: tuple[FileType, ...]) -> FileType:
    """The file's type. Raises MediaTypeNotAllowed."""
    if job.kind in allowed:
        return job.kind
    names = ", ".join(sorted({kind.mimetype for kind in allowed}))
    found = job.kind.mimetype if job.kind else "of a type that is not recognised"
    raise MediaTypeNotAllowed(f"{job.field} is {found}", field=job.field, hint=f"allowed: {names}")


ROUTES: Final[Routes] = (
    ("POST", "/send/image", image),
    ("POST", "/send/video", video),
    ("POST", "/send/audio", audio),
    ("POST", "/send/file", file),
    ("POST", "/send/sticker", sticker),
)
