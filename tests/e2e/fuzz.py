"""Requests made from a description, asked of a running instance, and every answer held against that description.

`python -m tests.e2e.fuzz --examples 200` is the long run; `test_fuzz.py` the bounded one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import hypothesis
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import SchemathesisError
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.aim import Aim
from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemathesis.schemas import APIOperation, BaseSchema

    Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
    Case: TypeAlias = schemathesis.Case[Any]

GOWA: Final = Path(__file__).parent / "contracts" / "gowa-openapi.yaml"
SEED: Final = 20_240_601
STREAMS: Final = frozenset({"/events", "/api/dashboard/events", "/ws"})
"""Answers that never end: they have tests of their own."""
CHECKS: Final = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
MORE_THAN_GOWA: Final = frozenset({400, 403, 404, 409, 413, 429, 501})
"""Refusals GoWA does not name on every route: see docs/adr/0013. Never 422, never any other 5xx."""
UNABLE: Final = frozenset({"not_supported_by_engine", "ffmpeg_missing"})
REQUEST_TIMEOUT_S: Final = 60


class Finding(Exception):
    """Something an answer should not have been."""


class Fuzz:
    """One run over one description. `findings` holds each kind of fault once, with a request that shows it."""

    def __init__(self, instance: Instance, schema: BaseSchema, *, aim: Aim, gowa: bool) -> None:
        self._base = f"http://127.0.0.1:{instance.port}"
        self._key = instance.admin_key
        self._schema = schema
        self._aim = aim
        self._gowa = gowa
        self._client = requests.Session()
        self.findings: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.operations = 0
        self.succeeded: set[str] = set()
        """Operations of which at least one request was a success, so that its schema was looked at."""

    def run(self, examples: int, *, skip: Iterable[str] = ()) -> None:
        """`examples` requests that fit and as many that do not, for every operation but those whose path begins with `skip`."""
        for found in self._schema.get_all_operations():
            operation: Operation = found.ok()  # type: ignore[union-attr]  # a broken description fails here
            if operation.path in STREAMS or operation.path.startswith(tuple(skip) or ("\0",)):
                continue
            self.operations += 1
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                self._explore(operation, mode, examples)

    def _explore(self, operation: Operation, mode: GenerationMode, examples: int) -> None:
        @hypothesis.seed(SEED)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Case) -> None:
            self._ask(case)

        try:
            ask()
        except (Unsatisfiable, SchemathesisError):
            # An operation without parameters and body has nothing that could be wrong.
            if mode is GenerationMode.POSITIVE:
                raise

    def _ask(self, case: Case) -> None:
        self._aim.at(case)
        case.headers["X-API-Key"] = self._key
        self._client.headers["Accept"] = "text/plain" if self._gowa and case.operation.path == "/health" else "*/*"
        try:
            response = case.call(base_url=self._base, session=self._client, timeout=REQUEST_TIMEOUT_S)
        except requests.exceptions.InvalidHeader:
            return  # the client refuses to send it
        self.statuses[response.status_code] += 1
        if response.status_code < 300:
            self.succeeded.add(f"{case.method} {case.operation.path}")
        for what in self._faults(case, response):
            shown = f"{case.as_curl_command()[:600]}\n    -> {response.status_code} {response.text[:400]}"
            self.findings.setdefault(f"{case.method} {case.operation.path}: {what}", shown)
        self._aim.after(case, response.status_code, response.text)

    def _faults(self, case: Case, response: Any) -> Iterator[str]:
        checks = list(CHECKS)
        if self._excused(case, response):
            checks = []
        elif self._gowa and response.status_code in MORE_THAN_GOWA:
            checks = []
            if not _is_envelope(response.text):
                yield "an error without GoWA's envelope"
        try:
            case.validate_response(response, checks=checks or [_nothing])
        except FailureGroup as group:
            for failure in group.exceptions:
                yield _title(failure)
        except Failure as failure:
            yield _title(failure)

    def _excused(self, case: Case, response: Any) -> bool:
        """What the engine cannot do is 501 and says so; a session that this run itself starts and stops may be away."""
        code = _code_of(response.text)
        return (response.status_code == 501 and code in UNABLE) or (
            response.status_code == 503 and self._aim.is_moving(case) and code in ("worker_starting", "worker_lost")
        )


def _nothing(*_: Any) -> None:
    """A check nothing fails."""


def _title(failure: BaseException) -> str:
    return f"{getattr(failure, 'title', type(failure).__name__)}: {' '.join(str(failure).split())[:200]}"


def _code_of(text: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found.get("code") if isinstance(found, dict) else None


def _is_envelope(text: str) -> bool:
    try:
        return {"status", "code", "message", "results"} <= set(json.loads(text))
    except (ValueError, TypeError):
        return False


def own_schema(instance: Instance) -> BaseSchema:
    """What the instance says of itself."""
    answer = instance.http("GET", "/openapi.json")
    assert answer.status == 200, answer
    return schemathesis.openapi.from_dict(answer.body)


def gowa_schema() -> BaseSchema:
    """What GoWA says of itself, with two corrections.

    Where it shows null as the example of a text, null may come. Some envelopes are closed to others; ours has `status`.
    """
    document = yaml.safe_load(GOWA.read_text(encoding="utf-8"))
    _allow_null(document)
    for schema in document["components"]["schemas"].values():
        if {"code", "message", "results"} <= set(schema.get("properties", ())):
            schema.pop("additionalProperties", None)
    return schemathesis.openapi.from_dict(document)


def _allow_null(node: Any) -> None:
    if isinstance(node, dict):
        if "type" in node and "example" in node and node["example"] is None:
            node["nullable"] = True
        for item in node.values():
            _allow_null(item)
    elif isinstance(node, list):
        for item in node:
            _allow_null(item)


def prepare(instance: Instance) -> Aim:
    """Pairs `alpha` and `beta`, adds a phone, makes what requests can name."""
    for name, number in (("alpha", ALPHA), ("beta", BETA)):
        instance.create(name)
        instance.pair(name, number)
    instance.zap("sandbox", "phone", "add", PHONE)
    return Aim(instance)


def main(arguments: list[str] | None = None) -> int:
    """Both descriptions; the figures as JSON, the findings below. 1 when there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--only", choices=("own", "gowa"))
    asked = parser.parse_args(arguments)
    bad = 0
    with Instance() as instance:
        instance.up()
        aim = prepare(instance)
        for name in ("own", "gowa"):
            if asked.only not in (None, name):
                continue
            gowa = name == "gowa"
            fuzz = Fuzz(instance, gowa_schema() if gowa else own_schema(instance), aim=aim, gowa=gowa)
            started = time.monotonic()
            fuzz.run(asked.examples)
            figures = {
                "description": name,
                "operations": fuzz.operations,
                "operations that succeeded": len(fuzz.succeeded),
                "requests": sum(fuzz.statuses.values()),
                "statuses": dict(sorted(fuzz.statuses.items())),
                "seconds": round(time.monotonic() - started, 1),
                "findings": len(fuzz.findings),
            }
            lines = [json.dumps(figures), *(f"- {what}\n    {shown}" for what, shown in fuzz.findings.items())]
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            bad += len(fuzz.findings)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
