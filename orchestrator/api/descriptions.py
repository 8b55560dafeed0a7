"""What the routes of the control API take and answer, for the description of the API: one literal table.

A route that is not listed here is described by its handler's docstring alone.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypedDict

from ecosystem.contract import access, alerts, fleet, operations, policy
from ecosystem.contract import catalogue_shapes as shapes
from ecosystem.contract import session as sessions
from ecosystem.contract import webhook as hooks
from orchestrator.api import alerts as alert_routes
from orchestrator.api import audit, devices, feed, proxies, queries, resources, signin
from orchestrator.api import webhooks as webhook_routes

TEXT: Final = "text/plain"
HTML: Final = "text/html"
NOTHING: Final = None


class Greeting(TypedDict):
    """What this is and where to go on."""

    name: str
    version: str
    health: str
    sessions: str


class Described(NamedTuple):
    """One route. `answers`: type by status; None: no body. `gowa`: they are the `results` of GoWA's envelope."""

    summary: str
    answers: dict[int, object]
    query: type | None = None
    body: type | None = None
    media: tuple[str, ...] = ("application/json",)
    gowa: bool = False


def _gowa(summary: str, results: object, query: type | None = None, body: type | None = None) -> Described:
    return Described(summary, {200: results}, query, body, gowa=True)


_VIEW: Final[dict[int, object]] = {200: sessions.SessionView}
_DETAIL: Final[dict[int, object]] = {200: sessions.SessionDetail}
_HOOK: Final[dict[int, object]] = {200: hooks.WebhookView}
_LOG: Final[dict[int, object]] = {200: hooks.DeliveryList}

SESSIONS: Final[dict[str, Described]] = {
    "POST ": Described("Create a session", {201: sessions.CreatedSession}, queries.WaitQuery, sessions.CreateSession),
    "GET ": Described("The sessions, one page", {200: sessions.SessionList}, queries.ListQuery),
    "GET /{session}": Described("One session", _DETAIL),
    "GET /{session}/status": Described("One session", _DETAIL),
    "PUT /{session}": Described("Change name, labels or metadata", _VIEW, body=sessions.UpdateSession),
    "PATCH /{session}": Described("Change name, labels or metadata", _VIEW, body=sessions.UpdateSession),
    "DELETE /{session}": Described("Delete a session", {204: NOTHING, 202: fleet.Deleting}, queries.DeleteQuery),
    "POST /{session}/start": Described("Start a session", _VIEW, queries.WaitQuery),
    "POST /{session}/connect": Described("Start a session", _VIEW, queries.WaitQuery),
    "POST /{session}/stop": Described("Stop a session", _VIEW, queries.WaitQuery),
    "POST /{session}/disconnect": Described("Stop a session", _VIEW, queries.WaitQuery),
    "POST /{session}/restart": Described("A fresh process", _VIEW, queries.WaitQuery),
    "POST /{session}/logout": Described("Unlink a session from its phone", _VIEW, queries.WaitQuery),
    "GET /{session}/qr": Described(
        "The QR code to scan", {200: sessions.QrCode}, queries.QrQuery, media=("application/json", "image/png", TEXT)
    ),
    "POST /{session}/pairphone": Described(
        "A code to type on the phone", {200: sessions.PairingCode}, body=sessions.PairPhone
    ),
    "GET /{session}/logs": Described("The session's log", {200: str}, queries.LogsQuery, media=(TEXT,)),
    "GET /{session}/history": Described("Changes of its status", {200: fleet.SessionHistory}, queries.HistoryQuery),
    "GET /{session}/policy": Described("When the session is restarted, and when no more", {200: policy.PolicyView}),
    "PUT /{session}/policy": Described(
        "Set the session's own rules of restart", {200: policy.PolicyView}, body=policy.RestartRules
    ),
    "GET /{session}/webhook": Described("The session's own webhook", _HOOK),
    "PUT /{session}/webhook": Described(
        "Set the session's own webhook", {200: hooks.WebhookView, 204: NOTHING}, body=hooks.SetSessionWebhook
    ),
    "DELETE /{session}/webhook": Described("Take the session's own webhook away", {204: NOTHING}),
    "POST /actions": Described(
        "One verb for several sessions", {200: operations.ActionOutcomes}, body=operations.SessionActions
    ),
    "POST /{session}/reload": Described("A fresh process, without a request that fails", _VIEW, queries.ReloadQuery),
    "POST /{session}/flush": Described("Empty the session's log", _VIEW),
    "POST /{session}/reset": Described("Counters start from nought", _VIEW),
    "POST /{session}/signal": Described("Send the session's process a signal", _VIEW, body=operations.SendSignal),
    "GET /{session}/series": Described("A session over time", {200: operations.Series}, resources.SeriesQuery),
    "GET /{session}/stats": Described("A session in figures", {200: sessions.SessionStats}),
    "GET /{session}/proxy": Described("The session's proxy", {200: operations.ProxyView}),
    "PUT /{session}/proxy": Described(
        "Set the session's proxy", {200: operations.ProxyView}, body=sessions.ProxySettings
    ),
    "POST /{session}/proxy": Described(
        "Set the session's proxy", {200: operations.ProxyView}, body=sessions.ProxySettings
    ),
    "DELETE /{session}/proxy": Described(
        "Take the session's proxy away", {200: operations.ProxyView}, proxies.RemoveQuery
    ),
    "POST /{session}/proxy/test": Described(
        "Reach WhatsApp through a proxy", {200: operations.ProxyTested}, body=sessions.ProxySettings
    ),
    "GET /{session}/keys": Described("The keys that open the session", {200: access.ApiKeyList}),
    "POST /{session}/keys": Described("A new key of the session", {201: access.IssuedKey}, body=access.CreateKey),
}
"""Below `/sessions` and `/api/sessions`."""
WEBHOOKS: Final[dict[str, Described]] = {
    "POST ": Described("Create a webhook", {201: hooks.WebhookView}, body=hooks.CreateWebhook),
    "GET ": Described("The webhooks", {200: hooks.WebhookList}, webhook_routes.TargetsQuery),
    "POST /send": Described("Send one request now", {200: hooks.SentWebhook}, body=hooks.SendWebhook),
    "GET /stats": Described("Deliveries in numbers", {200: hooks.WebhookStats}),
    "GET /sessions/{session}/stats": Described("One session's deliveries in numbers", {200: hooks.WebhookStats}),
    "GET /dead-letters": Described("Events given up on", _LOG, webhook_routes.DeliveriesQuery),
    "GET /{webhook}": Described("One webhook", _HOOK),
    "PUT /{webhook}": Described("Change a webhook", _HOOK, body=hooks.UpdateWebhook),
    "PATCH /{webhook}": Described("Change a webhook", _HOOK, body=hooks.UpdateWebhook),
    "DELETE /{webhook}": Described("Delete a webhook", {204: NOTHING}),
    "GET /{webhook}/deliveries": Described("A webhook's deliveries", _LOG, webhook_routes.DeliveriesQuery),
    "POST /{webhook}/replay": Described("Send events again", {202: hooks.ReplayedWebhook}, body=hooks.ReplayWebhook),
}
"""Below `/webhooks` and `/api/webhooks`."""
_DEVICE: Final = "/devices/{device_id}"
DEVICES: Final[dict[str, Described]] = {
    "GET /devices": _gowa("Every session, as GoWA's devices", list[devices.Device]),
    "POST /devices": _gowa("Add a device", devices.Device, body=devices.AddDevice),
    f"GET {_DEVICE}": _gowa("One device", devices.Device),
    f"DELETE {_DEVICE}": _gowa("Log a device out and delete it", None),
    f"GET {_DEVICE}/login": _gowa("Log in by QR code", shapes.Login),
    f"POST {_DEVICE}/login/code": _gowa("Log in by pairing code", shapes.LoginCode, devices.PhoneQuery),
    f"POST {_DEVICE}/logout": _gowa("Log a device out; it stays", None),
    f"POST {_DEVICE}/reconnect": _gowa("A fresh process", None),
    f"GET {_DEVICE}/status": _gowa("Is it connected, is it logged in?", shapes.DeviceStatus),
    f"GET {_DEVICE}/webhook": _gowa("A device's own webhook", shapes.DeviceHook),
    f"PATCH {_DEVICE}/webhook": _gowa("Set a device's own webhook", shapes.DeviceHook, body=devices.DeviceWebhook),
    "POST /device/login": _gowa("Add a device and log it in", shapes.DeviceLogin, body=devices.LoginDevice),
    "POST /device/logout": _gowa("Log a device out", None, body=devices.NameDevice),
    "GET /device/list": _gowa("The devices that are wanted running", list[devices.Device]),
    "GET /app/devices": _gowa("Every session, in short", list[shapes.DeviceName]),
    "GET /app/info": _gowa("The program and its limits in bytes", shapes.Info),
}
ACCESS: Final[dict[str, Described]] = {
    "GET /whoami": Described("What the presented key is and may do", {200: access.Identity}),
    "GET /keys": Described("Every API key", {200: access.ApiKeyList}),
    "POST /keys": Described("A new API key", {201: access.IssuedKey}, body=access.CreateKey),
    "DELETE /keys/{key_id}": Described("Revoke a key", {200: access.ApiKeyView}),
    "POST /keys/{key_id}/rotate": Described(
        "A new key in the place of another", {201: access.IssuedKey}, body=access.RotateKey
    ),
    "POST /secret-key/rotate": Described("Encrypt every stored secret with a new key", {200: access.RotatedSecretKey}),
    "GET /audit": Described("Who did what, newest first", {200: access.AuditPage}, audit.AuditQuery),
    "GET /login": Described("The page to sign in at", {200: str}, media=(HTML,)),
    "POST /login": Described("Sign in with a key", {200: signin.SignInAnswer}, body=signin.SignIn),
    "POST /logout": Described("End the sign-in, everywhere", {204: NOTHING}),
}
INSTANCE: Final[dict[str, Described]] = {
    "GET /": Described("What this is", {200: Greeting}),
    "GET /health": Described(
        "Can sessions be managed? In JSON, or one word where only plain text is accepted",
        {200: fleet.HealthAnswer, 503: fleet.HealthAnswer},
        media=("application/json", TEXT),
    ),
    "GET /ready": Described("Can requests be served?", {200: fleet.ReadyAnswer, 503: fleet.ReadyAnswer}),
    "GET /status": Described("The instance at a glance", {200: fleet.FleetStatus}),
    "GET /processes": Described("Programs and workers as supervisord sees them", {200: fleet.ProcessList}),
    "GET /alerts": Described(
        "What somebody should look at, newest first", {200: alerts.AlertList}, alert_routes.AlertsQuery
    ),
    "GET /server": Described("The machine, and what this instance takes of it", {200: operations.ServerView}),
    "GET /series": Described("The fleet and the machine over time", {200: operations.Series}, resources.SeriesQuery),
    "GET /metrics": Described("The fleet for Prometheus", {200: str}, media=(TEXT,)),
    "GET /programs/{name}/logs": Described("A program's log", {200: str}, queries.LogsQuery, media=(TEXT,)),
    "GET /ws": Described("What happens to devices, as a WebSocket", {101: None}),
    "GET /openapi.json": Described("This description", {200: dict[str, Any]}),
    "GET /docs": Described("This description as a page", {200: str}, media=(HTML,)),
    "GET /docs/{tail}": Described("What that page is made of", {200: str}, media=("text/javascript", "text/css", HTML)),
    "GET /events": Described(
        "What happens, as server-sent events", {200: str}, feed.FeedQuery, media=("text/event-stream",)
    ),
    "GET /events/schema": Described("The JSON Schema of every event", {200: dict[str, Any]}),
    "GET /api/dashboard/events": Described("What happens, as a WebSocket", {101: NOTHING}, feed.FeedQuery),
}


def _below(prefixes: tuple[str, ...], table: dict[str, Described]) -> dict[str, Described]:
    found: dict[str, Described] = {}
    for key, described in table.items():
        method, _, rest = key.partition(" ")
        found |= {f"{method} {prefix}{rest}": described for prefix in prefixes}
    return found


TABLE: Final[dict[str, Described]] = {
    **INSTANCE,
    **ACCESS,
    **_below(("/sessions", "/api/sessions"), SESSIONS),
    **_below(("/webhooks", "/api/webhooks"), WEBHOOKS),
    **DEVICES,
}
"""By method and route pattern."""
