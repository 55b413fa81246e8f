"""Builds the image of containers from the Containerfile, with podman or docker."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.commands.errors import SetupFailed
from harness.commands.installing.image import build_from, packages
from harness.commands.installing.watch import run_watched
from harness.sandbox.image import Image
from harness.sandbox.podman import MOST
from harness.temporary import temporary_folder

_FILE = Path(__file__).with_name("Containerfile")
_TAG = "proctor-system"

ENGINES = ("docker", "podman")
"""The engines that can build. Each runs as its user has set it up: registries, storage, proxies."""


def build(engine: str, base: str | None, folder: Path, tell: Callable[[str], None]) -> Image:
    """Build an image with `engine` in the folder of images, on the image `base`, and make it the current one.

    Without `base`, it is the Containerfile's own, from the registry that the engine is set up for. Raise `SetupFailed`.
    """
    program = shutil.which(engine)
    if program is None:
        raise SetupFailed(f"{engine} is not installed: install it with your system's package manager")
    wanted = packages()
    tell(f"Building an image with {engine} and {', '.join(wanted)}: some minutes")

    def fill(archive: Path) -> None:
        with temporary_folder("context") as context:
            arguments = [f"PACKAGES={' '.join(wanted)}", *([] if base is None else [f"BASE={base}"])]
            run_watched(
                [
                    *(program, "build", "--network", "host", "--tag", _TAG, "--file", str(_FILE)),
                    *(part for one in arguments for part in ("--build-arg", one)),
                    *(_limits() if engine == "podman" else ()),
                    str(context),
                ],
                f"{engine} build",
            )
        made = _answer([program, "create", *(_limits() if engine == "podman" else ()), _TAG, "true"])
        try:
            _answer([program, "export", "--output", str(archive), made])
        finally:
            _answer([program, "rm", "--force", made])

    return build_from(folder, fill, tell)


def _answer(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SetupFailed(f"`{' '.join(command)[:200]}` failed: {ran.stderr.strip()}")
    return ran.stdout.strip()


def _limits() -> list[str]:
    """Return options that keep podman from raising limits, which not every root may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    return ["--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096"]
