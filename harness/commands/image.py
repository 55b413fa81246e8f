"""`proctor image`: builds the image of containers, for the sandboxes podman, docker and apptainer."""

from __future__ import annotations

import argparse
import sys

from harness.commands.errors import SetupFailed
from harness.commands.installing import image as building
from harness.sandbox.base import SandboxError
from harness.sandbox.image import Image, current_image, images_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor image`."""
    parser.add_argument("--again", action="store_true", help="build it again, with the newest packages")


def run(given: argparse.Namespace) -> int:
    """Build the image, unless there is one that suffices. Return 1 if that fails."""
    try:
        image = None if given.again else _sufficient()
        if image is None:
            image = building.build(images_folder(), _tell)
    except (SetupFailed, SandboxError, OSError) as error:
        print(f"proctor image: {error}", file=sys.stderr)
        return 1
    print(f"image {image.digest} in {image.folder}")
    return 0


def _sufficient() -> Image | None:
    try:
        image = current_image()
        return image if building.is_current(image) else None
    except SandboxError:
        return None


def _tell(text: str) -> None:
    print(text, flush=True)
