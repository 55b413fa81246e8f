"""Folders of container engines that end with this process: what an engine keeps of its own, and what each box needs."""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from harness.temporary import abandoned, temporary_folder


def state_folder(kind: str) -> Path:
    """Return the folder of this process for a kind. Others may enter it, and cannot list it."""
    return _made(kind, os.getpid())


def boxes_folder(kind: str) -> Path:
    """Return a new folder for one box."""
    folder = Path(tempfile.mkdtemp(dir=state_folder(kind), prefix="box-"))
    folder.chmod(0o711)
    return folder


def abandoned_folders(kind: str) -> list[Path]:
    """Return the folders of this kind and user whose processes were killed. The next such process removes them."""
    return list(abandoned(kind))


@cache
def _made(kind: str, _pid: int) -> Path:
    stack = ExitStack()
    folder = stack.enter_context(temporary_folder(kind))
    folder.chmod(0o711)
    atexit.register(stack.close)
    return folder
