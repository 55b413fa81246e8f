"""The shipped nightly suite on a machine with GPUs and Ollama: real workers and CLIs, stand-in models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.endings import Ending
from harness.results.store import read
from harness.seed_key import PUBLIC, VARIABLE
from harness.servers import journal
from harness.servers.journal import JournalEntry
from tests.support.project import ROOT, Project
from tests.support.seed import SEED, files_with_seed
from tests.support.serving import Machine

GPU_MB = 32_000
SERVED = {"qwen3_coder_30b": "qwen3-coder:30b", "gpt_oss_20b": "gpt-oss:20b", "gemma4_26b": "gemma4:26b"}
MOTION2D = "Motion2D"
"""A text that only this environment's task contains."""


class Nightly:
    """A project on such a machine, with the folder for its temporary files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, models: Iterable[str]) -> None:
        self.machine = Machine(folder, monkeypatch, gpus, GPU_MB)
        for model in models:
            self.machine.ollama.add_model(SERVED[model])
        self.machine.ollama.turn(scripts={MOTION2D: str(ROOT / "conf/scripts/motion2d_easy.yaml")})
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        monkeypatch.setenv("TMPDIR", str(self.temporary))
        monkeypatch.setenv(VARIABLE, SEED)
        (folder / "project").mkdir()
        self.project = Project(folder / "project")

    def run(self, workers: int, **suite: Iterable[str]) -> str:
        """Run the reduced suite to its end. Return pytest's output."""
        reduced = [f"suite.{name}=[{','.join(values)}]" for name, values in suite.items()]
        settings = [f"--set={setting}" for setting in (*reduced, "evaluation.episodes=3")]
        done = self.project.pytest("--suite", "nightly", "-n", str(workers), *settings)
        assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
        return done.stdout

    @property
    def journal(self) -> list[JournalEntry]:
        return journal.read(self.project.folder / "runs/latest")

    def is_clean(self) -> bool:
        """Return whether the run left no lease, no process, no GPU memory and no temporary folder except pytest's."""
        left = [path for path in self.temporary.iterdir() if not path.name.startswith("pytest-of-")]
        return self.machine.is_clean() and not left


@pytest.mark.parametrize(
    ("workers", "backends", "models", "environments"),
    [
        pytest.param(2, ["claude"], ["qwen3_coder_30b", "gpt_oss_20b"], ["small_maze"], id="small"),
        pytest.param(
            4, ["claude", "opencode"], [*SERVED], ["small_maze", "motion2d_easy"], id="full", marks=pytest.mark.nightly
        ),
    ],
)
def test_each_model_is_loaded_once_per_slot_and_everything_is_released(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    backends: list[str],
    models: list[str],
    environments: list[str],
) -> None:
    nightly = Nightly(tmp_path, monkeypatch, gpus=workers, models=models)
    shown = nightly.run(workers, backends=backends, models=models, environments=environments)
    cases = {
        f"{backend}-{model}-{environment}-r{replicate}"
        for backend in backends
        for model in models
        for environment in environments
        for replicate in (1, 2)
    }
    _assert_recorded(nightly, cases)
    table = [line.split() for line in shown.splitlines() if line.startswith(tuple(backends))]
    assert [row[:4] for row in table] == [[case, "passed", "1.00", "4"] for case in sorted(cases)]
    assert all(len(row) == 6 for row in table), "the last column, why, is empty"
    assert f"{len(cases)} passed" in shown.splitlines()[-1]

    _assert_few_loads(nightly, models, slots=workers)
    assert nightly.is_clean()


def _assert_recorded(nightly: Nightly, cases: set[str]) -> None:
    """Check that each case passed once, and has the data of the model server and the gateway."""
    results = nightly.project.folder / "runs/latest/results.jsonl"
    assert Counter(record.case.id for record in read(results)) == dict.fromkeys(cases, 1)
    digests = {entry.key: entry.facts.digest for entry in nightly.journal if entry.facts}
    assert files_with_seed(nightly.project.folder) == []
    for record in nightly.project.records.values():
        assert record.seed_key not in (None, PUBLIC.digest)
        assert (record.outcome, record.ending, record.scripted) == ("passed", Ending.FINISHED, False)
        assert len(record.attempts) == 1
        assert record.score
        assert record.score.solve_rate == 1.0
        assert record.versions.model_digest == digests[f"ollama/{record.case.model}"]
        used = record.usage.metered
        assert used
        assert used.turns == 4
        assert (used.input_tokens or 0) > 1000
        assert (used.output_tokens or 0) > 100
        assert (record.differences, record.warnings) == ([], [])


def _assert_few_loads(nightly: Nightly, models: list[str], slots: int) -> None:
    """Check that no GPU loads a model twice or two models at a time, and that the journal has what the servers did."""
    loads = Counter[tuple[str, tuple[str, ...]]]()
    held: dict[str, str] = {}
    for entry in nightly.journal:
        if entry.event == "loaded":
            loads[entry.key, entry.gpus] += 1
            assert not held.keys() & set(entry.gpus)
            held |= dict.fromkeys(entry.gpus, entry.server)
        else:
            assert (entry.event, entry.leftover) == ("stopped", ())
            assert all(held.pop(gpu) == entry.server for gpu in entry.gpus)
    assert not held
    assert {key for key, _ in loads} == {f"ollama/{model}" for model in models}
    assert set(loads.values()) == {1}
    assert loads.total() <= len(models) + slots - 1
    done = Counter((event["model"], tuple(event["gpus"])) for event in nightly.machine.ollama.events("load"))
    assert done == {(SERVED[key.removeprefix("ollama/")], gpus): times for (key, gpus), times in loads.items()}
