"""Proctor for a user of pytest: options, ids, usage errors. These tests run no agent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.endings import Ending
from tests.support.project import ROOT, Project

IDS = [
    "claude-scripted-small_maze",
    "claude-scripted-motion2d_easy",
    "opencode-scripted-small_maze",
    "opencode-scripted-motion2d_easy",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def collected(output: str) -> list[str]:
    return [line.partition("[")[2].rstrip("]") for line in output.splitlines() if "::test_case[" in line]


def test_the_default_suite_is_used_and_k_selects_a_backend(project: Project) -> None:
    assert collected(project.pytest("--collect-only", "-q").stdout) == IDS
    assert collected(project.pytest("--collect-only", "-q", "-k", "opencode").stdout) == IDS[2:]
    assert not (project.folder / "runs").exists()


def test_only_cases_run_if_the_command_selects_cases(project: Project) -> None:
    project.write("test_other.py", "def test_opencode_too(): pass\n\ndef test_other(): pass\n")

    def names(*arguments: str) -> list[str]:
        output = project.pytest("--collect-only", "-q", *arguments).stdout
        return [line.partition("::")[2].partition("[")[0] for line in output.splitlines() if "::" in line]

    assert names() == ["test_case"] * 4 + ["test_opencode_too", "test_other"]
    assert names("-k", "opencode") == ["test_case"] * 2
    assert names("--suite", "default") == ["test_case"] * 4
    assert names("--suite", "default", "-k", "opencode") == ["test_case"] * 2
    assert names("-k", "opencode and small_maze") == ["test_case"]
    assert names("-k", "not slow") == names()
    assert names("-k", "other") == ["test_opencode_too", "test_other"]
    assert names("-k", "opencode", "test_other.py") == ["test_opencode_too"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--suite", "nope"], ["--suite nope", "conf/suite/nope.yaml", "default"]),
        (["--set", "limits.turnz=1"], ["limits.turnz", "conf/config.yaml", "limits.turns"]),
        (["--set", "limits.turns=many", "-n", "2"], ["limits.turns", "Expected `int | null`, got `text`"]),
        (["--set", "sandbox=none"], ["sandbox=none", "allow_no_sandbox"]),
    ],
)
def test_a_mistake_on_the_command_line_is_a_usage_error(
    project: Project, arguments: list[str], parts: list[str]
) -> None:
    done = project.pytest(*arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["plain", "xdist"])
def test_a_mistake_in_a_file_is_a_usage_error_too(project: Project, workers: list[str]) -> None:
    project.write("conf/suite/default.yaml", "name: default\nbackends: [nope]\nmodels: [scripted]\nenvironments: [x]\n")
    done = project.pytest(*workers)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "conf/suite/default.yaml: suite.backends: there is no backend nope" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_session_without_cases_loads_nothing_heavy_and_makes_no_folder(project: Project) -> None:
    project.write(
        "test_light.py",
        "import sys\n\n"
        "def test_light():\n"
        "    heavy = {'hydra', 'numpy', 'starlette', 'uvicorn', 'aiohttp', 'mcp', 'gymnasium', 'kinder', 'jinja2'}\n"
        "    assert not heavy & set(sys.modules)\n",
    )
    done = project.pytest_in_new_python("test_light.py")
    assert done.returncode == 0, done.stdout
    assert not (project.folder / "runs").exists()


def test_progress_is_shown_only_on_a_terminal_and_not_with_q(project: Project) -> None:
    project.write(
        "test_progress.py",
        "from harness.stash import live_of\n\n"
        "def test_progress(request):\n"
        "    live_of(request.config).show('turn 1, Bash')\n",
    )
    assert "turn 1, Bash" in project.pytest_on_terminal("test_progress.py")
    assert "turn 1, Bash" not in project.pytest_on_terminal("test_progress.py", "-q")
    assert "turn 1, Bash" not in project.pytest("test_progress.py").stdout


BROKEN = [
    "--set",
    "environment.small_maze.arguments.min_size=0",
    "--set",
    "suite.environments=[small_maze]",
    "-k",
    "claude",
]


def test_an_error_names_no_missing_folder(project: Project) -> None:
    shown = project.pytest(*BROKEN).stdout
    assert "conf/environment/small_maze.yaml" in shown
    assert "files:" not in shown


def test_records_that_cannot_be_written_end_the_run_with_a_clear_error(project: Project) -> None:
    project.write(
        "conftest.py",
        (ROOT / "conftest.py").read_text()
        + """
import pathlib

def pytest_runtest_setup(item):
    pathlib.Path("runs/latest/results.jsonl").mkdir()
""",
    )
    done = project.pytest(*BROKEN)
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert "cannot write the record of test_cases.py::test_case[claude-scripted-small_maze]" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_a_run_that_cannot_begin_is_a_usage_error(project: Project) -> None:
    project.write("runs", "a file where the folder should be")
    done = project.pytest(*BROKEN)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"cannot write the run: {project.folder}/runs/" in done.stderr
    assert ": Not a directory; choose another folder with --runs-dir=FOLDER" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_planned_cases_are_written_before_they_run(project: Project) -> None:
    project.write(
        "conftest.py",
        (ROOT / "conftest.py").read_text()
        + """
import os

def pytest_runtest_setup(item):
    os._exit(9)
""",
    )
    assert project.pytest("--suite", "default", "-k", "claude").returncode == 9
    assert not (project.folder / "runs/latest/results.jsonl").exists()
    assert json.loads((project.folder / "runs/latest/cases.json").read_bytes()) == IDS[:2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--shard", ""], pytest.ExitCode.USAGE_ERROR, "--shard: '' is not a shard"),
        (["--suite", ""], pytest.ExitCode.USAGE_ERROR, "--suite : the name is empty; choose from: agents"),
        (["--shard", "9/9"], pytest.ExitCode.USAGE_ERROR, "shard 9/9 has none of the cases of suite default"),
        (
            ["--shard", "9/9", "--allow-empty"],
            pytest.ExitCode.NO_TESTS_COLLECTED,
            "shard 9/9 has none of the cases of suite default",
        ),
    ],
)
def test_an_empty_part_of_a_suite_never_becomes_the_whole_suite(
    project: Project, arguments: list[str], code: pytest.ExitCode, said: str
) -> None:
    done = project.pytest(*arguments)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_public_fixtures_are_listed_with_their_docstrings(project: Project) -> None:
    listed = project.pytest("--fixtures", "-q").stdout
    for name in ("ollama", "model_server", "gateway", "sandbox", "mcp_config", "submission", "score"):
        position = listed.index(f"\n{name} ")
        assert "no docstring available" not in listed[position : position + 200]


CTRL_C = """\
import pathlib, pytest

@pytest.fixture
def submission(case):
    if pathlib.Path("broken").exists():
        pathlib.Path("runs/latest", case.id).write_text("no folder")
    raise KeyboardInterrupt

@pytest.mark.parametrize("way", [1, 2])
def test_stopped(case, way, submission):
    pass
"""


def test_ctrl_c_in_a_case_is_recorded_and_never_gives_a_traceback(project: Project) -> None:
    project.write("test_stopped.py", CTRL_C)
    stopped = ("--suite", "default", "-k", "claude-scripted-small_maze", "test_stopped.py")
    done = project.pytest(*stopped)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert [record.ending for record in project.records.values()] == [Ending.INTERRUPTED]
    project.write("broken", "")
    done = project.pytest(*stopped)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert "cannot write the record of test_stopped.py::test_stopped[" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_a_suite_whose_models_need_servers_says_where_they_run(project: Project) -> None:
    assert re.search(
        r"^model servers: 1; \d+ at a time on the CPU$",
        project.pytest("--collect-only", "--suite", "local").stdout,
        re.MULTILINE,
    )
    assert "model servers" not in project.pytest("--collect-only", "--suite", "smoke").stdout
