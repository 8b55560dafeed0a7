"""`python -m cli`: the same as the `zapvisor` command."""

from __future__ import annotations

import sys

from cli.root import main

if __name__ == "__main__":
    sys.exit(main())
