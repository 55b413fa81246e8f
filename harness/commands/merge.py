"""`proctor merge`: joins the results of several runs."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.errors import BadInput
from harness.commands.report import tell_missing
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.lazy import LazyModule
from harness.report.table import table
from harness.results.history import refresh
from harness.results.history_index import INDEX, HistoryError
from harness.results.merge import merge, merged_name
from harness.results.references import find_runs
from harness.results.run_folder import RESULTS
from harness.results.runs import RunError
from harness.results.store import every_line
from harness.secrecy.known import host_secrets

if TYPE_CHECKING:
    from harness.suite import config as configuration
else:  # it loads Hydra
    configuration = LazyModule("harness.suite.config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor merge`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run's folder or name, its results.jsonl, last, last:N or tag:NAME"
    )
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="default: TIME-SUITE-merged in the folder of runs")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def project_secrets(root: Path) -> dict[str, str]:
    """Return the secrets of this host: the keys of all providers of the project in `root`, and the private seed.

    Raise `BadInput` if the providers are not known.
    """
    try:
        providers = configuration.load_providers(ConfPath.of(root))
    except ConfError as error:
        raise BadInput(f"the keys to search for are not known: {error}") from error
    return host_secrets(providers.values())


def run(given: argparse.Namespace) -> int:
    """Join runs in a new folder and print the table. Raise `BadInput`."""
    try:
        runs = [run for reference in given.runs for run in find_runs(reference, given.runs_dir)]
        folder = given.into or given.runs_dir / merged_name(runs)
        merged = merge(runs, folder, project_secrets(Path.cwd()))
    except RunError as error:
        raise BadInput(str(error)) from error
    for warning in merged.withheld:
        print(warning, file=sys.stderr)
    print("\n".join([*table(every_line(folder / RESULTS)), f"records: {folder / RESULTS}"]))
    tell_missing(merged.missing, merged.sessions)
    if merged.removed:
        print(f"\n{len(merged.removed)} of {merged.records} records are without a folder: {', '.join(merged.removed)}")
    if given.into is None or (folder.parent / INDEX).exists():  # no index where nobody keeps runs
        with suppress(HistoryError):  # `proctor history` makes up for it
            refresh(folder.parent)
    return 0
