"""Writes the page of runs into one HTML file."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.packaged import harness_version
from harness.page.details import Pictures, details
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
    *("transcript", "case", "compare", "app", "embedded"),
)
_PICTURES = 20_000_000
"""How many bytes of pictures one page has."""


def write_page(file: Path, runs: Sequence[ShownRun], tell: Callable[[int, int], None]) -> int:
    """Write the page of these runs, and return its size in bytes. The last run is the newest.

    The file is complete or it does not change. `tell` is called with the number of cases that are done, and of all.
    Raise `LibrariesMissing` or `OSError`.
    """
    scripts = [*read_libraries(), _app()]
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name a file in it", str(file))
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with new.open("w", encoding="utf-8") as out:
            out.writelines(_pieces(runs, scripts, tell))
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return file.stat().st_size


def _pieces(runs: Sequence[ShownRun], scripts: Sequence[str], tell: Callable[[int, int], None]) -> Iterator[str]:
    """Yield the text of the page. The details of the cases come before the overview, which knows where they are."""
    rows: list[CaseRow] = []
    environment = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
    yield from environment.get_template("page.html.j2").generate(
        title="Proctor",
        policy=Markup(_policy(scripts)),  # noqa: S704 - digests
        style=Markup((_ASSETS / "style.css").read_text()),  # noqa: S704 - our own file
        blocks=_blocks(runs, rows, tell),
        overview=lambda: packed(_overview(runs, rows)),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own, and those of the lock
    )


def _blocks(runs: Sequence[ShownRun], rows: list[CaseRow], tell: Callable[[int, int], None]) -> Iterator[Block]:
    """Yield the details of all cases, and add a row for each to `rows`."""
    blocks, pictures = Blocks(), Pictures(_PICTURES)
    whole = sum(len(run.records) for run in runs)
    for number, run in enumerate(runs):
        for record in run.records:
            rows.append(case_row(record, number, blocks.key))
            yield from blocks.add(details(record, run.folder, pictures))
            tell(len(rows), whole)
    yield from blocks.finish()


def _overview(runs: Sequence[ShownRun], rows: Sequence[CaseRow]) -> Overview:
    newest = runs[-1]
    backends = sorted({record.case.backend for record in newest.records})
    return Overview(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=harness_version(),
        runs=[about(run) for run in runs],
        verdict=shown_verdict(newest.verdict),
        cells=cells(runs, Rules()),
        trends=trends(newest.folder, backends),
        rows=columns(rows),
        unrecorded=[visible(name) for run in runs for name in unrecorded(run.folder, run.records)],
    )


def _app() -> str:
    """Return our own script. It is one function, so that its names are its own."""
    files = "\n".join((_ASSETS / f"{name}.js").read_text() for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{files}}})();'


def _policy(scripts: Sequence[str]) -> str:
    """Return the content security policy: these scripts and pictures in the page itself, and nothing from elsewhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
