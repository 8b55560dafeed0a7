"""Everything that can be done with webhook targets: create, change, look at, try out."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from yarl import URL

from ecosystem.contract.errors import InvalidRequest, RedisDown, SessionNotFound, WebhookNotFound
from ecosystem.contract.events import EVENT_TYPES, Event
from ecosystem.contract.ids import new_ulid, parse_session_id
from ecosystem.contract.webhook import (
    CircuitState,
    CreateWebhook,
    SendWebhook,
    SentWebhook,
    SetSessionWebhook,
    UpdateWebhook,
    WebhookCounts,
    WebhookList,
    WebhookStats,
    WebhookView,
)
from ecosystem.outgoing import check_reach, check_url
from orchestrator.registry import deliveries, sessions, webhooks
from orchestrator.webhooks.checks import check_headers
from orchestrator.webhooks.circuit import Outcome, judge
from orchestrator.webhooks.gowa import TEST_EVENT
from orchestrator.webhooks.matching import check_events, check_ignore
from orchestrator.webhooks.payload import Recipient, build
from orchestrator.webhooks.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.registry.database import Connection, Database, Written
    from orchestrator.registry.secrets import SecretBox
    from orchestrator.registry.webhooks import TargetRow
    from orchestrator.webhooks.limits import Limits
    from orchestrator.webhooks.waker import Waker


SECRET_BYTES: Final = 32
_LOG: Final = logging.getLogger(__name__)


class Means(NamedTuple):
    """What the service works with."""

    database: Database
    box: SecretBox
    waker: Waker
    limits: Limits


class WebhookService:
    """The verbs. Each raises RegistryDown where the database is away; then nothing has changed."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._database = means.database

    # --- targets

    async def page(self, session_id: str | None = None) -> WebhookList:
        """Every target, or one session's own."""
        async with self._database.use() as connection:
            rows = await webhooks.search(connection, session_id=session_id)
            waiting = await deliveries.pending_counts(connection, [row.id for row in rows])
        return WebhookList([self._view(row, waiting.get(row.id, 0)) for row in rows], len(rows))

    async def get(self, target_id: str) -> WebhookView:
        """Raises WebhookNotFound."""
        async with self._database.use() as connection:
            return await self._show(connection, target_id)

    async def must_belong(self, target_id: str, session_id: str | None) -> None:
        """Raises WebhookNotFound unless it is that session's own, alive with it; None: every target will do."""
        if session_id is None:
            return
        async with self._database.use() as connection:
            row = await webhooks.get(connection, target_id)
        if row is None or row.session_id != session_id or row.retired_at is not None:
            raise WebhookNotFound

    @property
    def private_for_sessions(self) -> bool:
        """Whether keys of sessions may have requests sent to private addresses."""
        return self._means.limits.private_for_sessions

    async def create(self, body: CreateWebhook, *, allow_private: bool = False) -> WebhookView:
        """A new target; the answer carries its secret. Raises an error naming the field, or SessionNotFound.

        `allow_private`: whether who asks may have requests sent to private addresses.
        """
        session_id = None if body.session_id is None else parse_session_id(body.session_id)
        secret = body.secret or new_secret()
        fields = self._fields(body, secret, allow_private)
        async with self._database.transaction() as connection:
            return await self._insert(connection, fields, session_id, secret, primary=False)

    async def update(self, target_id: str, body: UpdateWebhook, *, allow_private: bool = False) -> WebhookView:
        """Changes what is given. Raises WebhookNotFound, or an error naming the field."""
        given = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not msgspec.UNSET}
        async with self._database.transaction() as connection:
            row = await webhooks.get(connection, target_id, lock=True)
            if row is None:
                raise WebhookNotFound
            return await self._change(connection, row, given, allow_private)

    async def delete(self, target_id: str) -> None:
        """Nothing is sent to it any more, and what waits is dropped. Raises WebhookNotFound."""
        async with self._database.transaction() as connection:
            if await webhooks.get(connection, target_id, lock=True) is None:
                raise WebhookNotFound
            await webhooks.mark_deleted(connection, target_id)

    # --- the one of a session

    async def of_session(self, session_id: str) -> WebhookView:
        """The session's webhook. Raises SessionNotFound, WebhookNotFound."""
        async with self._database.transaction() as connection:
            await _must_exist(connection, session_id)
            row = await webhooks.primary_of(connection, session_id)
            if row is None:
                raise WebhookNotFound("the session has no webhook", session_id=session_id)
            return await self._show(connection, row.id)

    async def set_of_session(
        self, session_id: str, body: SetSessionWebhook, *, allow_private: bool = False
    ) -> WebhookView | None:
        """Creates, changes, or with an empty URL takes away. Raises SessionNotFound, or an error naming the field."""
        given = {"url": body.url, "events": body.events, "format": body.format, "enabled": True}
        if body.secret is not None:
            given["secret"] = body.secret
        secret = body.secret or new_secret()
        fields = None
        if body.url:
            wanted = CreateWebhook(url=body.url, events=body.events, format=body.format)
            fields = self._fields(wanted, secret, allow_private)
        async with self._database.transaction() as connection:
            await _must_exist(connection, session_id)
            row = await webhooks.primary_of(connection, session_id)
            if fields is None:
                if row is not None:
                    await webhooks.mark_deleted(connection, row.id)
                return None
            if row is not None:
                return await self._change(connection, row, given, allow_private)
            return await self._insert(connection, fields, session_id, secret, primary=True)

    def of_new_session(self, body: SetSessionWebhook, *, allow_private: bool) -> tuple[str, Written]:
        """The secret of a webhook for a session to be made, and what writes it with the session.

        Raises an error naming the field.
        """
        secret = body.secret or new_secret()
        fields = self._fields(
            CreateWebhook(url=body.url, events=body.events, format=body.format), secret, allow_private
        )

        async def write(connection: Connection, session_id: str) -> None:
            await webhooks.insert(connection, new_ulid(), fields, session_id=session_id, primary=True)

        return secret, write

    # --- trying out, and numbers

    async def send(self, body: SendWebhook, *, allow_private: bool = False) -> SentWebhook:
        """One request now; nothing is kept. Raises WebhookNotFound, or an error naming the field."""
        if (body.webhook_id is None) == (body.url is None):
            raise InvalidRequest("webhook_id: give either webhook_id or url", field="webhook_id")
        if body.event not in (*EVENT_TYPES, TEST_EVENT):
            check_events([body.event.replace("*", "?")], field="event")
        session_id = "none" if body.session_id is None else parse_session_id(body.session_id)
        timeout_s = body.timeout_s or self._means.limits.timeout_s
        if body.webhook_id is not None:
            async with self._database.use() as connection:
                row = await webhooks.get(connection, body.webhook_id)
            if row is None:
                raise WebhookNotFound
            url, to = URL(row.url), self._recipient(row)
            allow_private = row.allow_private
            timeout_s = body.timeout_s or row.timeout_s or timeout_s
        else:
            url = check_url(body.url or "")
            check_reach(url, allow_private=allow_private)
            to = Recipient(body.format, body.secret or new_secret(), {})
        now = datetime.now(UTC)
        event = Event(new_ulid(), body.event, session_id, 0, now, None, body.data, {"test": True})
        sender = Sender()
        try:
            answer = await sender.post(
                url,
                build(event, to, delivery="test", attempt=1, now=now),
                timeout_s=timeout_s,
                allow_private=allow_private,
            )
        finally:
            await sender.close()
        delivered = judge(answer.code) is Outcome.DELIVERED
        return SentWebhook(delivered, answer.code, answer.took_ms, answer.error, event.id)

    async def stats(self, session_id: str | None = None, *, owner: str | None = None) -> WebhookStats:
        """Numbers of every target, or of what one session's events came to; `owner`: at that session's own targets alone.

        Raises SessionNotFound.
        """
        async with self._database.use() as connection:
            if session_id is not None:
                await _must_exist(connection, session_id)
            counts = await deliveries.counts(connection, session_id=session_id, owner=owner)
            gaps = await deliveries.count_gaps(connection, session_id=session_id)
        return WebhookStats(_sum(counts), {one.target_id: _sum([one]) for one in counts}, gaps)

    # ---

    async def _insert(
        self,
        connection: Connection,
        fields: webhooks.TargetFields,
        session_id: str | None,
        secret: str,
        *,
        primary: bool,
    ) -> WebhookView:
        if session_id is not None:
            await _must_exist(connection, session_id)
        target_id = new_ulid()
        await webhooks.insert(connection, target_id, fields, session_id=session_id, primary=primary)
        return await self._show(connection, target_id, secret)

    async def _change(
        self, connection: Connection, row: TargetRow, given: dict[str, object], allow_private: bool
    ) -> WebhookView:
        """Writes the row with what is given; the secret is shown only where it was. Who gives a new URL answers for it."""
        secret = given.get("secret")
        kept = CreateWebhook(
            url=row.url,
            name=row.name,
            enabled=row.enabled,
            events=list(row.events),
            format=row.format,
            headers=self._headers(row),
            timeout_s=row.timeout_s,
            retry_count=row.retry_count,
            ignore=row.ignore,
        )
        wanted = msgspec.structs.replace(kept, **{name: given[name] for name in given if name != "secret"})
        shown = secret if isinstance(secret, str) else None
        allowed = allow_private if wanted.url != row.url else row.allow_private
        fields = self._fields(wanted, shown or self._means.box.open(row.secret_encrypted), allowed)
        await webhooks.update(connection, row.id, fields)
        return await self._show(connection, row.id, shown)

    async def _show(self, connection: Connection, target_id: str, secret: str | None = None) -> WebhookView:
        row = await webhooks.get(connection, target_id)
        if row is None:
            raise WebhookNotFound
        waiting = await deliveries.pending_counts(connection, [target_id])
        return self._view(row, waiting.get(target_id, 0), secret)

    def _fields(self, body: CreateWebhook, secret: str, allow_private: bool) -> webhooks.TargetFields:
        """Raises an error naming the field."""
        check_reach(check_url(body.url), allow_private=allow_private)
        headers = check_headers(body.headers)
        return webhooks.TargetFields(
            url=body.url,
            name=body.name,
            enabled=body.enabled,
            events=tuple(check_events(body.events)),
            format=body.format,
            secret_encrypted=self._means.box.seal(secret),
            headers_encrypted=self._means.box.seal(msgspec.json.encode(headers).decode()),
            header_names=tuple(headers),
            timeout_s=body.timeout_s,
            retry_count=body.retry_count,
            ignore=check_ignore(body.ignore),
            allow_private=allow_private,
        )

    def _headers(self, row: TargetRow) -> dict[str, str]:
        return msgspec.json.decode(self._means.box.open(row.headers_encrypted), type=dict[str, str])

    def _recipient(self, row: TargetRow) -> Recipient:
        return Recipient(row.format, self._means.box.open(row.secret_encrypted), self._headers(row))

    def _view(self, row: TargetRow, pending: int, secret: str | None = None) -> WebhookView:
        limits = self._means.limits
        return WebhookView(
            id=row.id,
            session_id=row.session_id,
            name=row.name,
            url=row.url,
            enabled=row.enabled,
            events=list(row.events),
            format=row.format,
            headers=list(row.header_names),
            timeout_s=row.timeout_s if row.timeout_s is not None else limits.timeout_s,
            retry_count=row.retry_count if row.retry_count is not None else limits.retry_count,
            ignore=row.ignore,
            circuit=_circuit(row),
            disabled_reason=row.gone_reason or (None if row.enabled else "disabled by the operator"),
            failures_in_a_row=row.failures,
            probe_at=row.probe_at,
            last_success_at=row.last_success_at,
            last_failure_at=row.last_failure_at,
            last_error=row.last_error,
            pending=pending,
            created_at=row.created_at,
            updated_at=row.updated_at,
            secret=msgspec.UNSET if secret is None else secret,
        )


async def wake(waker: Waker, target_ids: Iterable[str]) -> None:
    """Sends wake-ups; without Redis the keeper does it a moment later."""
    try:
        await asyncio.to_thread(waker.wake, list(target_ids))
    except RedisDown:
        _LOG.info("wake_up_not_sent")


def new_secret() -> str:
    """A secret nobody can guess."""
    return secrets.token_urlsafe(SECRET_BYTES)


async def _must_exist(connection: Connection, session_id: str) -> None:
    if await sessions.get(connection, session_id) is None:
        raise SessionNotFound(session_id=session_id)


def _circuit(row: TargetRow) -> CircuitState:
    if row.probe_at is None:
        return CircuitState.CLOSED
    return CircuitState.HALF_OPEN if row.probe_due else CircuitState.OPEN


def _sum(counts: Sequence[deliveries.Count]) -> WebhookCounts:
    delivered = sum(one.delivered for one in counts)
    failed = sum(one.failed for one in counts)
    return WebhookCounts(
        delivered=delivered,
        failed=failed,
        dead=sum(one.dead for one in counts),
        pending=sum(one.pending for one in counts),
        success_rate=round(delivered / (delivered + failed), 4) if delivered + failed else None,
        average_ms=round(sum(one.took_ms for one in counts) / delivered, 1) if delivered else None,
        last_delivered_at=max((one.last_delivered_at for one in counts if one.last_delivered_at), default=None),
        last_failed_at=max((one.last_failed_at for one in counts if one.last_failed_at), default=None),
    )
