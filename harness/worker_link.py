"""Messages between the main process of a session and its xdist workers.

The main process tells a worker where its files go. Only workers collect tests. A worker that has collected cases sends
their folders to the main process before xdist reports the worker's collection. When the main process is told to stop,
it tells its workers. A worker whose main process is gone stops at once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.options import command_line, give_options, options_of_run
from harness.stash import (
    DIST,
    RESUMED,
    RUN_FOLDER,
    STATUS_FILE,
    SUBMISSION_FOLDER,
    TO_RUN,
    run_folder,
    submission_folder,
)

_CHANNEL = "proctor_channel"
_STATUS_FOLDER = pytest.StashKey[Path]()
_CHANNELS = pytest.StashKey[list[Any]]()


class StopMessage(NamedTuple):
    """The message that ends a worker's session. If it is `at_once`, the agent gets no time to end by itself."""

    why: str
    at_once: bool


GONE = StopMessage("the main process of the session has ended", at_once=True)
"""What a worker hears when the main process has ended or hangs up."""


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
    node.config.stash.setdefault(_CHANNELS, []).append(channel)
    node.workerinput[_CHANNEL] = channel
    node.workerinput[DIST] = node.config.getoption("dist")
    node.workerinput[RUN_FOLDER] = str(run_folder(node.config))
    if command_line(node.config).submission is not None:
        node.workerinput[SUBMISSION_FOLDER] = str(submission_folder(node.config))
    if TO_RUN in node.config.stash:
        node.workerinput[RESUMED] = (node.config.stash[TO_RUN], options_of_run(node.config))
    node.workerinput[STATUS_FILE] = str(status_folder(node.config) / f"{node.gateway.id}.json")


def resume_in_worker(config: pytest.Config) -> None:
    """Give this worker the tests that a resumed run still has to run, and the run's options. Called in a worker."""
    config.stash[TO_RUN], options = config.workerinput[RESUMED]  # type: ignore[attr-defined]  # xdist adds it
    give_options(config, options)


def heard(node: Any) -> Collected | None:
    """Return what a worker has sent, or `None`. Called in the main process."""
    return Collected(**node.proctor_heard.popleft()) if node.proctor_heard else None


def tell(config: pytest.Config, collected: Collected) -> None:
    """Send to the main process what this worker has collected."""
    config.workerinput[_CHANNEL].send(collected._asdict())  # type: ignore[attr-defined]  # xdist adds it


def heed(config: pytest.Config, heard: Callable[[StopMessage], None]) -> None:
    """Call `heard` on another thread when the main process tells this worker to stop, and with `GONE` at the end.

    Called in a worker.
    """

    def call(message: tuple[str, bool]) -> None:
        heard(StopMessage(*message))

    config.workerinput[_CHANNEL].setcallback(call, endmarker=GONE)  # type: ignore[attr-defined]  # xdist adds it


def hang_up(config: pytest.Config) -> None:
    """Tell the main process that this worker's session is over. Called in a worker."""
    with suppress(OSError):  # the main process is gone
        config.workerinput[_CHANNEL].close()  # type: ignore[attr-defined]  # xdist adds it


def tell_workers(config: pytest.Config, stop: StopMessage) -> None:
    """Tell each worker that still listens to stop. Called in the main process."""
    for channel in config.stash.get(_CHANNELS, []):
        with suppress(OSError):  # this worker is gone
            channel.send(tuple(stop))


def wait_for_workers(config: pytest.Config, seconds: float) -> None:
    """Wait until the sessions of all workers are over, but not longer than this. Called in the main process."""
    deadline = time.monotonic() + seconds
    for channel in config.stash.get(_CHANNELS, []):
        with suppress(OSError, EOFError):  # it takes too long, or is gone
            channel.waitclose(max(0.0, deadline - time.monotonic()))


def status_folder(config: pytest.Config) -> Path:
    """Return the folder for the status of workers. It exists only while the live view is shown."""
    if _STATUS_FOLDER not in config.stash:
        config.stash[_STATUS_FOLDER] = Path(tempfile.gettempdir()) / f"proctor-live-{os.urandom(8).hex()}"
    return config.stash[_STATUS_FOLDER]
