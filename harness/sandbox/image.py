"""The image of containers: a small Linux system in the user's cache, which `proctor image` builds."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from harness.cache import NoHomeError, user_cache
from harness.sandbox.base import SandboxError

COMMAND = "proctor image"


class Image(Struct, frozen=True):
    """An image. `folder` holds its files, `digest` identifies what it holds."""

    folder: Path
    digest: str

    @property
    def root(self) -> Path:
        """The root of its file system."""
        return self.folder / "root"


class About(Struct, frozen=True):
    """What is known of an image, as its file `about.json` has it.

    `packages` are the versions of its packages. `lent` are the paths below the system's folders that the host shows in
    it.
    """

    packages: dict[str, str]
    lent: list[str]


def images_folder() -> Path:
    """Return the folder of all images. Raise `SandboxError` for a user without a home."""
    try:
        return user_cache() / "image"
    except NoHomeError as error:
        raise SandboxError(f"there is no place for an image: {error}\nset HOME or XDG_CACHE_HOME") from error


def current_image() -> Image:
    """Return the image that containers use. Raise `SandboxError` if none has been built."""
    folder = images_folder() / "current"
    try:
        target = folder.resolve(strict=True)
    except OSError:
        raise SandboxError(f"there is no image for containers\nbuild one: {COMMAND}") from None
    return Image(target, target.name)


def about(image: Image) -> About:
    """Return what is known of an image. Raise `SandboxError` if it is damaged."""
    try:
        return msgspec.json.decode((image.folder / "about.json").read_bytes(), type=About)
    except (OSError, msgspec.DecodeError) as error:
        raise SandboxError(f"the image {image.folder} is damaged: {error}\nbuild it again: {COMMAND}") from error
