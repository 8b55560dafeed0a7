"""Errors of the sandbox WhatsApp and its virtual phones. Import them from `ecosystem.contract.errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class SandboxStateUnusable(DomainError):
    """The sandbox's state on disk cannot be read or written."""

    kind = ErrorKind.INTERNAL
    code = "sandbox_state_unusable"


class UnknownFault(DomainError):
    """The sandbox knows no such fault."""

    kind = ErrorKind.INVALID
    code = "unknown_fault"


class PhoneNotFound(DomainError):
    """The sandbox has no virtual phone with that number."""

    kind = ErrorKind.NOT_FOUND
    code = "phone_not_found"


class DeviceNotFound(DomainError):
    """The virtual phone has no linked device with that number."""

    kind = ErrorKind.NOT_FOUND
    code = "device_not_found"


class PhoneExists(DomainError):
    """The sandbox has that virtual phone already."""

    kind = ErrorKind.CONFLICT
    code = "phone_exists"


class PairingCodeRefused(DomainError):
    """The pairing code is wrong or nobody asked for one."""

    kind = ErrorKind.CONFLICT
    code = "pairing_code_refused"


class QrExpired(DomainError):
    """That QR code is not valid, or not any more."""

    kind = ErrorKind.CONFLICT
    code = "qr_expired"


class FaultNotApplicable(DomainError):
    """There is nothing at the moment that this fault could hit."""

    kind = ErrorKind.CONFLICT
    code = "fault_not_applicable"


class PairingTimeout(DomainError):
    """The session did not log in after the virtual phone had linked it."""

    kind = ErrorKind.TIMEOUT
    code = "pairing_timeout"


class SandboxOff(DomainError):
    """This instance runs without the sandbox."""

    kind = ErrorKind.NOT_FOUND
    code = "sandbox_off"
