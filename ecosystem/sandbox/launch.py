"""Runs a module as a program whose WhatsApp library trusts the sandbox: `python -m ecosystem.sandbox.launch -m MODULE [args…]`.

The program itself needs no test hook: trust comes from here, the route to the server from the environment it was started with.
"""

from __future__ import annotations

import runpy
import sys

from ecosystem.sandbox import trust

_USAGE = "usage: python -m ecosystem.sandbox.launch -m MODULE [args…]"


def main(argv: list[str]) -> int:
    """Hands over to the module; only a wrong call (2) or an impossible key swap (78, as sysexits' EX_CONFIG) comes back."""
    if len(argv) < 2 or argv[0] != "-m":
        sys.stderr.write(_USAGE + "\n")
        return 2
    import neonize  # noqa: F401 -- loads the Go library, which must be there before the swap

    try:
        trust.install()
    except trust.TrustError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 78
    module = argv[1]
    sys.argv = [module, *argv[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
