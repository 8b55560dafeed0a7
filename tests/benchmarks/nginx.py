"""nginx beside the gateway: as the proxy of the same worker, and as what answers in its place."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

import psutil

from tests.benchmarks import tools
from tests.e2e.instance import until
from tests.support.ports import free_ports

BESIDE: Final = "127.0.0.2"
"""Where nginx answers by itself, at the worker's port: what is measured in front of it is a proxy and nothing else."""
ANSWER: Final = '{"code":"SUCCESS","message":"Status","results":{"state":"authenticated","text":"' + "x" * 150 + '"}}'
_CONFIG: Final = """
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream worker {{ server 127.0.0.1:{target}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://worker; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        location /bare {{ proxy_pass http://bare; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    upstream bare {{ server {beside}:{target}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen {beside}:{target};
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


class Nginx:
    """nginx as the proxy of one port. Use as a context manager. Raises Unavailable."""

    def __init__(self, target: int) -> None:
        program, self._environ = tools.nginx()
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="zn-", dir="/tmp"))
        self.port = free_ports()
        (self._folder / "nginx.conf").write_text(
            _CONFIG.format(folder=self._folder, target=target, port=self.port, beside=BESIDE, answer=ANSWER)
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._program, "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-e", "stderr"],
            env=self._environ, stderr=(self._folder / "stderr").open("wb"),
        )  # fmt: skip

        def listens() -> bool:
            assert self._process.poll() is None, (self._folder / "stderr").read_text()
            kinds = {(link.laddr.port, link.status) for link in psutil.net_connections("tcp") if link.laddr}
            return (self.port, psutil.CONN_LISTEN) in kinds

        until("nginx listens", listens)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]
