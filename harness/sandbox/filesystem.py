"""The file system of a box, as options for bubblewrap. It checks which host paths exist, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from harness.endings import ConfError
from harness.packaged import kept_from_agents
from harness.sandbox.base import BoxRequest, SandboxError
from harness.sandbox.hidden import without
from harness.seed_key import key_file

ROOM = "/sandbox"
WORKSPACE, HOME, INIT = f"{ROOM}/workspace", f"{ROOM}/home", f"{ROOM}/init.py"
PLACES = {"workspace": WORKSPACE, "home": HOME}
IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - mount points
"""The writable folders whose files are in memory."""

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust/extracted"),
)
"""The parts of the system's /etc that a box sees: libraries, alternatives, the time zone and certificates."""

HOST = Path("/")
"""The root of the host's own system."""

_PROC_SHOWN = {
    *("cpuinfo", "meminfo", "stat", "vmstat", "loadavg", "uptime", "version", "filesystems"),
    *("self", "thread-self", "mounts", "net"),  # links into the folder of the process that reads them
}
"""What programs read: node, bun, Python, psutil, ps, top, free and df. The rest of /proc tells about the host."""
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Files(Struct, frozen=True):
    """Options for bubblewrap, and the files for it to make: their text by their path inside."""

    options: tuple[str, ...]
    texts: Mapping[str, str]


def files(request: BoxRequest, *, uid: int, readable: Iterable[Path], tmp_mb: int, system: Path = HOST) -> Files:
    """Return the file system for a request. Only workspace, home, /tmp and /dev/shm are writable.

    `readable` are all paths to show at the same path: those of the request, and others that are needed. `uid` is the
    sealed user's, for /etc/passwd. The system's programs and libraries are those below `system`. Raise `SandboxError`
    for a path or a name that cannot be shown.
    """
    size = str(tmp_mb << 20)
    covered = tuple(map(Path, SYSTEM)) if system == HOST else ()
    given = tuple(path for path in _checked(readable) if str(path) not in SYSTEM)
    etc = tuple(Path("/etc", name) for name in ETC if (system / "etc" / name).exists())
    shown = (*etc, *given) if system == HOST else given
    places = [place.resolve() for place in (*covered, *shown)]
    options = [
        *_system(system),
        *_directories("/etc", ROOM),
        *_proc(),
        *("--dev", "/dev", "--remount-ro", "/dev"),
        *("--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"),  # noqa: S108 - a mount point, no file is made
        *("--perms", "1777", "--size", size, "--tmpfs", "/tmp"),  # noqa: S108 - a mount point, no file is made
        *(() if system == HOST else _from_image(system, etc)),
        *_read_only(shown, covered),
        *_covered(places),
        *without(request.hidden, places, shown),
        *("--bind", str(request.workspace), WORKSPACE, "--bind", str(request.home), HOME),
    ]
    for name, path in zip(request.mounts, _checked(request.mounts.values()), strict=True):
        if not _NAME.fullmatch(name) or f"{ROOM}/{name}" in (WORKSPACE, HOME):
            raise SandboxError(
                f"a mount cannot be called {name!r}\n"
                "use lower-case letters, digits, '-' and '_'; 'workspace' and 'home' are taken"
            )
        options += ("--ro-bind", str(path), mount_point(name))
    return Files(tuple(options), _texts(uid))


def mount_point(name: str) -> str:
    """Return the path of a mount inside."""
    return f"{ROOM}/{name}"


def visible(directory: Path, readable: Iterable[Path]) -> bool:
    """Return whether any part of the directory is visible inside."""
    places = (*map(Path, SYSTEM), *readable)
    return any(directory.is_relative_to(place) or place.parent == directory for place in places)


def _system(root: Path) -> Iterator[str]:
    for name in SYSTEM:
        path = Path(root, name.lstrip("/"))
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", str(path), name)


def _from_image(root: Path, paths: Iterable[Path]) -> Iterator[str]:
    """Yield options that show parts of the system below `root` in their usual place."""
    for path in paths:
        yield from _directories(
            *(str(parent) for parent in reversed(path.parents) if parent not in {HOST, Path("/etc")})
        )
        yield from ("--ro-bind", str(Path(root, path.relative_to(HOST))), str(path))


def _proc() -> Iterator[str]:
    """Yield options for the box's own /proc: its processes, settings and a few files about the machine, all to read.

    The host's /proc/sys is not bound, because boxes would share its inodes, and with them locks and watches.
    """
    yield from ("--proc", "/proc", "--remount-ro", "/proc")
    for path in sorted(Path("/proc").iterdir()):
        if path.name in {"sys", *_PROC_SHOWN} or path.name.isdigit():
            continue
        if path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        else:  # /dev/null on a mount without devices cannot be opened
            yield from ("--ro-bind", "/dev/null", str(path))


def _checked(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_absolute() or path == Path("/") or ".." in path.parts:
            raise SandboxError(f"{path} cannot be shown inside\ngive an absolute path below the root")
        try:
            path.stat()
        except OSError as error:
            raise SandboxError(f"cannot show {path} inside: {error.strerror}\ncheck that it exists") from error
        yield path


def _read_only(paths: Iterable[Path], covered: Iterable[Path]) -> Iterator[str]:
    """Yield options that show each path at the same path: a link as a link, and also its target.

    What lies in `covered` folders shows already.
    Parents are made first and explicitly, because bwrap would make them 0700, and the sealed uid could not enter them.
    """
    shown = list(covered)
    places = {place for path in paths for place in (path, path.resolve())}
    for path in sorted(places):
        if any(path.is_relative_to(other) for other in shown):
            continue
        yield from _directories(*(str(parent) for parent in reversed(path.parents) if parent != Path("/")))
        yield from ("--symlink", str(path.resolve()), str(path)) if path.is_symlink() else _bound(path)
        shown.append(path)


def _covered(places: Sequence[Path]) -> Iterator[str]:
    """Yield options that hide the private seed, and what Proctor ships with solutions, below places that are shown.

    In a wheel, these folders lie among Python's packages.
    """
    with suppress(ConfError, OSError):  # this user has no home, or may not look into it
        file = key_file().resolve(strict=True)
        if any(map(file.is_relative_to, places)):
            yield from ("--ro-bind", "/dev/null", str(file))
    for folder in (kept.resolve() for kept in kept_from_agents()):
        if any(map(folder.is_relative_to, places)):
            yield from ("--tmpfs", str(folder), "--remount-ro", str(folder))


def _bound(path: Path) -> tuple[str, str, str]:
    return ("--ro-bind", str(path), str(path))


def _directories(*paths: str) -> Iterator[str]:
    for path in paths:
        yield from ("--perms", "0755", "--dir", path)


def _texts(uid: int) -> dict[str, str]:
    return {
        INIT: Path(__file__).with_name("init.py").read_text(),
        "/etc/passwd": (
            "root:x:0:0:root:/:/usr/sbin/nologin\n"
            f"agent:x:{uid}:{uid}::{HOME}:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
        ),
        "/etc/group": f"root:x:0:\nagent:x:{uid}:\nnogroup:x:65534:\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
