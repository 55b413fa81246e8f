"""A session on Motion2D with any number of passages: one program is graded on numbers that the agent did not know."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from harness.commands.main import main
from harness.evaluation.counts import counts_digest
from harness.evaluation.playing import Episode
from harness.evaluation.recordings import recorded_episodes
from harness.report.summary import markdown
from harness.report.table import table
from harness.results.record import Record
from harness.seed_key import PUBLIC, VARIABLE
from harness.suite.config import load_environments
from tests.support.pages import Page
from tests.support.project import CONF, Project

CASE = "claude-scripted-motion2d_generalized"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    cases = "backends: [claude]\nmodels: [scripted]\nenvironments: [motion2d_generalized]\n"
    project.write("conf/suite/any.yaml", f"name: any\n{cases}")
    done = project.pytest("--suite", "any", "--set", "evaluation.episodes=6")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def record(project: Project) -> Record:
    return project.records[CASE]


@pytest.fixture
def folder(project: Project) -> Path:
    return project.folder / "runs/latest" / CASE


def test_the_record_has_the_grade_of_each_number(record: Record) -> None:
    score = record.score
    assert score is not None
    assert {count: one.held_out for count, one in score.by_count.items()} == {count: count > 3 for count in range(6)}
    assert [one.episodes for one in score.by_count.values()] == [1] * 6
    assert (score.design_rate, score.held_out_rate) == (1.0, 1.0)
    assert (score.largest_count_all_solved, score.largest_count_any_solved) == (5, 5)


def test_its_conditions_show_the_design_counts_and_a_digest_of_the_others(record: Record) -> None:
    assert record.counts == {"argument": "num_passages", "design": [0, 1, 2, 3], "steps_per_object": 150}
    assert json.loads(record.conditions["counts"] or "") == record.counts
    conf = load_environments(CONF)["motion2d_generalized"]
    assert record.conditions["held_out_counts"] == record.counts_digest == counts_digest(PUBLIC, conf.counts)


def test_each_episode_names_its_number_and_is_recorded(folder: Path) -> None:
    lines = (folder / "episodes.jsonl").read_bytes()
    episodes = msgspec.json.Decoder(Episode).decode_lines(lines)
    assert [episode.count for episode in episodes] == [0, 4, 1, 5, 2, 3]
    assert recorded_episodes(folder / "actions.bin") == list(range(6))


def test_the_tables_show_both_rates(record: Record) -> None:
    for lines in (table([record]), markdown([record])):
        assert "1.00 (design 1.00, held-out 1.00)" in "\n".join(lines)


def test_an_episode_with_a_held_out_number_can_be_replayed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder))
    assert main(["replay", "latest", "motion2d_generalized", "3"]) == 0
    assert "equal" in capsys.readouterr().out


def test_the_prompt_tells_the_design_counts_alone(folder: Path) -> None:
    prompt = (folder / "prompt.md").read_text()
    assert "these numbers: 0, 1, 2, 3." in prompt
    assert "at\n  most 300 + 150 * num_passages steps" in prompt


def test_the_page_has_the_interval_of_each_number(project: Project, tmp_path: Path) -> None:
    assert main(["report", str(project.folder / "runs/latest"), "--html", str(tmp_path / "page.html")]) == 0
    details = Page(tmp_path / "page.html").details(CASE)
    assert [(one["count"], one["held_out"], one["solved"]) for one in details["counts"]] == [
        (count, count > 3, 1) for count in range(6)
    ]
    assert all(low < 1.0 == high for one in details["counts"] for low, high in [one["interval"]])
