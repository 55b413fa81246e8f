"""Writes the page of runs into one HTML file."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.packaged import harness_version
from harness.page.details import PICTURES, Pictures, details
from harness.page.library_files import read_libraries
from harness.page.overview import Overview, ShownRun, about, cells, shown_verdict, trends
from harness.page.packing import Block, Blocks, packed
from harness.page.rows import CaseRow, case_row, columns
from harness.results.store import unrecorded
from harness.verdict.rules import Rules
from harness.visible import visible

_ASSETS = Path(__file__).resolve().parent / "assets"
_SCRIPTS = (
    *("dom", "format", "address", "data", "charts", "overview"),
    *("transcript", "case", "compare", "app"),
)


def write_page(file: Path, runs: Sequence[ShownRun], tell: Callable[[int, int], None]) -> int:
    """Write the page of these runs, and return its size in bytes. The last run is the newest.

    The file is complete or it does not change. `tell` is called with the number of cases that are done, and of all.
    Raise `LibrariesMissing` or `OSError`.
    """
    scripts = scripts_of_page("embedded")
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name a file in it", str(file))
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with new.open("w", encoding="utf-8") as out:
            out.writelines(page_pieces(scripts, policy_of(scripts), _blocks(runs, tell)))
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return file.stat().st_size


def page_pieces(scripts: Sequence[str], policy: str, blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the text of a page with these scripts, this content security policy and these blocks of data."""
    environment = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
    yield from environment.get_template("page.html.j2").generate(
        title="Proctor",
        policy=Markup(policy),  # noqa: S704 - our own words and digests
        style=Markup((_ASSETS / "style.css").read_text()),  # noqa: S704 - our own file
        blocks=blocks,
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own, and those of the lock
    )


def scripts_of_page(*last: str) -> list[str]:
    """Return the scripts of a page: the libraries, and our own. `last` names the assets that start the page.

    Our own is one function, so that its names are its own. Raise `LibrariesMissing`.
    """
    files = "\n".join((_ASSETS / f"{name}.js").read_text() for name in (*_SCRIPTS, *last))
    return [*read_libraries(), f'(() => {{\n"use strict";\n{files}}})();']


def policy_of(scripts: Sequence[str]) -> str:
    """Return the content security policy: these scripts and pictures in the page itself, and nothing from elsewhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _blocks(runs: Sequence[ShownRun], tell: Callable[[int, int], None]) -> Iterator[Block]:
    """Yield the details of all cases, and then the overview, which knows where they are."""
    rows: list[CaseRow] = []
    blocks, pictures = Blocks(), Pictures(PICTURES)
    whole = sum(len(run.records) for run in runs)
    for number, run in enumerate(runs):
        for record in run.records:
            rows.append(case_row(record, number, blocks.key))
            yield from blocks.add(details(record, run.folder, pictures))
            tell(len(rows), whole)
    yield from blocks.finish()
    yield Block("overview", packed(_overview(runs, rows)))


def _overview(runs: Sequence[ShownRun], rows: Sequence[CaseRow]) -> Overview:
    newest = runs[-1]
    backends = sorted({record.case.backend for record in newest.records})
    return Overview(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=harness_version(),
        runs=[about(run) for run in runs],
        verdict=shown_verdict(newest.verdict),
        cells=cells((trial for run in runs for trial in run.trials), Rules()),
        trends=trends(newest.folder, backends),
        rows=columns(rows),
        unrecorded=[visible(name) for run in runs for name in unrecorded(run.folder, run.records)],
    )
