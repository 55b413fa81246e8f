"""Installs the JavaScript libraries of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.cache import NoHomeError
from harness.commands.errors import SetupFailed
from harness.commands.installing import npm
from harness.commands.installing.whole import install_whole
from harness.page.library_files import LOCK, libraries_folder, missing_libraries


def install(tell: Callable[[str], None]) -> Path:
    """Install the libraries in the user's cache, unless they are there. Return their folder. Raise `SetupFailed`."""
    try:
        root = libraries_folder()
    except NoHomeError as error:
        raise SetupFailed(str(error)) from error

    def fill(partial: Path) -> None:
        tell(f"Installing the libraries of the page in {root} (6 MB)")
        npm.fill(partial, LOCK)
        if missing := missing_libraries(partial):
            raise SetupFailed(f"npm has installed the libraries of the page, but {missing[0]} is not there")

    try:
        install_whole(root, fill, complete=lambda folder: not missing_libraries(folder), tell=tell)
    except OSError as error:
        raise SetupFailed(f"cannot install the libraries of the page: {error}") from error
    return root
