"""How the user names a run: its folder, its name, its records, `last`, `last:N` or `tag:NAME`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from harness.results.run_folder import LATEST, RESULTS, suite_of
from harness.results.runs import RunError, read_run

TAGS = "tags"
"""The folder of tags in the folder of runs. A tag is a link to the folder of a run."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def find_runs(reference: str, runs: Path, *, besides: Collection[Path] = ()) -> list[Path]:
    """Return the folders of the runs that `reference` names, without links, oldest first.

    `runs` is the folder of runs. A reference is one of these:

    - the folder of a run, or its `results.jsonl`
    - the name of the folder, if it is in `runs`; `latest` is a link to the newest run
    - `last`: the newest run. If `besides` is given, it is `last:1`.
    - `last:N`: the N newest runs with records, or fewer if there are fewer
    - `tag:NAME`: the run with this tag

    `besides` are runs that `last:N` must leave out. It then takes only runs of their suites, so that a quick run of
    another suite in between does not count.

    Raise `RunError` if there is no such run.
    """
    if reference == "last" and not besides:
        if not (runs / LATEST).is_dir():
            raise RunError(f"{reference}: there is no {runs / LATEST}: run some cases first, or name another folder")
        return [(runs / LATEST).resolve()]
    if reference == "last":
        return _newest(reference, 1, runs, besides)
    if reference.startswith("last:"):
        count = reference.removeprefix("last:")
        if not (count.isascii() and count.isdigit() and int(count)):
            raise RunError(f"{reference}: write last:N with the number of runs, such as last:7")
        return _newest(reference, int(count), runs, besides)
    if reference.startswith("tag:"):
        return [_tagged(reference.removeprefix("tag:"), runs)]
    path = next((path for path in (Path(reference), runs / reference) if reference and path.exists()), None)
    if path is None:
        raise RunError(
            f"{reference or repr('')}: no such run: name a run's folder, its {RESULTS}, last, last:N or tag:NAME"
        )
    return [(path if path.is_dir() else path.parent).resolve()]


def find_run(reference: str, runs: Path) -> Path:
    """Return the folder of the one run that `reference` names. Raise `RunError` if there is none, or more than one."""
    found = find_runs(reference, runs)
    if len(found) > 1:
        raise RunError(f"{reference}: name one run, and these are {len(found)}")
    return found[0]


def tag_run(run: Path, name: str, runs: Path) -> Path:
    """Give a run a tag, which moves if another run has it. Return the link.

    Raise `RunError` if this is not a run or the name cannot be used, and `OSError` if the link cannot be written.
    """
    _check(name)
    folder, _records = read_run(run)
    link = runs / TAGS / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and not link.is_symlink():
        raise RunError(f"{link} is not a tag: remove it, or choose another name")
    new = link.with_name(f".{name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(os.path.relpath(folder, link.parent.resolve()))
    new.replace(link)
    return link


def tags(runs: Path) -> list[str]:
    """Return the names of all tags, sorted."""
    return sorted(path.name for path in (runs / TAGS).glob("*") if _TAG.fullmatch(path.name))


def tags_of(runs: Path) -> dict[str, list[str]]:
    """Return the tags of each run that has some, by the name of its folder."""
    found: dict[str, list[str]] = {}
    for name in tags(runs):
        found.setdefault((runs / TAGS / name).resolve().name, []).append(name)
    return found


def _newest(reference: str, count: int, runs: Path, besides: Collection[Path]) -> list[Path]:
    """Return the newest runs. Their names begin with the time, so they sort by it."""
    suites = {suite for path in besides if (suite := suite_of(path.name))}
    found = [
        path.resolve()
        for path in sorted(runs.glob("*"))
        if (suite := suite_of(path.name)) and (not suites or suite in suites) and _has_records(path)
    ]
    others = [path for path in found if path not in besides]
    if not others:
        which = "other run" if besides else "run"
        of_suite = f" of the suite {' or '.join(sorted(suites))}" if suites else ""
        raise RunError(f"{reference}: {runs} has no {which}{of_suite} with records: name the folder of a run")
    return others[-count:]


def _has_records(run: Path) -> bool:
    results = run / RESULTS
    return results.is_file() and results.stat().st_size > 0


def _tagged(name: str, runs: Path) -> Path:
    _check(name)
    link = runs / TAGS / name
    if link.is_dir():
        return link.resolve()
    if link.is_symlink():
        raise RunError(f"tag:{name}: its run {link.readlink().name} was removed: tag another one")
    known = ", ".join(tags(runs))
    there = f"the tags are {known}" if known else "there are no tags"
    raise RunError(f"tag:{name}: no such tag in {runs}: {there}; `proctor tag RUN {name}` makes one")


def _check(name: str) -> None:
    if not _TAG.fullmatch(name):
        raise RunError(f"{name!r} cannot be a tag: use letters, digits, `_`, `-` and `.`, and begin without - and .")
