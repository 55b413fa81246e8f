"""Records the corpus: `python -m tests.corpus.record [--backend NAME] [CASE …]`, or `make corpus`.

It plays each scenario to the real CLI in the sandbox. It writes a case only if two conditions hold. What our decoder
reads from the stream agrees with the gateway's ledger, or `BACKEND/scenarios.yaml` explains the difference. And the
case contains no name of this machine. `--reread` plays nothing: it renews `expected.json` of the recorded streams, for
a decoder that reads more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backends.base import ReportingQuirks
from backends.registry import backend, names
from harness.agent.cli import pinned_clis
from harness.agent.reconcile import reconcile
from harness.commands.decode import decode_file
from tests.corpus.scenarios import Scenario, explained, scenarios
from tests.support.sessions import Played, Stage
from tests.support.words import CORPUS

ROOT = CORPUS.parents[1]


class Refused(Exception):
    """Raised for a case that must not be written. The message says why."""


def main() -> int:
    """Record what the command line asks for. Return the exit status: 1 if a case was refused."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.record", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of scenarios (default: all)")
    parser.add_argument("--backend", action="append", choices=names(), help="repeatable (default: all)")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2), help="sessions at a time")
    parser.add_argument("--reread", action="store_true", help="only renew expected.json")
    given = parser.parse_args()
    wanted = [
        (name, case, scenario)
        for name in given.backend or names()
        for case, scenario in scenarios(name).items()
        if not given.cases or case in given.cases
    ]
    if given.reread:
        for name, case, _ in wanted:
            _write_expected(name, CORPUS / name / case)
        return 0
    with TemporaryDirectory(prefix="corpus-") as scratch, Stage() as stage, ThreadPoolExecutor(given.jobs) as pool:
        refused = list(pool.map(lambda job: _record(stage, Path(scratch), *job), wanted))
    print(f"{len(wanted) - sum(refused)} recorded, {sum(refused)} refused")
    return int(any(refused))


def _record(stage: Stage, scratch: Path, name: str, case: str, scenario: Scenario) -> bool:
    """Play one scenario and write its case. Return whether it was refused."""
    try:
        played = stage.play(backend(name), scratch / f"{name}-{case}", scenario.play())
        expected = _read(name, played)
        _check(played, expected, backend(name).quirks, explained(name, case))
        _check_neutral(played, scratch)
    except Exception as error:  # a scenario that fails must not stop the others
        print(f"{name}/{case}: REFUSED: {error or type(error)}", file=sys.stderr, flush=True)
        return True
    folder = CORPUS / name / case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "stream.jsonl").write_bytes(_neutral(played.stream))
    (folder / "stderr").write_bytes(_stderr(played))
    (folder / "exit_code").write_text(f"{played.result.exit_code}\n")
    _write_expected(name, folder)
    seconds = played.result.agent_s
    print(f"{name}/{case}: {expected['ending']} ({played.result.ending}), {seconds:.1f} s", flush=True)
    return False


def _read(name: str, played: Played) -> dict[str, Any]:
    folder = played.folder
    return decode_file(
        name, str(folder / "stream.jsonl"), exit_code=played.result.exit_code, stderr=folder / "stderr.log"
    )


def _write_expected(name: str, folder: Path) -> None:
    exit_code = int((folder / "exit_code").read_text())
    read = decode_file(name, str(folder / "stream.jsonl"), exit_code=exit_code, stderr=folder / "stderr")
    (folder / "expected.json").write_text(json.dumps(read, indent=2, ensure_ascii=False) + "\n")


def _check(played: Played, expected: dict[str, Any], quirks: ReportingQuirks, reasons: dict[str, str]) -> None:
    """Compare what the CLI reports with the gateway's ledger. Raise `Refused` for a difference without a reason."""
    result = played.result
    differences = reconcile(result.session, result.metered, quirks=quirks, stopped=result.stopped)
    differing = {
        one.field: f"{one.field}: the CLI reports {one.reported}, the gateway's ledger says {one.metered}"
        for one in differences
        if one.explained is None
    }
    if unexplained := [text for field, text in differing.items() if field not in reasons]:
        raise Refused("; ".join(unexplained))
    if idle := reasons.keys() - differing.keys():
        raise Refused(f"scenarios.yaml explains differences that do not exist: {', '.join(sorted(idle))}")
    if expected["unknown_events"] or expected["malformed_lines"]:
        raise Refused(f"{expected['unknown_events']} unknown events, {expected['malformed_lines']} malformed lines")


def _check_neutral(played: Played, scratch: Path) -> None:
    """Raise `Refused` if the case contains a name of this machine."""
    recorded = _neutral(played.stream) + _stderr(played)
    for own in (str(ROOT), str(scratch), str(Path.home()), sys.prefix, sys.base_prefix, socket.gethostname()):
        if re.search(rb"(?<![\w$])" + re.escape(own.encode()) + rb"(?!\w)", recorded):
            raise Refused(f"the recording names {own}")


def _stderr(played: Played) -> bytes:
    """Return what the CLI wrote to standard error."""
    return _neutral((played.folder / "stderr.log").read_bytes())


def _neutral(written: bytes) -> bytes:
    """Return what a CLI wrote, with a neutral name for the folder that CLIs are installed in."""
    return written.replace(os.fsencode(pinned_clis()), b"/opt/clis")


if __name__ == "__main__":
    sys.exit(main())
