"""The sandbox of kind `docker`: Docker 20 or later, whose daemon runs on this machine as root."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from harness.case import SandboxConf
from harness.sandbox.base import SandboxError
from harness.sandbox.container import Container, ContainerSandbox
from harness.sandbox.image import Image
from harness.sandbox.layout import Bind, Layout
from harness.sandbox.mounting import bound, mounts
from harness.sandbox.options import NoOptions, options_of

_ANSWER_S = 60.0
_OWNER = "proctor.owner"
_TAG = "proctor-image"
_SEALED = (
    *("--network", "none", "--hostname", "sandbox", "--ipc", "private"),
    *("--userns", "host"),  # the daemon's own map of uids, if it has one, would be unknown
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--security-opt", "seccomp=unconfined"),  # init puts on the filter of bubblewrap, which is stricter
    *("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"),  # the kernel's own default, which docker changes
    *("--log-driver", "none", "--pull", "never"),
)
_PASSED = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""The variables that say which daemon the user has chosen."""


class Docker:
    """See `harness.sandbox.container.Engine`."""

    kind = "docker"
    maps_uids = False
    keeps_limits = True

    @cached_property
    def version(self) -> str:
        """See `Engine.version`. It is that of the daemon."""
        return f"docker {self._ask('version', '--format', '{{.Server.Version}}').strip()}"

    def prepare(self, image: Image, /) -> None:
        """See `Engine.prepare`. Import the image, unless it is there, and remove what killed processes left."""
        self._sweep()
        if not self._ask("image", "ls", "--quiet", tagged(image)).strip():
            self._import(image)

    def argv(self, container: Container) -> Sequence[str]:
        """See `Engine.argv`."""
        return [
            *(_program(), "run", "--rm", "--name", container.name, "--label", f"{_OWNER}={os.getpid()}"),
            *_SEALED,
            *("--user", f"{container.uid}:{container.uid}"),
            *_limits(container),
            *_folders(container.layout),
            *mounts(container.layout),
            tagged(container.image),
            *container.command,
        ]

    def environment(self) -> Mapping[str, str]:
        """See `Engine.environment`."""
        return {name: os.environ[name] for name in _PASSED if name in os.environ}

    def ended(self, container: Container) -> None:
        """See `Engine.ended`. Docker's program ends after that."""

    def remedy(self, reason: str) -> str:
        """See `Engine.remedy`."""
        if "daemon" in reason.lower() and "connect" in reason.lower():
            return "start the daemon, or set DOCKER_HOST to its socket"
        return "see `docker info`; the daemon must run on this machine"

    def _ask(self, *arguments: str, stdin: bytes = b"") -> str:
        try:
            ran = subprocess.run(
                [_program(), *arguments],
                env=dict(self.environment()),
                input=stdin,
                capture_output=True,
                timeout=_ANSWER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(f"docker's daemon does not answer within {_ANSWER_S:.0f} s\nrestart it") from None
        if ran.returncode:
            reason = " ".join(ran.stderr.decode(errors="replace").split())
            raise SandboxError(f"docker {arguments[0]} failed: {reason}\n{self.remedy(reason)}")
        return ran.stdout.decode(errors="replace")

    def _sweep(self) -> None:
        """Remove the containers of processes that no longer exist: a killed one may leave one that never started."""
        listed = self._ask(
            "ps", "--all", "--filter", f"label={_OWNER}", "--format", f'{{{{.ID}}}} {{{{.Label "{_OWNER}"}}}}'
        )
        for line in listed.splitlines():
            identifier, _, owner = line.partition(" ")
            if not Path("/proc", owner).exists():
                self._ask("rm", "--force", identifier)

    def _import(self, image: Image) -> None:
        """Import an image that has only the links of ours, such as /bin. Each box mounts the rest from this machine."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as packed:
            for path in sorted(image.root.iterdir()):
                if path.is_symlink():
                    packed.add(path, arcname=path.name)
        self._ask("import", "-", tagged(image), stdin=archive.getvalue())


def docker_sandbox(conf: SandboxConf) -> ContainerSandbox:
    """Return the sandbox that `conf` describes. Raise `ConfError` for an option, because there are none."""
    options_of(NoOptions, conf)
    return ContainerSandbox(conf, Docker())


def tagged(image: Image) -> str:
    """Return the name of an image in docker's store."""
    return f"{_TAG}:{image.digest}"


def _program() -> str:
    program = shutil.which("docker")
    if program is None:
        raise SandboxError("docker is not installed\napt-get install docker.io")
    return program


def _limits(container: Container) -> Iterator[str]:
    if container.memory_bytes is not None:
        yield from ("--memory", str(container.memory_bytes), "--memory-swap", str(container.memory_bytes))
    if container.tasks is not None:
        yield from ("--pids-limit", str(container.tasks))


def _folders(layout: Layout) -> Iterator[str]:
    """Yield options that show the folders of the layout's root. Docker has no root but that of an image."""
    mounted = {bind.place for bind in layout.binds} | {"/dev", "/proc", "/run", "/tmp"}  # noqa: S108 - mount points
    for path in sorted(layout.root.iterdir()):
        place = f"/{path.name}"
        if place not in mounted and path.is_dir() and not path.is_symlink():
            yield from ("--mount", bound(Bind(path, place)))
