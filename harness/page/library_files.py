"""The JavaScript libraries of the page: Observable Plot, and d3, which it stands on.

Plot draws SVG, whose marks can be links and have names for screen readers. Both together are 0.5 MB, the smallest of
the maintained libraries with these properties. `proctor setup` installs them in the user's cache, as
`package-lock.json` in this folder pins them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.cache import user_cache

LOCK = Path(__file__).resolve().parent / "libraries" / "package-lock.json"

_FILES = ("d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js")


class LibrariesMissing(Exception):
    """The libraries are not installed. The message says how to install them."""


def libraries_folder() -> Path:
    """Return the folder in which `proctor setup` installs the libraries. It may not exist yet.

    Raise `NoHomeError` for a user without a home.
    """
    return user_cache() / "page" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]


def missing_libraries(folder: Path) -> list[str]:
    """Return the files of the libraries that are not in this folder."""
    return [name for name in _FILES if not (folder / "node_modules" / name).is_file()]


def read_libraries() -> list[str]:
    """Return the source of each library, in the order in which a page must load them. Raise `LibrariesMissing`."""
    folder = libraries_folder()
    if missing := missing_libraries(folder):
        raise LibrariesMissing(f"the page needs {missing[0]}, which is not installed: run `proctor setup`")
    return [(folder / "node_modules" / name).read_text() for name in _FILES]
