"""What all kinds of container share. Each engine adds its command lines: see `Engine`.

An engine makes the namespaces, without a network, and starts the same init as bubblewrap does. Init connects to a
socket that lies in the container's file system. It puts on the same filter of system calls and has the same Landlock
rules. The harness keeps the limits in the same way.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import select
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from msgspec import Struct
from msgspec.structs import replace

from harness.case import SandboxConf
from harness.sandbox.base import BoxRequest, Interpreter, SandboxError
from harness.sandbox.box import SealedBox
from harness.sandbox.cgroup import parents
from harness.sandbox.disk import can_make_disks
from harness.sandbox.filesystem import INIT, ROOM, files, visible
from harness.sandbox.image import Image, current_image
from harness.sandbox.keeper import LIMITS, PROCESSES, weaker
from harness.sandbox.kernel import hide, inside_mounts
from harness.sandbox.launched import START_S, Launched, last_words, spawn
from harness.sandbox.layout import Layout, lay_out
from harness.sandbox.paths import base_interpreter, base_paths, host_python
from harness.sandbox.preparing import disk_of, limits_of, prepare_folder, seccomp_filter
from harness.sandbox.process import search_path
from harness.sandbox.state import boxes_folder
from harness.sandbox.uids import UidLease, lease_uid
from harness.untrusted.removal import discard

CONTROL, FILTER = f"{ROOM}/control/socket", f"{ROOM}/filter"
_BACKSTOP = 1.5
"""An engine's limit of memory, over that of the box. The harness measures, and ends the box before that."""
INNER_UID = 1000
"""The uid inside, for an engine that makes a user namespace."""


class Container(Struct, frozen=True, kw_only=True):
    """What an engine is to run. `uid` is the host's uid of its processes.

    `memory_bytes` and `tasks` are limits that the engine must keep, or `None` if the harness does.
    """

    name: str
    layout: Layout
    image: Image
    uid: int
    command: tuple[str, ...]
    memory_bytes: int | None = None
    tasks: int | None = None


class Engine(Protocol):
    """One container engine.

    `kind` is also the name of its program. `maps_uids` says whether it makes a user namespace, in which the uid is
    `INNER_UID`. `keeps_limits` says whether it keeps limits that the harness cannot keep.
    """

    kind: str
    maps_uids: bool
    keeps_limits: bool

    @property
    def version(self) -> str:
        """The engine and its version. Raise `SandboxError` if it is not installed or does not answer."""

    def prepare(self, image: Image, /) -> None:
        """Do what is needed once in each process before the first container. Raise `SandboxError`."""

    def argv(self, container: Container) -> Sequence[str]:
        """Return the command line that runs a container in the foreground, and removes it when it ends."""

    def environment(self) -> Mapping[str, str]:
        """Return the variables for the engine's program."""

    def ended(self, container: Container) -> None:
        """Wait until the engine has removed an ended container, after its program has ended."""

    def remedy(self, reason: str) -> str:
        """Return what to do about a failure that the engine reports as `reason`."""


class ContainerSandbox:
    """Seals with a container engine, as root or as an ordinary user."""

    seals = True

    def __init__(self, conf: SandboxConf, engine: Engine) -> None:
        self.name = engine.kind
        self.conf, self.engine = conf, engine
        self.as_root = os.geteuid() == 0
        self._prepared = False

    @cached_property
    def version(self) -> str:
        """See `Sandbox.version`. It includes the digest of the image."""
        return f"{self.engine.version}, image {current_image().digest}"

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return host_python()

    @property
    def weaker(self) -> tuple[str, ...]:
        """See `Sandbox.weaker`."""
        found = weaker(parents(), disks=can_make_disks(), root=self.as_root)
        if not self._engine_limits:
            return found
        return tuple(words for words in found if words != LIMITS[PROCESSES])

    @property
    def _engine_limits(self) -> bool:
        """Whether the engine limits memory and processes, because the harness has no cgroup for them."""
        return self.engine.keeps_limits and "memory" not in parents().folders

    def open(self, request: BoxRequest) -> SealedBox:
        """See `Sandbox.open`. As root, gives workspace and home to the uid of the box."""
        image = current_image()
        if not self._prepared:
            self.engine.prepare(image)
            self._prepared = True
        if not self.as_root:
            return self._open(request, image, None)
        lease = lease_uid()
        try:
            return self._open(request, image, lease)
        except BaseException:
            lease.release()
            raise

    def _open(self, request: BoxRequest, image: Image, lease: UidLease | None) -> SealedBox:
        uid = os.geteuid() if lease is None else lease.uid
        for directory in (request.workspace, request.home):
            prepare_folder(directory, None if lease is None else uid)
        readable = (*request.readable, *base_paths())
        content = files(
            request,
            uid=INNER_UID if self.engine.maps_uids else uid,
            readable=readable,
            tmp_mb=self.conf.tmp_mb,
            system=image.root,
        )
        request = replace(request, bounds=replace(request.bounds, tasks=self.conf.max_processes))
        disk = disk_of(request, lease)
        memory = request.bounds.memory_bytes
        container = Container(
            name=f"proctor-{os.getpid()}-{secrets.token_hex(6)}",
            layout=lay_out(folder := boxes_folder(self.name), content),
            image=image,
            uid=uid,
            command=("/usr/bin/env", "-i", str(base_interpreter()), "-I", "-S", "-E", "-B", INIT, CONTROL, FILTER),
            memory_bytes=int(memory * _BACKSTOP) if memory is not None and self._engine_limits else None,
            tasks=request.bounds.tasks if self._engine_limits else None,
        )
        return SealedBox(
            request,
            _launch(self.engine, container, folder),
            uid=lease,
            disk=disk,
            limits=limits_of(self.conf, request.bounds),
            path=[directory for directory in search_path() if visible(Path(directory), readable)],
        )


def _launch(engine: Engine, container: Container, folder: Path) -> Launched:
    """Run a container and return it when its init has connected. Raise `SandboxError` if it does not start."""

    def explain(reason: str) -> SandboxError:
        return SandboxError(f"{engine.kind} could not seal a box: {reason}\n{engine.remedy(reason)}")

    def remove() -> None:
        engine.ended(container)
        discard(folder)

    filter_file = container.layout.root / FILTER.lstrip("/")
    filter_file.write_bytes(seccomp_filter(platform.machine()))
    filter_file.chmod(0o644)
    with contextlib.ExitStack() as undo:
        undo.callback(remove)
        log = undo.enter_context(os.fdopen(os.memfd_create("log"), "r+b"))
        with _listening(container.layout.root / CONTROL.lstrip("/")) as listener:
            process = _spawned(engine, container, log)
            control = _accepted(listener, process)
            if control is None:
                raise explain(last_words(process, log, "it ended without output"))
        pid, uid = _peer(control)
        if pid == 0 or uid != container.uid:
            control.close()
            process.kill()
            process.wait()
            raise explain(f"its init has uid {uid} and pid {pid} on this machine, and not uid {container.uid}")
        if os.geteuid() == 0:
            _mask(pid, container.layout.masked)
        undo.pop_all()
    return Launched(
        process=process,
        pid=pid,
        control=control,
        log=log,
        explain=explain,
        grouped=container.memory_bytes is None and container.tasks is None,
        removed=remove,
    )


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen on a new socket that init can connect to. Afterwards, nobody else can."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.parent.chmod(0o755)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # the path itself may be too long for a socket
        os.close(folder)
        path.chmod(0o666)
        listener.listen(1)
        yield listener
    path.unlink()


def _spawned(engine: Engine, container: Container, log: IO[bytes]) -> subprocess.Popen[bytes]:
    argv = engine.argv(container)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return spawn(argv, stdin=nothing, log=log, environment=dict(engine.environment()))
    except OSError as error:
        raise SandboxError(f"cannot run {argv[0]}: {error}\n{engine.remedy(str(error))}") from error
    finally:
        os.close(nothing)


def _accepted(listener: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket | None:
    """Return init's connection, or `None` if the engine's program ends before there is one. Kill it if it hangs."""
    watched = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([listener.fileno(), watched], [], [], START_S)
    finally:
        os.close(watched)
    if listener.fileno() in ready:
        return listener.accept()[0]
    if not ready:
        process.kill()
    return None


def _mask(pid: int, paths: Sequence[str]) -> None:
    """Hide paths below /proc from a container that has not started anything yet, and make the rest read-only.

    Only root can do this.
    """
    try:
        pidfd = os.pidfd_open(pid)
        try:
            inside_mounts(pidfd, lambda: hide(paths))
        finally:
            os.close(pidfd)
    except OSError as error:
        raise SandboxError(f"cannot hide the host's /proc from a container: {error}\nsee the kernel's log") from error


def _peer(control: socket.socket) -> tuple[int, int]:
    """Return the pid and the uid of init, as this process sees them."""
    pid, uid, _ = struct.unpack("3i", control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return pid, uid & 0xFFFFFFFF
