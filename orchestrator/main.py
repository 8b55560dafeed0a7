"""Puts the orchestrator together: the only place that names a concrete backend."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import hashlib
import hmac
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

import uvloop
from aiohttp import web

from ecosystem import web as edge
from ecosystem.contract.errors import DomainError, InvalidSettings, RegistryDown
from ecosystem.contract.ids import DEFAULT_SESSION
from ecosystem.definition import logs_folder, session_log
from ecosystem.services.postgres import effective_database_url
from ecosystem.services.redis import effective_redis_url
from ecosystem.serving import Bounds, Runner
from ecosystem.supervisord import listener
from ecosystem.supervisord.client import DEFAULT_TIMEOUT_S, SupervisordClient
from orchestrator.access.browser import BrowserSessions
from orchestrator.access.cors import Cors
from orchestrator.access.guard import GUARD, Guard
from orchestrator.access.keyring import Keyring
from orchestrator.access.limits import Limiter
from orchestrator.access.remote import Whereabouts, parse_networks, parse_origins
from orchestrator.access.rotation import SecretKeyRotation
from orchestrator.access.trail import Trail
from orchestrator.api import auth
from orchestrator.api.alerts import DiagnosisRoutes
from orchestrator.api.audit import AuditRoutes
from orchestrator.api.creation import CreationRoutes
from orchestrator.api.devices import DeviceRoutes
from orchestrator.api.devicewebhook import SessionDeviceWebhooks
from orchestrator.api.docs import DocsRoutes
from orchestrator.api.feed import FeedRoutes
from orchestrator.api.fleet import FleetRoutes
from orchestrator.api.health import HealthRoutes
from orchestrator.api.keys import KeyRoutes
from orchestrator.api.openapi import OpenApiRoutes
from orchestrator.api.operations import OperationRoutes
from orchestrator.api.proxies import ProxyRoutes
from orchestrator.api.resources import ResourceRoutes
from orchestrator.api.sessions import SessionRoutes
from orchestrator.api.signin import SignInRoutes
from orchestrator.api.version import VERSION
from orchestrator.api.webhooks import WebhookRoutes
from orchestrator.api.ws import SocketRoutes, query_credentials
from orchestrator.gateway.dialect import GowaDialect
from orchestrator.gateway.routes import Gateway
from orchestrator.observed import Observer
from orchestrator.ports import PortAllocator
from orchestrator.process.supervisord import SupervisordManager
from orchestrator.reconcile.alarms import Alarms, make_limits
from orchestrator.reconcile.crons import parse_exit_codes
from orchestrator.reconcile.fleet import Fleet
from orchestrator.reconcile.loop import Backends, Reconciler
from orchestrator.reconcile.restarts import Policy
from orchestrator.reconcile.specs import Workshop
from orchestrator.registry import migrate, secrets
from orchestrator.registry.database import Database
from orchestrator.registry.leader import Leadership
from orchestrator.resources.machine import Machine
from orchestrator.resources.metrics import FleetMetrics
from orchestrator.resources.sampler import Keep, Sampler
from orchestrator.sessions.actions import Operations
from orchestrator.sessions.diagnosis import Diagnosis
from orchestrator.sessions.idle import Unloader
from orchestrator.sessions.keys import KeyService
from orchestrator.sessions.names import SessionNames
from orchestrator.sessions.outboxes import WorkerOutboxes
from orchestrator.sessions.pairing import Pairing
from orchestrator.sessions.probe import Prober
from orchestrator.sessions.proxies import Proxies
from orchestrator.sessions.pusher import AccessPusher
from orchestrator.sessions.renewing import Renewer
from orchestrator.sessions.rolling import Rolling
from orchestrator.sessions.service import SessionOrchestrator
from orchestrator.sessions.workers import WorkerClient
from orchestrator.webhooks.roles import Webhooks

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection
    from pathlib import Path

    from ecosystem.settings import Settings
    from orchestrator.process.protocol import ProcessManager

DRAIN_S: Final = 5.0
"""How long requests under way may take once the orchestrator is told to end."""
LINGER_S: Final = 1.0
"""How long a client that has just connected may take to send its request once the orchestrator is told to end."""
KNOW_WITHIN_S: Final = 5.0
"""How long clients that wait already go on waiting for an orchestrator that does not know the fleet yet."""
RETRY_S: Final = 0.5
CANCEL_AGAIN_S: Final = 1.0
PURGE_EVERY_S: Final = 3600.0
ADDRESS_FROM: Final = "https://api.ipify.org"
"""Answers with its caller's address as plain text."""
_LOG: Final = logging.getLogger(__name__)


class Orchestrator:
    """One orchestrator, composed but not running. `processes` is the backend."""

    def __init__(
        self,
        settings: Settings,
        processes: ProcessManager,
        *,
        admin_key: str,
        gateway_key: str,
        database_url: str,
        redis_url: str,
    ) -> None:
        self.settings = settings
        self.database = Database(database_url, max_size=settings.database_pool_max)
        self.leadership = Leadership(database_url)
        self.observer = Observer(redis_url, prefix=settings.redis_prefix, heartbeat_ttl_s=settings.heartbeat_ttl_s)
        self.processes = processes
        self.ports = PortAllocator(self.database, settings.ports, host=settings.worker_host)
        self.keyring = Keyring(self.database, admin_key=admin_key, logins=settings.logins)
        self.limiter = Limiter(redis_url, prefix=settings.redis_prefix)
        self.trail = Trail(self.database, spool=settings.paths.root / "audit.spool", keep_s=settings.audit_keep_s)
        self.guard = make_guard(settings, self.keyring, self.limiter, self.trail, admin_key=admin_key)
        push_key = make_push_key(gateway_key)
        self.box = secrets.SecretBox(reread=functools.partial(secrets.read_keys, settings))
        self.workshop = Workshop(
            settings,
            redis_url=redis_url,
            keys=(admin_key, gateway_key, *(f"{user}:{password}" for user, password in settings.logins.items())),
            push_key=push_key,
            grants=self.keyring.grants,
            open_secret=self.box.open,
        )
        self.fleet = Fleet(
            make_policy(settings, leases_ports=not processes.capabilities.assigns_address),
            heartbeat_ttl_s=settings.heartbeat_ttl_s,
            worker_host=settings.worker_host,
        )
        self.reconciler = Reconciler(
            self.fleet,
            Backends(self.database, self.leadership, self.observer, processes, self.ports, self.workshop),
            interval_s=settings.reconcile_interval_s,
            stop_grace_s=settings.stop_grace_s,
            alarms=Alarms(
                self.fleet,
                self.database,
                storage=settings.storage,
                limits=make_limits(settings),
                targets=lambda: self.webhooks.keeper.health,
            ),
        )
        self.diagnosis = Diagnosis(self.reconciler, self.database, kill_timeout_s=settings.stop_grace_s)
        self.workers = WorkerClient(key=gateway_key, timeout_s=settings.worker_timeout_s)
        self.sessions = SessionOrchestrator(
            self.reconciler,
            self.database,
            self.observer,
            self.ports,
            self.workers,
            max_sessions=settings.max_sessions,
            only=DEFAULT_SESSION if settings.single_session_mode else None,
            hold_s=settings.hold_s,
        )
        machine = Machine(home=settings.paths.root, logs=logs_folder(settings), storage=settings.storage)
        self.sampler = Sampler(self.fleet, self.database, machine, make_keep(settings))
        self.metrics = FleetMetrics(
            self.fleet,
            version=VERSION,
            sessions_max=settings.metrics_sessions_max,
            targets=lambda: self.webhooks.keeper.health,
        )
        self.rolling = Rolling(self.sessions, processes)
        self.renewer = Renewer(self.sessions, processes)
        self.operations = Operations(self.sessions, self.rolling, processes)
        self.proxies = Proxies(
            self.sessions, self.database, self.box, make_prober(settings), interval_s=settings.proxy_check_interval_s
        )
        self.unloader = Unloader(self.sessions, timeout_s=settings.session_timeout_s)
        self.names = SessionNames(self.sessions)
        self.keys = KeyService(self.database, self.keyring)
        self.pusher = AccessPusher(self.fleet, self.keyring, self.workers, key=push_key)
        self.rotation = SecretKeyRotation(settings, self.database, self.box)
        outboxes = WorkerOutboxes(self.sessions)
        self.webhooks = Webhooks(
            settings,
            self.database,
            self.leadership,
            self.box,
            outboxes,
            redis_url=redis_url,
            sent_seqs=outboxes.sent,
        )
        self.gateway = Gateway(
            self.sessions,
            self.names,
            self.guard,
            sandbox_socket=settings.paths.sandbox_socket if settings.sandbox else None,
            body_limit=settings.body_limit_bytes,
            media_timeout_s=settings.media_timeout_s,
        )

    def app(self) -> web.Application:
        """The HTTP side. The control API comes before the gateway: what it does not know is a worker's."""
        app = web.Application(client_max_size=self.settings.body_limit_bytes)
        dialect = GowaDialect(auth.render)
        app.middlewares.append(self.metrics.requests.middleware())
        edge.install(app, render=self.metrics.requests.counting(dialect))
        app.middlewares.append(query_credentials())
        cors = Cors(parse_origins(self.settings.cors_origins, field="CORS_ORIGINS"))
        app.middlewares.extend((cors.middleware(), self.guard.middleware()))
        app[GUARD] = self.guard
        app.on_response_prepare.extend((_name_server, self.guard.on_prepare, cors.on_prepare))
        if self.guard.browser is not None:
            SignInRoutes(
                self.guard, self.guard.browser, basic_auth=self.settings.dashboard_basic_auth, origins=cors.origins
            ).add_routes(app)
        KeyRoutes(self.keys, self.keyring, self.rotation).add_routes(app)
        AuditRoutes(self.database, self.trail).add_routes(app)
        HealthRoutes(self.fleet, self.database, store_writable=self.workshop.writable).add_routes(app)
        FleetRoutes(self.fleet, self.processes, self.settings).add_routes(app)
        OperationRoutes(self.operations, self.rolling).add_routes(app)
        ProxyRoutes(self.proxies, private_for_sessions=self.settings.proxy_private_for_sessions).add_routes(app)
        ResourceRoutes(self.sessions, self.database, self.processes, self.sampler, self.metrics).add_routes(app)
        pairing = Pairing(self.sessions, code_holds_s=self.settings.qr_code_timeout_s)
        DiagnosisRoutes(self.diagnosis).add_routes(app)
        service, private = self.webhooks.service, self.settings.proxy_private_for_sessions
        CreationRoutes(self.sessions, self.keys, self.proxies, service, private_proxies=private).add_routes(app)
        SessionRoutes(self.sessions, pairing, self.processes).add_routes(app)
        WebhookRoutes(self.webhooks.service, self.webhooks.log).add_routes(app)
        FeedRoutes(self.webhooks.feeds).add_routes(app)
        webhooks = SessionDeviceWebhooks(self.webhooks.service)
        DeviceRoutes(self.sessions, self.names, pairing, webhooks, limits=self.settings.media).add_routes(app)
        SocketRoutes(self.sessions, self.names, self.webhooks.feeds).add_routes(app)
        OpenApiRoutes().add_routes(app)
        if self.settings.dashboard_enabled:
            DocsRoutes().add_routes(app)
        dialect.learn(self.gateway.add_routes(app))
        return app

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; raises when it cannot listen, or a task that must not end did."""
        runner = Runner(
            self.app(),
            bounds=Bounds(connections_max=self.settings.connections_max),
            handler_cancellation=True,  # the client went: so does the request to the worker
            shutdown_timeout=DRAIN_S,
            auto_decompress=False,  # bodies for workers pass as they are
        )
        try:
            await runner.setup()
            kept = listener.inherited(self.settings.port)
            if kept is None:
                await self._listen(
                    web.TCPSite(runner, self.settings.listen_host, self.settings.port, reuse_address=True)
                )
            await self._run(stop, runner, kept)
        finally:
            await runner.cleanup()
            await self.close()

    async def _listen(self, site: web.BaseSite) -> None:
        await site.start()
        _LOG.info("listening", extra={"host": self.settings.listen_host, "port": self.settings.port})

    async def _run(self, stop: asyncio.Event, runner: Runner, kept: socket.socket | None) -> None:
        """`kept`: the socket in whose queue clients may be waiting since the last orchestrator went."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self.prepare(), name="migrations"),
                tasks.create_task(self.reconciler.run(), name="reconciler"),
                tasks.create_task(self._purge(), name="archive"),
                tasks.create_task(self.unloader.run(), name="unloader"),
                tasks.create_task(self.renewer.run(), name="renewer"),
                tasks.create_task(self.proxies.run(), name="proxies"),
                tasks.create_task(self.sampler.run(), name="sampler"),
                tasks.create_task(self.keyring.run(), name="keys"),
                tasks.create_task(self.pusher.run(), name="access pusher"),
                tasks.create_task(self.limiter.run(), name="limits"),
                tasks.create_task(self.trail.run(), name="audit"),
                tasks.create_task(self.rotation.run(), name="secret keys"),
                tasks.create_task(self.webhooks.relay.run(), name="relay"),
                tasks.create_task(self.webhooks.keeper.run(), name="keeper"),
            ]
            if kept is not None:
                await self._know(stop)
                await self._listen(web.SockSite(runner, kept, backlog=listener.QUEUE))
            await stop.wait()
            _LOG.info("stopping")
            for site in list(runner.sites):
                await site.stop()
            await runner.linger(LINGER_S)
            await _cancel(running)

    async def _know(self, stop: asyncio.Event) -> None:
        """Returns once the fleet is known; after a while in any case: then clients are told what is missing."""
        end = time.monotonic() + KNOW_WITHIN_S
        while time.monotonic() < end and not stop.is_set():
            if self.database.prepared and self.fleet.rows_known and self.fleet.process_manager_answers:
                return
            await self.reconciler.looked(RETRY_S)

    async def prepare(self) -> None:
        """Brings the database to shape, as soon as it is there. Raises InternalError when it cannot be used by this version."""
        self.box.fill(await asyncio.to_thread(secrets.read_keys, self.settings))
        known = await asyncio.to_thread(migrate.migrations)
        while not self.database.prepared:
            try:
                for name in await migrate.migrate(self.database, known):
                    _LOG.info("migrated", extra={"migration": name})
                self.database.prepared = True
            except RegistryDown:
                await asyncio.sleep(RETRY_S)
        self.reconciler.poke()

    async def _purge(self) -> None:
        while True:
            try:
                for folder in await asyncio.to_thread(self.workshop.purge):
                    _LOG.info("archive_purged", extra={"folder": folder.name})
            except OSError as error:
                _LOG.warning("archive_not_purged", extra={"error": str(error)})
            await asyncio.sleep(PURGE_EVERY_S)

    async def close(self) -> None:
        """Closes every connection; the leader's lock last, once nothing acts any more."""
        await self.gateway.close()
        await self.webhooks.close()
        await self.workers.close()
        await self.observer.close()
        await self.limiter.close()
        await self.trail.close()
        await self.database.close()
        await self.leadership.close()


def make_guard(settings: Settings, keyring: Keyring, limiter: Limiter, trail: Trail, *, admin_key: str) -> Guard:
    """Who decides about requests, as the settings have it. Raises InvalidSettings."""
    browser = None
    if settings.dashboard_enabled:
        browser = BrowserSessions(keyring, admin_key=admin_key, hold_s=settings.sign_in_hold_s)
    return Guard(
        keyring,
        limiter,
        trail,
        Whereabouts(parse_networks(settings.trusted_proxies, field="TRUSTED_PROXIES"), public_url=settings.public_url),
        browser=browser,
        rates=settings.rates,
        origins=parse_origins(settings.cors_origins, field="CORS_ORIGINS"),
        opened=frozenset({"/metrics"} if settings.metrics_open else ()),
    )


def make_keep(settings: Settings) -> Keep:
    """What is kept of samples and logs, as the settings have it."""
    return Keep(
        interval_s=settings.sample_interval_s,
        fine_s=settings.sample_keep_s,
        hours_s=settings.sample_keep_hours_s,
        logs=logs_folder(settings),
        logs_max_bytes=settings.log_total_max_bytes,
    )


def make_prober(settings: Settings) -> Prober:
    """How proxies are tried: against WhatsApp, or the sandbox where that is WhatsApp. Nothing else is asked then."""
    source = settings.proxy_address_from or ("off" if settings.sandbox else ADDRESS_FROM)
    return Prober(
        timeout_s=settings.proxy_timeout_s,
        authority=settings.paths.sandbox / "ca.pem" if settings.sandbox else None,
        address_from=None if source == "off" else source,
    )


def make_push_key(gateway_key: str) -> str:
    """The key workers take changed keys from. It follows from the gateway's, but the proxy never sends it."""
    return hmac.new(gateway_key.encode(), b"zapvisor access push", hashlib.sha256).hexdigest()


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Ends tasks. A cancellation can get lost in a client library that is just finishing a command: then it is repeated."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)


def make_policy(settings: Settings, *, leases_ports: bool) -> Policy:
    """The limits of repair as the settings have them."""
    return Policy(
        max_restarts=settings.max_restarts,
        window_s=settings.restart_window_s,
        delay_s=settings.restart_delay_s,
        delay_max_s=settings.restart_delay_max_s,
        # Never sooner than a second time to live: whoever lost its beats in Redis has written another by then.
        lost_after_s=max(settings.lost_after_s - settings.heartbeat_ttl_s, settings.heartbeat_ttl_s),
        starts_at_once=settings.starts_at_once,
        leases_ports=leases_ports,
        starts_per_second=settings.starts_per_second,
        min_uptime_s=settings.min_uptime_s,
        max_memory_bytes=settings.max_memory_bytes,
        cron_restart=settings.cron_restart,
        stop_exit_codes=parse_exit_codes(settings.stop_exit_codes),
    )


def read_key(path: Path, what: str) -> str:
    """The key in a file. Raises InvalidSettings."""
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"the {what} in {path} cannot be read", hint="start with `zapvisor up`") from error
    if not key:
        raise InvalidSettings(f"the {what} in {path} is empty", hint="start with `zapvisor up`")
    return key


async def serve(settings: Settings) -> None:
    """Every role in one process, until SIGTERM or SIGINT."""
    home = settings.paths
    admin_key = settings.admin_api_key
    if admin_key is None:
        admin_key = await asyncio.to_thread(read_key, home.admin_key, "admin key")
    gateway_key = await asyncio.to_thread(read_key, home.gateway_key, "gateway key")
    processes = SupervisordManager(
        SupervisordClient.of(home),
        session_log=lambda session_id: session_log(settings, session_id),
        timeout_s=DEFAULT_TIMEOUT_S,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sent in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent, stop.set)
    try:
        orchestrator = Orchestrator(
            settings,
            processes,
            admin_key=admin_key,
            gateway_key=gateway_key,
            database_url=effective_database_url(settings),
            redis_url=effective_redis_url(settings),
        )
        gc.collect()
        gc.freeze()  # collections then look at what requests make, not at a hundred thousand objects that stay anyway
        await orchestrator.serve(stop)
    finally:
        await processes.close()


async def migrate_now(settings: Settings, phase: migrate.Phase | None) -> list[str]:
    """Applies what is missing and returns the names. Raises RegistryDown, InternalError."""
    database = Database(effective_database_url(settings), max_size=1, name="zapvisor migrate")
    try:
        return await migrate.migrate(database, await asyncio.to_thread(migrate.migrations), phase=phase)
    finally:
        await database.close()


def run(settings: Settings) -> int:
    """Serves; the exit code."""
    try:
        # For 1 MB, a tenth less of the processor for each request that is passed on.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except DomainError as error:
        _LOG.error("cannot_serve", extra={"code": error.code, "detail": error.message, "hint": error.hint})
        return error.exit_code
    except OSError as error:
        _LOG.error("cannot_serve", extra={"detail": str(error)})
        return 1
    except BaseExceptionGroup as group:
        for died in group.exceptions:
            _LOG.error("task_died", exc_info=died)
        return 1
    return 0


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    with contextlib.suppress(KeyError):
        del response.headers["Server"]
    response.headers["Server"] = "zapvisor"
