"""Reads runs into tables. `import proctor` offers what is here for the user's own programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.exports.columns import FlatTable, episode_table, record_table
from harness.exports.frames import FrameKind, frame_of
from harness.results.references import find_runs
from harness.results.runs import RunError, read_run

__all__ = ["RunError", "episodes", "read_table", "results"]

_RUNS = "runs"
"""The folder of runs, if the caller names no other."""


def results(
    run: str | os.PathLike[str] = "last",
    *,
    frame: FrameKind | None = None,
    runs_dir: str | os.PathLike[str] = _RUNS,
) -> Any:
    """Return the records of a run as a data frame, with a row for each.

    `run` is the folder of a run, its name, its `results.jsonl`, `last` (the newest run), `last:N` (the N newest,
    together) or `tag:NAME`. `frame` says whether the frame is of pandas or of polars; without it, pandas is taken if it
    is installed. `runs_dir` is the folder in which names, `last` and `tag:` are looked up. docs/exports.md lists the
    columns. What is not known is missing in the frame, and never 0.

    Raise `RunError` if there is no such run or it cannot be read, and `ImportError` if the package is not installed.
    """
    return frame_of(read_table(run, runs_dir), frame)


def episodes(
    run: str | os.PathLike[str] = "last",
    *,
    frame: FrameKind | None = None,
    runs_dir: str | os.PathLike[str] = _RUNS,
) -> Any:
    """Return the held-out episodes of a run as a data frame, with a row for each.

    Arguments and errors are those of `results`. Cases without a grade have no episodes, and neither have those whose
    folder was removed.
    """
    return frame_of(read_table(run, runs_dir, of_episodes=True), frame)


def named_runs(run: str | os.PathLike[str], runs_dir: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of the runs that this names, or the `results.jsonl`. Raise `RunError` if there are none."""
    file = Path(run)  # a copy of a results.jsonl may have another name
    return [file] if file.is_file() else find_runs(os.fspath(run), Path(runs_dir))


def read_table(
    run: str | os.PathLike[str], runs_dir: str | os.PathLike[str], *, of_episodes: bool = False
) -> FlatTable:
    """Return the records or the episodes of a run as a table. Raise `RunError`."""
    found = [read_run(one) for one in named_runs(run, runs_dir)]
    try:
        return episode_table(found) if of_episodes else record_table(found)
    except ValueError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{error.filename}: {error.strerror}") from error
