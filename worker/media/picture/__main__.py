"""Reads, scales and converts one picture in a process of its own: an order on stdin, its outcome on stdout, as JSON.

Order: {"source", "target" or null, "format": "jpeg", "square" or "sticker", "edge", "quality", "thumbnail"}; edges in pixels,
0: leave it.
Outcome: {"width", "height", "animated", "thumbnail": JPEG as base64}, or {"error": why the picture cannot be used}.
Imports nothing of this project: it starts fast, and has nothing that a hostile picture could be after.
"""

from __future__ import annotations

import base64
import io
import json
import resource
import shutil
import sys
from typing import Any, Final

from PIL import Image, ImageOps, ImageSequence

MEMORY_BYTES: Final = 1 << 30
CPU_S: Final = 60
PIXELS_MAX: Final = 60_000_000
FRAMES_MAX: Final = 300
STICKER_EDGE: Final = 512
STICKER_MAX_BYTES: Final = 1_000_000
"""WhatsApp shows no animated sticker beyond about a megabyte."""


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Carries out one order. Raises OSError, ValueError for what is no usable picture."""
    with Image.open(order["source"], formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
        if image.width * image.height > PIXELS_MAX:
            raise ValueError(f"it has more than {PIXELS_MAX} pixels")
        if order["format"] == "sticker":
            return sticker(image, order["target"])
        if order["format"] == "square":
            return square(image, order)
        upright = ImageOps.exif_transpose(image)
        flat = opaque(upright)
    if order["target"]:
        flat.thumbnail((order["edge"] or flat.width, order["edge"] or flat.height), Image.Resampling.LANCZOS)
        flat.save(order["target"], "JPEG", quality=order["quality"], optimize=True)
    outcome = {"width": flat.width, "height": flat.height, "animated": False, "thumbnail": ""}
    if order["thumbnail"]:
        flat.thumbnail((order["thumbnail"], order["thumbnail"]), Image.Resampling.LANCZOS)
        small = io.BytesIO()
        flat.save(small, "JPEG", quality=60)
        outcome["thumbnail"] = base64.b64encode(small.getvalue()).decode()
    return outcome


def square(image: Image.Image, order: dict[str, Any]) -> dict[str, Any]:
    """The middle of a picture, as a JPEG of at most `edge` pixels; one that is that already stays byte for byte."""
    image.load()
    side = min(image.width, image.height, order["edge"])
    if image.format == "JPEG" and image.width == image.height == side:
        shutil.copyfile(order["source"], order["target"])
    else:
        upright = opaque(ImageOps.exif_transpose(image))
        ImageOps.fit(upright, (side, side)).save(order["target"], "JPEG", quality=order["quality"], optimize=True)
    return {"width": side, "height": side, "animated": False, "thumbnail": ""}


def opaque(image: Image.Image) -> Image.Image:
    """On white where it was transparent: JPEG knows no transparency."""
    if image.mode in ("RGB", "L"):
        return image.convert("RGB")
    full = image.convert("RGBA")
    ground = Image.new("RGB", full.size, "white")
    ground.paste(full, mask=full.getchannel("A"))
    return ground


def sticker(image: Image.Image, target: str) -> dict[str, Any]:
    """A WebP of 512 x 512, the picture in its middle, moving if it moved."""
    count = getattr(image, "n_frames", 1)
    if count == 1:
        on_canvas(image).save(target, "WEBP", quality=90)
    else:
        step = max(1, -(-count // FRAMES_MAX))
        frames: list[Image.Image] = []
        durations: list[int] = []
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            duration = int(frame.info.get("duration", 100) or 100)
            if number % step:
                durations[-1] += duration
            else:
                frames.append(on_canvas(frame))
                durations.append(duration)
        for quality in (75, 50, 25, 10):
            out = io.BytesIO()
            frames[0].save(
                out,
                "WEBP",
                save_all=True,
                append_images=frames[1:],
                duration=durations,
                loop=0,
                quality=quality,
                method=2,
            )
            if out.tell() <= STICKER_MAX_BYTES:
                break
        with open(target, "wb") as file:  # noqa: PTH123 -- no pathlib: this starts for every picture
            file.write(out.getvalue())
    return {"width": STICKER_EDGE, "height": STICKER_EDGE, "animated": count > 1, "thumbnail": ""}


def on_canvas(image: Image.Image) -> Image.Image:
    """Scaled to fit into 512 x 512, the rest transparent."""
    full = image.convert("RGBA")
    fitted = ImageOps.contain(full, (STICKER_EDGE, STICKER_EDGE), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (STICKER_EDGE, STICKER_EDGE), (0, 0, 0, 0))
    canvas.paste(fitted, ((STICKER_EDGE - fitted.width) // 2, (STICKER_EDGE - fitted.height) // 2))
    return canvas


def main() -> None:
    """One order from stdin."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    Image.MAX_IMAGE_PIXELS = None  # checked above, before anything is decoded
    order = json.loads(sys.stdin.buffer.read())
    try:
        outcome = work(order)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        outcome = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main()
