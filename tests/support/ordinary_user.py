"""Runs a part of a test as an ordinary user. Root can read everything, so some faults show only without its rights."""

from __future__ import annotations

import ctypes
import os
import pickle
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from harness.untrusted.removal import remove
from harness.untrusted.tree import give
from tests.support.become_ordinary import NOBODY

_PR_SET_DUMPABLE = 4

T = TypeVar("T")


@contextmanager
def folder_of_an_ordinary_user(place: str | None = None) -> Iterator[Path]:
    """Make a folder that `as_ordinary_user` can write to, and remove it afterwards. Each parent can be entered.

    It is made in `place`, by default in the folder for temporary files.
    """
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        remove(folder)


def given_to_them(folder: Path) -> None:
    """Give a folder with all that is in it to the ordinary user."""
    if os.geteuid() == 0:
        give(folder, NOBODY)


def command_of_an_ordinary_user(command: Sequence[str], *, further_ids: bool = True) -> list[str]:
    """Return the command that runs this one as an ordinary user. This user's own Python can run in it.

    With `further_ids`, the user may map further uids, as podman needs. Files are mounted in /etc for that.
    """
    if os.geteuid() != 0:
        return list(command)
    return [sys.executable, "-m", "tests.support.become_ordinary", *(["--ids"] if further_ids else []), *command]


def as_ordinary_user(action: Callable[[], T]) -> T:
    """Call `action` in a process of an ordinary user, and return what it returned.

    Raise `AssertionError` with its traceback if it raised.
    """
    near, far = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child uses none of theirs
        child = os.fork()
    if child == 0:
        _answer(action, far)
    os.close(far)
    with os.fdopen(near, "rb") as answer:
        told = answer.read()
    os.waitpid(child, 0)
    done, result = pickle.loads(told)  # noqa: S301 - our own child wrote it
    assert done, result
    return result  # type: ignore[no-any-return]  # what the action returned, through a pickle


def _answer(action: Callable[[], Any], pipe: int) -> None:
    """Drop the rights of root, call `action`, write what came of it, and exit."""
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)  # otherwise /proc/self would still belong to root
        told: tuple[bool, Any] = True, action()
    except BaseException:
        told = False, traceback.format_exc()
    with os.fdopen(pipe, "wb") as answer:
        answer.write(pickle.dumps(told))
    os._exit(0)
