"""`python -m harness`: the `proctor` command, where the script of that name is not on PATH."""

from __future__ import annotations

import sys

from harness.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
