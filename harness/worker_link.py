"""Messages between the main process of a session and its xdist workers.

The main process tells a worker where its files go. Only workers collect tests. A worker that has collected cases sends
their folders to the main process before xdist reports the worker's collection.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.stash import DIST, RUN_FOLDER, STATUS_FILE, run_folder

_CHANNEL = "proctor_channel"
_STATUS_FOLDER = pytest.StashKey[Path]()


class Collected(NamedTuple):
    """What a worker has collected. It is sent only if something asked for cases.

    `folders` maps each test that uses a session to the name of the session's folder. It is `None` if there are no
    cases. `mistake` says what is wrong with the configuration. `nothing` says why no case runs.
    """

    folders: dict[str, str] | None
    mistake: str | None
    nothing: str | None


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is an xdist worker."""
    return hasattr(config, "workerinput")


def greet(node: Any) -> None:
    """Tell a worker that is about to start where its files go, and how tests are distributed.

    Called in the main process.
    """
    channel = node.gateway.newchannel()
    node.proctor_heard = deque[dict[str, Any]]()
    channel.setcallback(node.proctor_heard.append)
    node.workerinput[_CHANNEL] = channel
    node.workerinput[DIST] = node.config.getoption("dist")
    node.workerinput[RUN_FOLDER] = str(run_folder(node.config))
    node.workerinput[STATUS_FILE] = str(status_folder(node.config) / f"{node.gateway.id}.json")


def heard(node: Any) -> Collected | None:
    """Return what a worker has sent, or `None`. Called in the main process."""
    return Collected(**node.proctor_heard.popleft()) if node.proctor_heard else None


def tell(config: pytest.Config, collected: Collected) -> None:
    """Send to the main process what this worker has collected."""
    config.workerinput[_CHANNEL].send(collected._asdict())  # type: ignore[attr-defined]  # xdist adds it


def status_folder(config: pytest.Config) -> Path:
    """Return the folder for the status of workers. It exists only while the live view is shown."""
    if _STATUS_FOLDER not in config.stash:
        config.stash[_STATUS_FOLDER] = Path(tempfile.gettempdir()) / f"proctor-live-{os.urandom(8).hex()}"
    return config.stash[_STATUS_FOLDER]
