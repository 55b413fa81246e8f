"""Where the extra `worlds` is: all of KinDER with its physics engines, in a virtual environment of its own.

These engines need other versions of packages than Proctor. `proctor setup --extra worlds` installs them in the user's
cache. An environment with `interpreter: worlds` runs there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from harness.cache import NoHomeError, user_cache
from harness.environment_conf import EnvironmentConf
from harness.environments.kinder_ids import require_id, short_name
from harness.packaged import requirements

WORLDS: Final = "worlds"
"""The name of the extra, and the `interpreter` of the environments that run there."""


_START_S: Final = 300.0
_CALL_S: Final = 60.0
"""Seconds for engines that need up to 30 s to start, and 6 s to draw a picture, on a machine that does nothing else."""


def conf_of(kinder_id: str) -> EnvironmentConf:
    """Return the configuration of an environment of KinDER that has no file. Raise `ValueError` for an unknown id.

    An environment that needs an engine runs in the extra.
    """
    name, arguments = short_name(kinder_id), {"id": kinder_id}
    if require_id(kinder_id).engine is None:
        return EnvironmentConf(name, "kinder", arguments)
    return EnvironmentConf(name, "kinder", arguments, interpreter=WORLDS, start_s=_START_S, call_s=_CALL_S)


def worlds_folder() -> Path:
    """Return the folder in which `proctor setup` installs the extra. It may not exist yet.

    The digest of the pins names it, so that every checkout with the same pins shares it. Raise `NoHomeError` for a user
    without a home.
    """
    return user_cache() / WORLDS / hashlib.sha256(requirements(WORLDS).read_bytes()).hexdigest()[:16]


def python_in(folder: Path) -> Path:
    """Return the Python of a virtual environment. It may not exist."""
    return folder / "bin" / "python"


def packages_in(folder: Path) -> Path | None:
    """Return the folder of the packages of a virtual environment, or `None` if there is none."""
    return next(folder.glob("lib/python*/site-packages"), None)


def is_complete(folder: Path) -> bool:
    """Return whether the extra is installed in this folder, and the Python that it was made with still exists."""
    return python_in(folder).exists()


def missing_worlds() -> str | None:
    """Return why the extra cannot be used and what to do, or `None` if it is installed."""
    try:
        folder = worlds_folder()
    except NoHomeError as error:
        return str(error)
    return None if is_complete(folder) else f"the extra {WORLDS} is not installed: run `proctor setup --extra {WORLDS}`"
