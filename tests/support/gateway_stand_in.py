"""A stand-in for the orchestrator: answers `GET /ready` where the gateway listens. `--never` ends at once with 3."""

from __future__ import annotations

import http.server
import sys
from pathlib import Path

from ecosystem.home import Home
from ecosystem.lifeline import die_with_parent, keeper
from ecosystem.settings import read_saved
from ecosystem.supervisord import listener


class _Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> int:
    die_with_parent(parent=keeper())
    if "--never" in sys.argv:
        sys.stderr.write("the stand-in was told never to start\n")
        return 3
    settings = read_saved(Home(Path(sys.argv[sys.argv.index("--home") + 1])).settings)
    kept = listener.inherited(settings.port)
    server = http.server.HTTPServer((settings.listen_host, settings.port), _Ready, bind_and_activate=kept is None)
    if kept is not None:
        server.socket.close()
        server.socket = kept
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
