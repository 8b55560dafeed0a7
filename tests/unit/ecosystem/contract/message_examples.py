"""One example of every shape of sending and of messages, each field set. Collected by `examples`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract import messages, worker

if TYPE_CHECKING:
    import msgspec

_ADDRESSED: Final[dict[str, Any]] = {
    "phone": "5521900000002",
    "reply_message_id": "3EB0",
    "is_forwarded": True,
    "duration": 86400,
    "mentions": ["5521900000003"],
}

LIMITS: Final = worker.MediaLimits(
    image_max_bytes=1, video_max_bytes=2, audio_max_bytes=3, file_max_bytes=4, sticker_max_bytes=5,
    download_max_bytes=7, url_timeout_s=6.0, allow_private_urls=False,
    private_for_sessions=True,
)  # fmt: skip

MESSAGE_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    LIMITS,
    messages.Addressed(**_ADDRESSED),
    messages.SendText(message="Hello", **_ADDRESSED),
    messages.SendImage(
        caption="c", image_url="https://x.example/a.jpg", view_once=True, compress=True, hd=True, **_ADDRESSED
    ),
    messages.SendVideo(
        caption="c",
        video_url="https://x.example/a.mp4",
        view_once=True,
        compress=True,
        hd=True,
        gif_playback=True,
        **_ADDRESSED,
    ),
    messages.SendAudio(audio_url="https://x.example/a.ogg", ptt=True, **_ADDRESSED),
    messages.SendFile(caption="c", file_url="https://x.example/a.pdf", **_ADDRESSED),
    messages.SendSticker(sticker_url="https://x.example/a.webp", **_ADDRESSED),
    messages.SendContact(contact_name="Ana", contact_phone="5511900000001", **_ADDRESSED),
    messages.SendLink(link="https://x.example", caption="look", **_ADDRESSED),
    messages.SendLocation(latitude="-7.79", longitude=110.37, **_ADDRESSED),
    messages.SendPoll(question="Lunch?", options=["yes", "no"], max_answer=1, **_ADDRESSED),
    messages.SetPresence(type="available"),
    messages.SetTyping(phone="5511900000001", action="start"),
    messages.OnMessage(phone="5511900000001"),
    messages.React(phone="5511900000001", emoji="x"),
    messages.UpdateMessage(phone="5511900000001", message="new"),
    messages.ForwardMessage(phone="5511900000001", duration=86400, force_reupload=True),
)
