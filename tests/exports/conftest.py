"""The readers are other packages. `make exports` installs them. In every other session, this folder is left out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.commands.main import main
from tests.support.transcripts import transcript_run

READERS = ("harbor", "inspect_ai", "opentelemetry", "playwright")
collect_ignore_glob = [] if all(map(find_spec, READERS)) else ["*"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transcript_run(tmp_path_factory.mktemp("runs") / "20261126T110221.244Z-nightly")


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every export of the run: `atif`, `logs/run.eval` and `spans.jsonl`."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "logs").mkdir()
    for option, name in (("--atif", "atif"), ("--inspect", "logs/run.eval"), ("--otel", "spans.jsonl")):
        assert main(["export", str(run), option, str(folder / name)]) == 0
    return folder
