"""Checks that bubblewrap is installed and seals. If it is missing, root gets it through apt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable

from harness.case import SandboxConf
from harness.commands.errors import SetupFailed
from harness.commands.installing.apt import apt_install
from harness.sandbox.factory import make_sandbox
from harness.sandbox.probe import probe

OLDEST = (0, 8)
"""The first version that can forbid further user namespaces (`--disable-userns`)."""

_OLDEST = ".".join(map(str, OLDEST))


def require(tell: Callable[[str], None]) -> str:
    """Check that bubblewrap seals, and return its version. Raise `SetupFailed` if it is missing or does not seal.

    If bubblewrap is missing or too old, and the user is root, install it through apt first.
    """
    version = _version()
    if _numbers(version) < OLDEST:
        _install(f"is too old ({version})" if version else "is not installed", tell)
        version = _version()
        if _numbers(version) < OLDEST:
            raise SetupFailed(
                f"bubblewrap {_OLDEST} or later is needed, but apt installed {version or 'none on PATH'}: "
                "use a newer release of your system"
            )
    capability = probe(make_sandbox(SandboxConf("bubblewrap", "bubblewrap")))
    if not capability.ok:
        raise SetupFailed(f"bubblewrap {version} does not seal: {capability.reason}\n{capability.remedy}")
    return version


def _version() -> str:
    """Return the version of bubblewrap, or an empty text if it is not installed."""
    program = shutil.which("bwrap")
    if program is None:
        return ""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return told[-1] if told else "0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _install(found: str, tell: Callable[[str], None]) -> None:
    """Install bubblewrap through apt. `found` says what is wrong without it. Raise `SetupFailed`."""
    apt = shutil.which("apt-get")
    if apt is None:
        raise SetupFailed(f"bubblewrap {found}: install version {_OLDEST} or later with your system's package manager")
    if os.geteuid() != 0:
        raise SetupFailed(f"bubblewrap {found}: run `sudo apt-get install bubblewrap` ({_OLDEST} or later is needed)")
    tell(f"bubblewrap {found}: installing it through apt")
    apt_install(apt, ["bubblewrap"], f"bubblewrap {found}")
