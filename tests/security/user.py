"""An ordinary user who can run this interpreter, also where only root may enter its folder."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.sandbox.kernel import CLONE_NEWNS, LIBC, call, move_mount, picked
from harness.sandbox.paths import host_python
from tests.support.ordinary_user import as_ordinary_user

_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18

T = TypeVar("T")


def as_user_with_python(action: Callable[[], T]) -> T:
    """Call `action` as `as_ordinary_user` does, in a view of the host in which everyone can enter Python's folders."""
    if os.geteuid() != 0:
        return action()
    near, far = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(near)
            _open_folders(host_python().readable)
            told = pickle.dumps((True, as_ordinary_user(action)))
        except BaseException as error:
            told = pickle.dumps((False, str(error)))
        with os.fdopen(far, "wb") as answer:
            answer.write(told)
        os._exit(0)
    os.close(far)
    with os.fdopen(near, "rb") as answer:
        done, result = pickle.loads(answer.read())  # noqa: S301 - our own child wrote it
    os.waitpid(child, 0)
    assert done, result
    return result  # type: ignore[no-any-return]  # what the action returned, through a pickle


def _open_folders(paths: tuple[Path, ...]) -> None:
    """For this process and its children, put a folder that all may enter where only root may, with `paths` in it."""
    closed = {blocked for path in paths if (blocked := _blocked(path)) is not None}
    call(LIBC.unshare, CLONE_NEWNS)
    call(LIBC.mount, None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    for folder in closed:
        below = [path for path in dict.fromkeys(paths) if path.is_relative_to(folder) and path.is_dir()]
        trees = {path: picked(str(path)) for path in below}
        call(LIBC.mount, b"t", os.fsencode(folder), b"tmpfs", 0, b"mode=755")
        for path, tree in trees.items():
            path.mkdir(parents=True, exist_ok=True)
            move_mount(tree, str(path))
            os.close(tree)


def _blocked(path: Path) -> Path | None:
    """Return the topmost folder above a path that others cannot enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 1), None)
