"""`proctor image`: builds the image of containers, for the sandboxes podman, docker and apptainer."""

from __future__ import annotations

import argparse
import sys

from harness.commands.errors import BadInput, SetupFailed
from harness.commands.installing import containerfile
from harness.commands.installing import image as building
from harness.sandbox.base import SandboxError
from harness.sandbox.image import Image, current_image, images_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor image`."""
    parser.add_argument("--again", action="store_true", help="build it again, with the newest packages")
    parser.add_argument(
        "--engine",
        choices=containerfile.ENGINES,
        help="build it from the Containerfile with this engine, instead of from the sources of this machine's apt",
    )
    parser.add_argument("--base", metavar="IMAGE", help="with --engine: the Debian image to build on")


def run(given: argparse.Namespace) -> int:
    """Build the image, unless there is one that suffices. Return 1 if that fails."""
    if given.base is not None and given.engine is None:
        raise BadInput("--base needs --engine")
    if given.base == "":
        raise BadInput("--base: the name of the image is empty")
    try:
        image = None if given.again or given.engine else _sufficient()
        if image is None:
            image = _built(given)
    except (SetupFailed, SandboxError) as error:
        print(f"proctor image: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"proctor image: {error.filename or images_folder()}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"image {image.digest} in {image.folder}")
    return 0


def _built(given: argparse.Namespace) -> Image:
    if given.engine is None:
        return building.build(images_folder(), _tell)
    return containerfile.build(given.engine, given.base, images_folder(), _tell)


def _sufficient() -> Image | None:
    try:
        image = current_image()
        return image if building.is_current(image) else None
    except SandboxError:
        return None


def _tell(text: str) -> None:
    print(text, flush=True)
