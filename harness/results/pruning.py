"""Finds the runs, or the folders of cases in them, that may be removed, and removes them."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.endings import Ending
from harness.malformed import MALFORMED
from harness.results.claims import busy, claim, release
from harness.results.references import tags_of
from harness.results.run_folder import CASES, LATEST, RESULTS, is_run, suite_of, time_of
from harness.untrusted.removal import DISCARDED, remove
from harness.untrusted.rooms import ROOM, place_of
from harness.untrusted.tree import walk

_BLOCK = 512
"""The bytes of a block, in which the system counts the space that a file takes."""


class PruneRules(Struct, frozen=True, kw_only=True):
    """What may be removed. A run must match each rule that is not `None`.

    `older_than` is the time since the run began. `larger_than` is the size of the run in bytes. `keep` says how many of
    the newest runs with records stay. If `outcome` is given, the runs stay, and only the folders of their cases with
    this outcome may be removed.
    """

    older_than: timedelta | None = None
    larger_than: int | None = None
    keep: int | None = None
    outcome: str | None = None


class Prunable(Struct, frozen=True, kw_only=True):
    """Folders that may be removed together.

    `run` is the folder of their run, or the leftover of an interrupted removal. `folders` are `run` itself and its
    rooms, or folders in it. `size` is the space that they take on the disk, in bytes. `began` is when the run began; it
    is `None` for a leftover. `what` says what they are.
    """

    run: Path
    folders: Sequence[Path]
    size: int
    began: datetime | None
    what: str


class Pruning(Struct, frozen=True):
    """What may be removed, and why some runs stay although they match the rules. Both are oldest first.

    `kept` maps the name of a run to the reason.
    """

    prunable: list[Prunable]
    kept: dict[str, str]


class PruneError(Exception):
    """Something was not removed. The message says what, and why."""


class _KnownRun(Struct, frozen=True):
    folder: Path
    began: datetime


class _CaseOutcome(Struct):
    """The part of a record that is needed here. Other versions may differ in the rest."""

    outcome: str
    ending: str
    artifacts: str | None = None


def plan(runs: Path, rules: PruneRules, now: datetime) -> Pruning:
    """Return what may be removed from a folder of runs. Remove nothing.

    The newest run, runs with a tag, and runs that a process is writing are never part of it. What an interrupted
    removal left always is. Raise `OSError` if the folder cannot be read.
    """
    known = sorted(_known_runs(runs), key=lambda run: (run.began, run.folder.name))
    with_records = [run for run in known if _has_records(run.folder)]
    stay = with_records[-rules.keep :] if rules.keep else []
    found, kept = list(_leftovers(runs, known)), {}
    for run in known:
        if run in stay or (rules.older_than is not None and now - run.began <= rules.older_than):
            continue
        prunable = _prunable(run, rules)
        reason = prunable and (_protection(run.folder, runs) or ("the newest" if run == known[-1] else None))
        if reason:
            kept[run.folder.name] = reason
        elif prunable:
            found.append(prunable)
    return Pruning(found, kept)


def prune(prunable: Prunable, runs: Path) -> None:
    """Remove what `plan` found. An interruption leaves no folder half removed under its own name.

    Raise `PruneError` if the run is in use by now, or if something cannot be removed.
    """
    if prunable.began is None:
        _remove(prunable.folders)
        return
    run = prunable.run
    if reason := _protection(run, runs):
        raise PruneError(f"{run.name} stays: it is now {reason}")
    try:
        claimed = claim(run)
    except OSError as error:
        raise PruneError(f"{run.name} stays: {error}") from error
    aside, fault = [], None
    try:
        for folder in prunable.folders:
            with suppress(FileNotFoundError):  # another process has removed it
                aside.append(folder.rename(folder.with_name(f"{DISCARDED}{secrets.token_hex(8)}")))
    except OSError as error:
        fault = f"{error.filename} cannot be renamed: {error.strerror}"
    finally:
        release(run, claimed)
    _remove(aside)
    if fault:
        raise PruneError(fault)


def _remove(folders: Sequence[Path]) -> None:
    """Remove folders, and never follow a link. Raise `PruneError` if one is still there."""
    left = [folder for folder in folders if not remove(folder)]
    if left:
        raise PruneError(f"{', '.join(map(str, left))} cannot be removed: remove it yourself, by rm -rf")


def _known_runs(runs: Path) -> Iterator[_KnownRun]:
    for folder in runs.iterdir():
        if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            continue
        if is_run(folder) or (suite_of(folder.name) and (folder / RESULTS).is_file()):
            with suppress(FileNotFoundError):  # another process has just removed it
                yield _KnownRun(folder.resolve(), time_of(folder.name) or _changed(folder))


def _changed(run: Path) -> datetime:
    """Return when the records of a run changed last. A run with a name of its own does not tell when it began."""
    file = run / RESULTS if (run / RESULTS).exists() else run / CASES
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _has_records(run: Path) -> bool:
    with suppress(OSError):
        return (run / RESULTS).stat().st_size > 0
    return False


def _protection(run: Path, runs: Path) -> str | None:
    """Return why a run must stay whatever the rules say, or `None` if it need not."""
    if (runs / LATEST).resolve() == run:
        return "the newest"
    if tags := tags_of(runs).get(run.name):
        return f"tagged {', '.join(tags)}"
    return busy(run)


def _leftovers(runs: Path, known: Sequence[_KnownRun]) -> Iterator[Prunable]:
    """Yield what interrupted removals left, also in the folders of runs."""
    for place in (runs, *(run.folder for run in known if not busy(run.folder))):
        for folder in sorted(place.glob(f"{DISCARDED}*")):
            yield Prunable(
                run=folder, folders=[folder], size=_size([folder]), began=None, what="left by an interrupted removal"
            )


def _prunable(run: _KnownRun, rules: PruneRules) -> Prunable | None:
    """Return what the rules would remove of a run, or `None` if that is nothing."""
    folders, what = [*_rooms(run.folder), run.folder], "the run"
    if rules.outcome is not None:
        folders = _case_folders(run.folder, rules.outcome)
        what = f"folders of {rules.outcome} cases: {len(folders)}"
    if not folders or (rules.larger_than is not None and _size([*_rooms(run.folder), run.folder]) <= rules.larger_than):
        return None
    return Prunable(run=run.folder, folders=folders, size=_size(folders), began=run.began, what=what)


def _rooms(run: Path) -> list[Path]:
    """Return the rooms beside a run that its killed processes left."""
    return [place_of(link) for link in sorted(run.glob(f"{ROOM}*")) if link.is_symlink() and place_of(link).is_dir()]


def _case_folders(run: Path, outcome: str) -> list[Path]:
    """Return the folders of the cases with this outcome.

    Not part of it are the folders that `--resume` needs to know what a case has used: those of cases that have no
    record or were interrupted, and those of earlier sessions.
    """
    cases: dict[str, str] = {}
    with suppress(FileNotFoundError):
        for line in (run / RESULTS).read_bytes().split(b"\n"):
            with suppress(*MALFORMED):  # what cannot be read stays
                case = msgspec.json.decode(line, type=_CaseOutcome)
                if case.artifacts is not None:
                    cases[case.artifacts] = "" if case.ending == Ending.INTERRUPTED else case.outcome
    folders = (run / name for name, found in sorted(cases.items()) if found == outcome and _is_name(name))
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]


def _is_name(name: str) -> bool:
    """Return whether this is the plain name of a folder, which cannot lead out of the run."""
    return bool(name) and Path(name).name == name and not name.startswith(".")


def _size(folders: Sequence[Path]) -> int:
    """Return the space that folders take on the disk, in bytes. A file with several names in them counts once."""
    blocks, seen = 0, set()
    for folder in folders:
        with suppress(OSError):  # it was removed just now
            for _name, found in walk(folder):
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                blocks += found.st_blocks
    return blocks * _BLOCK
