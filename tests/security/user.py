"""An ordinary user who can run this interpreter, also where only root may enter its folder."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.sandbox.image import images_folder
from harness.sandbox.paths import interpreter_paths
from tests.support.become_ordinary import give_further_ids, uncover
from tests.support.ordinary_user import as_ordinary_user

ROOT = Path(__file__).parents[2]

T = TypeVar("T")


def as_user_with_python(action: Callable[[], T]) -> T:
    """Call `action` as `as_ordinary_user` does, in a view of the host in which everyone can enter Python's folders."""
    if os.geteuid() != 0:
        return action()
    near, far = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(near)
            uncover([*interpreter_paths(), ROOT, images_folder()])
            give_further_ids()
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
