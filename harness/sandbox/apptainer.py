"""The sandbox of kind `apptainer`: Apptainer 1.2 or later, as clusters have it, as root or as an ordinary user.

Its command line follows the documentation. Nothing in Proctor's tests has run it: see `docs/security.md`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from harness.case import SandboxConf
from harness.sandbox.base import SandboxError
from harness.sandbox.container import Container, ContainerSandbox
from harness.sandbox.image import Image
from harness.sandbox.layout import Layout
from harness.sandbox.options import NoOptions, options_of
from harness.sandbox.state import state_folder

_SEALED = (
    *("--contain", "--cleanenv", "--no-home", "--no-eval", "--no-init"),
    *("--no-mount", "home,cwd,hostfs,bind-paths,sys,tmp"),
    *("--pid", "--ipc", "--uts", "--hostname", "sandbox", "--net", "--network", "none"),
    *("--no-privs", "--drop-caps", "all"),
)


class Apptainer:
    """See `harness.sandbox.container.Engine`. An ordinary user keeps its own uid inside."""

    kind = "apptainer"
    maps_uids = False
    keeps_limits = False

    @cached_property
    def version(self) -> str:
        """See `Engine.version`."""
        ran = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SandboxError(f"apptainer does not run: {ran.stderr.strip()}\nreinstall apptainer")
        return ran.stdout.strip()

    def prepare(self, _image: Image, /) -> None:
        """See `Engine.prepare`. There is nothing to do."""

    def argv(self, container: Container) -> Sequence[str]:
        """See `Engine.argv`. Root becomes the box's user, and an ordinary user makes a user namespace."""
        uid = container.uid
        user = ("--security", f"uid:{uid}", "--security", f"gid:{uid}") if os.geteuid() == 0 else ("--userns",)
        return [
            *(_program(), "--quiet", "exec"),
            *_SEALED,
            *user,
            *_mounts(container.layout),
            *("--pwd", "/", str(container.layout.root)),
            *container.command,
        ]

    def environment(self) -> Mapping[str, str]:
        """See `Engine.environment`."""
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(state_folder(self.kind))}

    def ended(self, container: Container) -> None:
        """See `Engine.ended`. A container ends with its program."""

    def remedy(self, reason: str) -> str:
        """See `Engine.remedy`."""
        if "namespace" in reason:
            return "this machine does not let ordinary users make namespaces: ask its administrators"
        return "run `apptainer exec --userns --net --network none ROOT true` to learn more, with the root of an image"


def apptainer_sandbox(conf: SandboxConf) -> ContainerSandbox:
    """Return the sandbox that `conf` describes. Raise `ConfError` for an option, because there are none."""
    options_of(NoOptions, conf)
    return ContainerSandbox(conf, Apptainer())


def _program() -> str:
    program = shutil.which("apptainer")
    if program is None:
        raise SandboxError(
            "apptainer is not installed\nload its module, or install it with your system's package manager"
        )
    return program


def _mounts(layout: Layout) -> Iterator[str]:
    """Yield the options that mount a layout. /tmp is in memory; its size is that of Apptainer's own configuration."""
    for bind in layout.binds:
        if not bind.place.startswith(("/sys", "/dev")):  # these it does not show
            yield from (
                "--mount",
                f"type=bind,source={bind.source},destination={bind.place}{'' if bind.writable else ',ro'}",
            )
    yield from ("--scratch", "/tmp")  # noqa: S108 - a mount point
