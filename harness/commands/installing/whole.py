"""Installs something into a folder, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def install_whole(
    root: Path, fill: Callable[[Path], None], *, complete: Callable[[Path], bool], tell: Callable[[str], None]
) -> None:
    """Make the folder `root` with `fill`, unless it is `complete`. Raise what `fill` raises, or `OSError`.

    `fill` makes a folder beside `root`, which gets the name `root` when it is filled. So `root` is complete or it does
    not exist. A second set-up waits for the first. Files that an interrupted set-up left behind are removed.
    """
    if complete(root):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with alone(root, tell):
        if complete(root):
            return
        for left in (root, *root.parent.glob(f"{root.name}.partial-*")):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(
            prefix=f"{root.name}.partial-", dir=root.parent, ignore_cleanup_errors=True
        ) as scratch:
            partial = Path(scratch, "whole")
            fill(partial)
            partial.rename(root)


@contextmanager
def alone(root: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep other set-ups of the folder `root` out. The lock ends with this process, even if the process is killed."""
    lock = FileLock(root.with_name(f"{root.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"Waiting for another set-up, which is installing in {root}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
