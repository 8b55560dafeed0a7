"""Files to send: pictures by Pillow, recordings and videos by ffmpeg, noise."""

from __future__ import annotations

import functools
import io
import random
import subprocess
import tempfile
from pathlib import Path

from PIL import Image


@functools.lru_cache(maxsize=4)
def noise(size: int) -> bytes:
    """The same bytes each time, which nobody can compress."""
    return random.Random(size).randbytes(size)  # noqa: S311 -- noise


def picture(width: int, height: int, kind: str, **options: object) -> bytes:
    """A gradient."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int) -> bytes:
    return picture(width, height, "PNG")


def gif(width: int, height: int, frames: int) -> bytes:
    """Each frame another grey."""
    images = [Image.new("RGB", (width, height), (20 * number % 256, 0, 0)) for number in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=100, loop=0)
    return out.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@functools.lru_cache(maxsize=8)
def made(suffix: str, *arguments: str) -> bytes:
    """What ffmpeg makes of these arguments."""
    with tempfile.TemporaryDirectory(prefix="zm-") as folder:
        target = Path(folder) / f"out{suffix}"
        subprocess.run(
            ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments, str(target)],
            check=True,
            timeout=60,
            capture_output=True,
        )
        return target.read_bytes()


def wav(seconds: int = 2) -> bytes:
    return made(".wav", "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}")


def mp3(seconds: int = 2) -> bytes:
    return made(".mp3", "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}")


def mp4(width: int = 320, height: int = 240, seconds: int = 2) -> bytes:
    source = f"testsrc=size={width}x{height}:rate=10:duration={seconds}"
    return made(".mp4", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p")


def mkv(width: int = 320, height: int = 240, seconds: int = 1) -> bytes:
    source = f"testsrc=size={width}x{height}:rate=10:duration={seconds}"
    return made(".mkv", "-f", "lavfi", "-i", source, "-c:v", "mpeg4")


def turned(width: int, height: int) -> bytes:
    """A JPEG that says it is to be turned by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(width, height, "JPEG", exif=exif)
