"""Routes that are the admin key's alone, at the gateway and at a worker's port, because no other key has any use for them."""

from __future__ import annotations

from typing import Final

NOT_SUPPORTED: Final = (
    "GET /devices/{device_id}/chatwoot/config",
    "PUT /devices/{device_id}/chatwoot/config",
    "DELETE /devices/{device_id}/chatwoot/config",
    "GET /chatwoot/configs",
    "GET /chatwoot/sync/status",
    "POST /chatwoot/sync",
    "POST /chatwoot/webhook",
    "POST /chatwoot/webhook/{device_id}",
)
"""GoWA's, answered with 501 and a reason."""
