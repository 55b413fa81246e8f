"""What lies outside of the rooms, for attempts to find: files, sockets, ports, shared memory and a process."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import secrets
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

import harness
from harness.environments import plain
from harness.sandbox.image import current_image
from tests.security.rooms import sealing_kind

CALL_NUMBERS = Path(harness.__file__).parent / "sandbox/seccomp/numbers.json"
SYSTEM_FILE, SETTING = Path("/usr/bin/env"), Path("/proc/sys/kernel/ostype")
"""What every room can read: a program and a setting of the kernel."""
DISKS = ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/xvda", "/dev/loop0", "/dev/zram0")
_F_OFD_SETLK = 37
_OPENED_EVERY_S = 0.02


class Scene(Struct, frozen=True):
    """What lies outside: facts for the attempts, and what a weakened room shows of it, by the path inside.

    `readable` is a folder that every agent's room may show.
    """

    folder: Path
    readable: Path
    facts: Mapping[str, Any]
    shown: Mapping[str, Path]


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Set up what an escaped process could find outside, in an empty folder. Yield it."""
    token = f"token-{secrets.token_hex(8)}"
    places = _places(folder)
    outside, readable = folder / "outside", folder / "proctor-escape-readable"
    with contextlib.ExitStack() as stack:
        in_memory = stack.enter_context(_file_in_memory(token))
        for address in (f"\0{token}", *(str(path) for path in _sockets(outside, places))):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
            if not address.startswith("\0"):
                Path(address).chmod(0o666)
        datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagrams.bind(f"\0{token}-datagrams")
        port = stack.enter_context(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        (readable / "locked").write_text("locked")
        seen = (readable / "locked", Path(plain.__file__), *_system_files(), SETTING, Path(os.devnull))
        for file in (*seen, Path("/proc/self/ns/time")):
            stack.enter_context(_locked(file))
        stack.enter_context(_locked_event())
        stack.enter_context(_opened(seen))
        facts = {
            "numbers": json.loads(CALL_NUMBERS.read_text())[platform.machine()],
            "token": token,
            "secret": str(outside / "secret"),
            "neighbour": str(folder / "neighbour/file"),
            "neighbour_folder": str(folder / "neighbour"),
            "shm": str(in_memory),
            "shm_key": stack.enter_context(_shared_memory()),
            "port": port.getsockname()[1],
            "resolver": stack.enter_context(_resolver()),
            "socket": str(outside / "socket"),
            "address": _own_address(),
            "pid": stack.enter_context(_process(token)),
            "readable": str(readable),
            "locked": str(readable / "locked"),
            "system_file": str(SYSTEM_FILE),
            "setting": str(SETTING),
            "disk": next(filter(_opens, DISKS), DISKS[0]),
        }
        yield Scene(folder, readable, facts, {**places, str(in_memory): in_memory, "/sys": Path("/sys")})


def _system_files() -> tuple[Path, ...]:
    """Return the program behind `SYSTEM_FILE` of the rooms: the host's own, and that of the image of containers."""
    if sealing_kind() == "bubblewrap":
        return (SYSTEM_FILE,)
    return (SYSTEM_FILE, current_image().root / SYSTEM_FILE.relative_to("/"))


def _places(folder: Path) -> dict[str, Path]:
    """Make the folders and files that a weakened room shows, and return them by their path inside."""
    for name in ("outside", "neighbour", "proctor-escape-readable", "run", "var", "home", "keys", "games"):
        (folder / name).mkdir()
    (folder / "outside/secret").write_text("secret")
    (folder / "neighbour/file").write_text("another case's")
    (folder / "shadow").write_text("root:*:0")
    (folder / "var/run").symlink_to("/run")
    return {
        **{str(path): path for path in (folder / "outside", folder / "neighbour")},
        "/etc/shadow": folder / "shadow",
        "/root/.ssh": folder / "keys",
        "/home": folder / "home",
        "/run": folder / "run",
        "/var": folder / "var",
        "/usr/local/games": folder / "games",
        "/tmp/.X11-unix/X0": folder / "outside/X0",  # noqa: S108 - the server's
    }


def _sockets(outside: Path, places: Mapping[str, Path]) -> Iterator[Path]:
    """Yield where the host's sockets are to be made."""
    yield outside / "socket"
    yield outside / "X0"
    run = places["/run"]
    for name in ("docker.sock", "containerd/containerd.sock", "dbus/system_bus_socket"):
        (run / name).parent.mkdir(exist_ok=True)
        yield run / name
    (run / "user/1000").mkdir(parents=True)
    yield run / "user/1000/ssh-agent"
    yield run / "user/1000/wayland-0"


def _opens(disk: str) -> bool:
    """Return whether this user can open a disk of the host."""
    try:
        os.close(os.open(disk, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _file_in_memory(name: str) -> Iterator[Path]:
    file = Path("/dev/shm", name)  # noqa: S108 - the name is random
    file.write_text("secret")
    file.chmod(0o644)
    try:
        yield file
    finally:
        file.unlink()


@contextlib.contextmanager
def _process(token: str) -> Iterator[int]:
    """Run a process with a secret in its environment and its command line. Yield its pid."""
    waits = "import time; time.sleep(1000)"
    with subprocess.Popen(
        [sys.executable, "-c", waits, token], env={"TOKEN": token, "PATH": os.environ["PATH"]}
    ) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file that every room may read, as a whole and by its bytes."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with contextlib.suppress(OSError):  # not every file has bytes
            fcntl.fcntl(file, _F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
        yield


@contextlib.contextmanager
def _locked_event() -> Iterator[None]:
    """Lock an event."""
    event = os.eventfd(0)
    try:
        fcntl.flock(event, fcntl.LOCK_SH)
        yield
    finally:
        os.close(event)


@contextlib.contextmanager
def _opened(paths: Sequence[Path]) -> Iterator[None]:
    """Open each file again and again."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(_OPENED_EVERY_S):
            for path in paths:
                path.open().close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _shared_memory() -> Iterator[int]:
    """Create a System V segment on the host that everyone may read. Yield its key."""
    libc = ctypes.CDLL(None, use_errno=True)
    key = secrets.randbits(30) + 1
    identifier = libc.shmget(key, 4096, 0o1666)
    assert identifier >= 0, os.strerror(ctypes.get_errno())
    try:
        yield key
    finally:
        libc.shmctl(identifier, 0, None)


@contextlib.contextmanager
def _resolver() -> Iterator[int]:
    """Answer datagrams on a port of loopback. Yield the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while (packet := server.recvfrom(100))[0] != b"end":
                server.sendto(b"192.0.2.1", packet[1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"end", server.getsockname())
            thread.join()


def _own_address() -> str:
    """Return the address of this machine that others see, or nothing. This looks a route up, and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(asked.getsockname()[0])
