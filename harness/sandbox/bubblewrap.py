"""The bubblewrap sandbox: namespaces, a filter of system calls, an unprivileged uid, and endpoints served from outside.

Root does not make a user namespace, because uid 0 in it would still be the host's root. Instead, init becomes an
unprivileged uid. An ordinary user makes a user namespace, and processes inside cannot make further ones.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from harness.case import SandboxConf
from harness.sandbox.base import BoxRequest, Interpreter, SandboxError
from harness.sandbox.box import BubblewrapBox
from harness.sandbox.filesystem import INIT, files, visible
from harness.sandbox.launch import launch
from harness.sandbox.options import options_of
from harness.sandbox.paths import base_interpreter, base_paths, host_python
from harness.sandbox.process import search_path
from harness.untrusted.tree import give

_NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_LIFE = ("--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox")
_AS_ROOT = (
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    *("--cap-add", "CAP_SETPCAP"),  # for init to empty the bounding set
)
_INNER_UID = 1000
_AS_USER = ("--unshare-user", "--disable-userns", "--uid", str(_INNER_UID), "--gid", str(_INNER_UID))

_FREE_UIDS = range(60578, 61184)
"""Unused in systemd's table of uids (https://systemd.io/UIDS-GIDS/), and below 65536, as containers need."""


class BubblewrapOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `bubblewrap`.

    `uid` is the uid of the sealed processes on the host when the harness runs as root. By default, each harness process
    (an xdist worker) uses a different uid, because the kernel counts processes against `max_processes` by uid.
    """

    uid: Annotated[int, Meta(ge=1, le=2**32 - 2)] | None = None


class BubblewrapSandbox:
    """Seals with bubblewrap 0.8 or later, as root or as an ordinary user.

    Open boxes from a thread that lives longer than the boxes, because they end with it.
    """

    name = "bubblewrap"
    seals = True

    def __init__(self, conf: SandboxConf) -> None:
        self.conf = conf
        self.as_root = os.geteuid() == 0
        self.uid = options_of(BubblewrapOptions, conf).uid or _FREE_UIDS[os.getpid() % len(_FREE_UIDS)]

    @cached_property
    def version(self) -> str:
        """See `Sandbox.version`."""
        return subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return host_python()

    def open(self, request: BoxRequest) -> BubblewrapBox:
        """See `Sandbox.open`. As root, gives workspace and home to the sealed uid."""
        program = _program()
        seccomp = _seccomp_filter(platform.machine())
        for directory in (request.workspace, request.home):
            _prepare(directory, self.uid if self.as_root else None)
        readable = (*request.readable, *base_paths())
        inner_uid = self.uid if self.as_root else _INNER_UID
        content = files(request, uid=inner_uid, readable=readable, tmp_mb=self.conf.tmp_mb)
        room = launch(
            program,
            (*_NAMESPACES, *_LIFE, *(_AS_ROOT if self.as_root else _AS_USER), *content.options),
            content.texts,
            seccomp,
            lambda control: (str(base_interpreter()), "-I", "-S", "-E", "-B", INIT, str(control)),
        )
        return BubblewrapBox(
            request,
            room,
            uid=self.uid if self.as_root else None,
            limits=_limits(self.conf),
            path=[directory for directory in search_path() if visible(Path(directory), readable)],
        )


def _program() -> str:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed\napt-get install bubblewrap (0.8 or later)")
    return program


def _limits(conf: SandboxConf) -> dict[str, int]:
    return {
        "RLIMIT_NPROC": conf.max_processes,
        "RLIMIT_NOFILE": conf.max_open_files,
        "RLIMIT_FSIZE": conf.max_file_mb << 20,
        "RLIMIT_CORE": 0,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_NICE": 0,
    }


def _seccomp_filter(machine: str) -> bytes:
    path = Path(__file__).parent / "seccomp" / f"{machine}.bpf"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SandboxError(
            f"there is no filter of system calls for this machine's architecture ({machine})\n"
            f"add the architecture to {path.with_name('generate.py')} and run that"
        ) from None


def _prepare(directory: Path, uid: int | None) -> None:
    """Make the directory if it is missing, and give it and its contents to `uid`. Do not follow links.

    An earlier command may have taken the rights of the directory's owner away. They are given back.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.is_symlink():
            raise SandboxError(f"{directory} is a symbolic link\ngive the directory itself")
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IRWXU)
        if uid is not None:
            give(directory, uid)
    except OSError as error:
        raise SandboxError(f"cannot prepare {directory}: {error}\ncheck its place and permissions") from error
