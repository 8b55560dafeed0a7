"""Errors of the command itself. Import them from `ecosystem.contract.errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class ContextNotFound(DomainError):
    """No server is saved under that name."""

    kind = ErrorKind.NOT_FOUND
    code = "context_not_found"


class ContextExists(DomainError):
    """A server is saved under that name already."""

    kind = ErrorKind.CONFLICT
    code = "context_exists"


class ConfigUnusable(DomainError):
    """The command's configuration file cannot be read, understood or written."""

    kind = ErrorKind.INVALID
    code = "config_unusable"
