"""What the pytest session of a part is told, through a variable of its environment. Light: it may be read early."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.launch.files import Orders, read_orders

VARIABLE = "PROCTOR_PART"
"""The variable that names the file with the orders. Only the jobs of `proctor launch` set it."""


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
        return read_orders(file)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"{VARIABLE} names orders that cannot be read: {error}") from error


def history() -> Path | None:
    """Return the folder of runs that tell how long cases take, or `None` if it is that of this run."""
    given = orders()
    return None if given is None else Path(given.history)
