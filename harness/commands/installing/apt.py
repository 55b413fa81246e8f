"""Installs Debian packages by apt, which only root can do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from harness.commands.errors import SetupFailed


def apt_install(apt: str, packages: Sequence[str], found: str) -> None:
    """Install packages with the program `apt`. `found` says what is wrong without them. Raise `SetupFailed`."""
    for arguments in (["update", "-qq"], ["install", "--yes", "-qq", *packages]):
        ran = subprocess.run(
            [apt, *arguments],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            words = (ran.stderr or ran.stdout).strip()
            raise SetupFailed(f"{found}, and `apt-get {' '.join(arguments)}` failed:\n{words}")
