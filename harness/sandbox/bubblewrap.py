"""The bubblewrap sandbox: namespaces, a filter of system calls, an unprivileged uid, and endpoints served from outside.

Root does not make a user namespace, because uid 0 in it would still be the host's root. Instead, init becomes an
unprivileged uid. An ordinary user makes a user namespace, and processes inside cannot make further ones.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from harness.case import SandboxConf
from harness.sandbox.base import BoxRequest, Interpreter, SandboxError
from harness.sandbox.box import SealedBox
from harness.sandbox.cgroup import parents
from harness.sandbox.disk import can_make_disks
from harness.sandbox.filesystem import INIT, files, mount_point, visible
from harness.sandbox.keeper import weaker
from harness.sandbox.launch import launch
from harness.sandbox.options import options_of
from harness.sandbox.paths import base_interpreter, base_paths, host_python
from harness.sandbox.preparing import disk_of, limits_of, prepare_folder, seccomp_filter
from harness.sandbox.process import search_path
from harness.sandbox.uids import UidLease, lease_uid
from harness.sandbox.views import own_views

_NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_LIFE = ("--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv")
_AS_ROOT = (
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    *("--cap-add", "CAP_SETPCAP"),  # for init to empty the bounding set
)
_INNER_UID = 1000
_AS_USER = (
    *("--unshare-user", "--disable-userns", "--uid", str(_INNER_UID), "--gid", str(_INNER_UID)),
    *("--cap-drop", "ALL"),  # in the user namespace of its views, bwrap would keep all
)


class BubblewrapOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `bubblewrap`.

    `uid` is the uid of the sealed processes on the host when the harness runs as root. By default, each box has a
    different uid, because the kernel counts processes, inotify instances and more by uid.
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
        self.uid = options_of(BubblewrapOptions, conf).uid

    @cached_property
    def version(self) -> str:
        """See `Sandbox.version`."""
        return subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return host_python()

    @property
    def weaker(self) -> tuple[str, ...]:
        """See `Sandbox.weaker`."""
        return weaker(parents(), disks=can_make_disks(), root=self.as_root)

    def open(self, request: BoxRequest) -> SealedBox:
        """See `Sandbox.open`. As root, gives workspace and home to the uid of the box."""
        if not self.as_root:
            return self._open(request, None)
        uid = lease_uid() if self.uid is None else UidLease(self.uid)
        try:
            return self._open(request, uid)
        except BaseException:
            uid.release()
            raise

    def _open(self, request: BoxRequest, uid: UidLease | None) -> SealedBox:
        program = _program()
        seccomp = seccomp_filter(platform.machine())
        for directory in (request.workspace, request.home):
            prepare_folder(directory, uid.uid if uid else None)
        readable = (*request.readable, *base_paths())
        content = files(request, uid=uid.uid if uid else _INNER_UID, readable=readable, tmp_mb=self.conf.tmp_mb)
        request = replace(request, bounds=replace(request.bounds, tasks=self.conf.max_processes))
        disk = disk_of(request, uid)
        views = own_views(content.options, map(mount_point, request.shared), as_root=self.as_root)
        room = launch(
            (*views.command, program),
            (*_NAMESPACES, *_LIFE, *(_AS_ROOT if uid else _AS_USER), *views.options),
            content.texts,
            seccomp,
            views.table,
            lambda control: (str(base_interpreter()), "-I", "-S", "-E", "-B", INIT, str(control)),
            uid.uid if uid else None,
        )
        return SealedBox(
            request,
            room,
            uid=uid,
            disk=disk,
            limits=limits_of(self.conf, request.bounds),
            path=[directory for directory in search_path() if visible(Path(directory), readable)],
        )


def _program() -> str:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed\napt-get install bubblewrap (0.8 or later)")
    return program
