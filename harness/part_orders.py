"""What the pytest session of a part is told by its job (`harness.launch`), through a variable of its environment."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from harness.malformed import MALFORMED

VARIABLE = "PROCTOR_PART"
"""The variable that names the file with the orders. Only the jobs of `proctor launch` set it."""


class Orders(Struct, frozen=True, kw_only=True):
    """What the pytest session of a part must know.

    `cases` are the ids of the cases that it runs. `launch` is the folder of the launched run, and `history` the folder
    of runs that tell how long cases take. After `ends_at`, in seconds since 1970, no session may run; `None` means that
    there is no limit. The budgets that cases share are kept in `budgets`, and this part may use one of `shares` equal
    shares of them.
    """

    cases: list[str]
    launch: str
    history: str
    ends_at: float | None = None
    budgets: str
    shares: int = 1


def orders_file() -> Path | None:
    """Return the file with the orders of this session, or `None` if it is not a part of a launched run."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def orders() -> Orders | None:
    """Return the orders of this session, or `None` if it is not a part of a launched run.

    Raise `pytest.UsageError` if they cannot be read.
    """
    file = orders_file()
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Orders)
    except (OSError, *MALFORMED) as error:
        raise pytest.UsageError(f"{VARIABLE} names orders that cannot be read: {file}: {error}") from error


def history() -> Path | None:
    """Return the folder of runs that tell how long cases take, or `None` if it is that of this run."""
    given = orders()
    return None if given is None else Path(given.history)
