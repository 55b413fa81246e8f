"""What the main process of a session and its xdist workers tell each other.

A worker is told where the run's files and its own status go. It tells what it collected, before xdist does: only the
workers collect, and a session that collected no case is none of our business.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.stash import RUN_FOLDER, STATUS_FILE, run_folder

_CHANNEL = "proctor_channel"
_STATUS_FOLDER = pytest.StashKey[Path]()


class Collected(NamedTuple):
    """What a worker tells once it has collected, if cases were asked for.

    `folders` are the names of the folders of the cases that are to run, `None` if no test asks for a case. `mistake` is
    one in the configuration, and `nothing` is why no case is left.
    """

    folders: list[str] | None
    mistake: str | None
    nothing: str | None


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is xdist's, and not the one that the user started."""
    return hasattr(config, "workerinput")


def greet(node: Any) -> None:
    """In the main process: tell a worker that is about to start what it must know."""
    channel = node.gateway.newchannel()
    node.proctor_heard = deque[dict[str, Any]]()
    channel.setcallback(node.proctor_heard.append)
    node.workerinput[_CHANNEL] = channel
    node.workerinput[RUN_FOLDER] = str(run_folder(node.config))
    node.workerinput[STATUS_FILE] = str(status_folder(node.config) / f"{node.gateway.id}.json")


def heard(node: Any) -> Collected | None:
    """In the main process: return what a worker has collected, or `None` if it has nothing to do with cases."""
    return Collected(**node.proctor_heard.popleft()) if node.proctor_heard else None


def tell(config: pytest.Config, collected: Collected) -> None:
    """In a worker: tell the main process, before this worker's collection is reported."""
    config.workerinput[_CHANNEL].send(collected._asdict())  # type: ignore[attr-defined]  # xdist adds it


def status_folder(config: pytest.Config) -> Path:
    """In the main process: return where workers tell what they do. The folder need not exist: nobody looks then."""
    if _STATUS_FOLDER not in config.stash:
        config.stash[_STATUS_FOLDER] = Path(tempfile.gettempdir()) / f"proctor-live-{os.urandom(8).hex()}"
    return config.stash[_STATUS_FOLDER]
