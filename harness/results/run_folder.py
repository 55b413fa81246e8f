"""How the folder of a run is named and known. Light: every pytest session where Proctor is installed imports this."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

CASES = "cases.json"
"""The file with the names of the cases that are to run."""

RESULTS = "results.jsonl"
"""The file with the records."""

VERDICT = "verdict.json"
"""The file with the comparison of the run with its baseline, if it had one."""

LATEST = "latest"
"""The link to the newest run, beside it."""

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3})Z-(.+)")


def run_name(suite: str, now: datetime | None = None) -> str:
    """Return the name of a run that starts now. Names sort by time and contain the suite."""
    return f"{now or datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:-3] + f"Z-{suite}"


def suite_of(name: str) -> str | None:
    """Return the suite in the name of a run. Return `None` if the folder was named in another way."""
    found = _NAME.fullmatch(name)
    return found[2] if found else None


def time_of(name: str) -> datetime | None:
    """Return the time in the name of a run, in UTC. Return `None` if the folder was named in another way."""
    found = _NAME.fullmatch(name)
    try:
        return datetime.strptime(f"{found[1]}+0000", "%Y%m%dT%H%M%S.%f%z") if found else None
    except ValueError:  # there is no such day
        return None


def is_run(path: Path) -> bool:
    """Return whether this is the folder of a run, or a link to it. Another project may well have a `cases.json`.

    A folder that this user may not read counts as none.
    """
    try:
        if path.suffix == ".py" or not (path / CASES).is_file():
            return False
        return (path / RESULTS).is_file() or (path.parent / LATEST).is_symlink()
    except PermissionError:
        return False
