"""Imports neonize's message types without the rest of neonize.

Importing the package itself loads the Go library, starts a thread, sets up logging and brings in an image library, an HTTP
client and a phone-number database: 20 MB and a Go runtime a worker's parent must not have. The message modules need none of it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def _bare_package() -> None:
    """Puts a `neonize` that is only a folder into sys.modules, unless somebody imported the whole one already."""
    if "neonize" in sys.modules:
        return
    spec = importlib.util.find_spec("neonize")
    if spec is None or spec.origin is None:
        raise ImportError("neonize is not installed")
    package = ModuleType("neonize")
    package.__path__ = [str(Path(spec.origin).parent)]
    package.__spec__ = spec
    sys.modules["neonize"] = package


_bare_package()

from neonize.proto import Neonize_pb2  # noqa: E402
from neonize.proto.waCompanionReg import WAWebProtobufsCompanionReg_pb2  # noqa: E402
from waE2E import WAWebProtobufsE2E_pb2  # noqa: E402 -- the name under which Neonize_pb2 itself imports it

neonize: Any = Neonize_pb2
"""Events and returns of the Go library."""
e2e: Any = WAWebProtobufsE2E_pb2
"""WhatsApp's own message content."""
companion: Any = WAWebProtobufsCompanionReg_pb2
"""How a linked device introduces itself."""
