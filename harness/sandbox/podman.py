"""The sandbox of kind `podman`: podman 4 or later, as root or as an ordinary user, with all its state in one folder."""

from __future__ import annotations

import atexit
import os
import pwd
import re
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from harness.case import SandboxConf
from harness.sandbox.base import SandboxError
from harness.sandbox.container import INNER_UID, Container, ContainerSandbox
from harness.sandbox.image import Image
from harness.sandbox.layout import Layout
from harness.sandbox.mounting import mounts
from harness.sandbox.options import NoOptions, options_of
from harness.sandbox.state import abandoned_folders, state_folder

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOTS_UID = 65533
"""The host's uid of root inside: unused in systemd's table of uids. Nothing runs under it but the engine's runtime."""
MOST = 32768
"""What podman may ask for in any case: it lowers the limit of processes to this before it starts a container."""
_SEALED = (
    *("--network", "none", "--no-hosts", "--hostname", "sandbox"),
    *("--ipc", "private", "--pid", "private", "--uts", "private"),
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
    *("--security-opt", "seccomp=unconfined"),  # init puts on the filter of bubblewrap, which is stricter
    *("--passwd=false", "--systemd=false", "--log-driver", "none"),
)
_FURTHER_IDS = "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
_END_S = 10.0
_CONFIGURATION = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{folder}/tmp"
{runtime}
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE = """[storage]
driver = "vfs"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


class Podman:
    """See `harness.sandbox.container.Engine`."""

    kind = "podman"
    maps_uids = True
    keeps_limits = False

    @cached_property
    def version(self) -> str:
        """See `Engine.version`."""
        ran = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SandboxError(f"podman does not run: {ran.stderr.strip()}\nreinstall podman")
        return ran.stdout.strip()

    def prepare(self, _image: Image, /) -> None:
        """See `Engine.prepare`. An ordinary user needs further uids."""
        own_podman()

    def argv(self, container: Container) -> Sequence[str]:
        """See `Engine.argv`."""
        return [
            *(_program(), "run", "--rm", "--name", container.name),
            *("--conmon-pidfile", str(_monitor(container))),
            *_SEALED,
            *_user(container.uid),
            *_ulimits(),
            *_masks(container.layout),
            *mounts(container.layout, "notmpcopyup"),
            *("--rootfs", str(container.layout.root)),
            *container.command,
        ]

    def environment(self) -> Mapping[str, str]:
        """See `Engine.environment`. It names configuration and state that are this process's own."""
        return _variables(state_folder(self.kind))

    def ended(self, container: Container) -> None:
        """See `Engine.ended`. The container's monitor cleans up, too, and ends last."""
        with suppress(OSError, ValueError):  # it never started, or has ended
            watched = os.pidfd_open(int(_monitor(container).read_text()))
            select.select([watched], [], [], _END_S)
            os.close(watched)

    def remedy(self, reason: str) -> str:
        """See `Engine.remedy`."""
        if "newuidmap" in reason or "subuid" in reason:
            return _FURTHER_IDS
        return "see `podman info`, or choose another sandbox: proctor doctor lists those that work here"


def own_podman() -> Mapping[str, str]:
    """Return the variables for a podman whose state ends with this process.

    Raise `SandboxError` if podman is not installed, or this user has no further uids.
    """
    kind = Podman.kind
    _program()
    if os.geteuid() == 0:
        _write_configuration(state_folder(kind))
        return _variables(state_folder(kind))
    if not (shutil.which("newuidmap") and _has_further_ids()):
        raise SandboxError(f"this user has no further uids for a user namespace\n{_FURTHER_IDS}")
    for abandoned in abandoned_folders(kind):
        _clean(abandoned)
    _write_configuration(state_folder(kind))
    atexit.register(_clean, state_folder(kind))
    return _variables(state_folder(kind))


def podman_sandbox(conf: SandboxConf) -> ContainerSandbox:
    """Return the sandbox that `conf` describes. Raise `ConfError` for an option, because there are none."""
    options_of(NoOptions, conf)
    return ContainerSandbox(conf, Podman())


def _program() -> str:
    program = shutil.which("podman")
    if program is None:
        raise SandboxError("podman is not installed\napt-get install podman runc uidmap")
    return program


def _user(uid: int) -> Iterator[str]:
    """Yield options for a user namespace with two uids: that of the box, and root's, which nothing of the box has.

    For an ordinary user, the uids outside are those of the namespace that podman makes first: 0 is the user's own.
    """
    root, own = (_ROOTS_UID, uid) if os.geteuid() == 0 else (1, 0)
    for kind in ("--uidmap", "--gidmap"):
        yield from (kind, f"0:{root}:1", kind, f"{INNER_UID}:{own}:1")
    yield from ("--user", f"{INNER_UID}:{INNER_UID}")


def _masks(layout: Layout) -> tuple[str, ...]:
    """Return the options that hide parts of /proc. Root's harness does this itself, and better."""
    return () if os.geteuid() == 0 else ("--security-opt", f"mask={':'.join(layout.masked)}")


def _ulimits() -> Iterator[str]:
    """Yield options that keep podman from raising limits, which not every root may. Init lowers them further."""
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        _, hard = resource.getrlimit(kind)
        most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
        yield from ("--ulimit", f"{name}={most}:{most}")


def _write_configuration(folder: Path) -> None:
    runtime = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")  # crun needs pure cgroups
    (folder / "runtime").mkdir(mode=0o700, exist_ok=True)
    (folder / "containers.conf").write_text(
        _CONFIGURATION.format(folder=folder, runtime='runtime = "runc"\n' if runtime else "")
    )
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))


def _monitor(container: Container) -> Path:
    """Return the file with the pid of podman's monitor of a container."""
    return container.layout.root.parent / "monitor.pid"


def _clean(folder: Path) -> None:
    """Remove what an ordinary user's podman has left in a folder of its state, and end its pause process.

    That process keeps the user namespace. Files belong to uids that exist only there.
    """
    with suppress(OSError, ValueError, SandboxError, subprocess.TimeoutExpired):
        _write_configuration(folder)  # an earlier removal may have got that far
        storage = str(folder / ".local")
        subprocess.run(
            [_program(), "unshare", "rm", "-rf", storage],
            env=_variables(folder),
            capture_output=True,
            timeout=_END_S,
            check=False,
        )
        pid = int((folder / "tmp/pause.pid").read_text())
        if f"HOME={folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)


def _variables(folder: Path) -> dict[str, str]:
    """Return the variables for a podman with its state in a folder."""
    return {
        "PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}",
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }


def _has_further_ids() -> bool:
    """Return whether this user may map more than its own uid and gid."""
    return all(_listed(Path(f"/etc/{name}")) for name in ("subuid", "subgid"))


def _listed(file: Path) -> bool:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
        return bool(re.search(rf"^({re.escape(user)}|{os.getuid()}):", file.read_text(), re.MULTILINE))
    except (OSError, KeyError):
        return False
