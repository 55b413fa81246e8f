"""A Docker daemon of the tests' own. Its state lies in one folder. It makes no network and no rule of a firewall.

The ordinary user of the tests may talk to it.
"""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.untrusted.removal import remove
from tests.support.become_ordinary import NOBODY

START_S = 60.0


@contextmanager
def docker_daemon() -> Iterator[str | None]:
    """Yield the address of a daemon for this session, or `None` if this user cannot start one here."""
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="proctor-dockerd-"))
    folder.chmod(0o711)
    address = f"unix://{folder}/socket"
    places = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    group = grp.getgrgid(NOBODY).gr_name
    alone = ["--iptables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false", f"--group={group}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *places, *alone, f"--host={address}"], stdout=log, stderr=log)
    try:
        _wait(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(START_S)
        remove(folder)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while subprocess.run(["docker", "--host", address, "version"], capture_output=True, check=False).returncode:  # noqa: S607 - found on PATH
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "dockerd does not answer"
        time.sleep(0.2)
