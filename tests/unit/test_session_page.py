"""`pytest --html FILE`: the page of a run, written when the run ends, however it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import warm
from tests.support.pages import Page
from tests.support.project import Project

APPROACH = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None): pass
    def reset(self, state, info): pass
    def get_action(self, state): return None
"""

INTERRUPTED = """\
def test_case(case, score):
    raise KeyboardInterrupt
"""

OTHER = """\
def pytest_addoption(parser):
    parser.getgroup("other").addoption("--html", dest="htmlpath")

def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"their page: {config.option.htmlpath}")
"""

GRADED = ("--suite=smoke", "--submission=mine")
"""Arguments that grade a submission without an agent."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("mine/approach.py", APPROACH)
    return made


def test_a_run_that_fails_has_a_page_in_the_folder_where_pytest_was_called(project: Project) -> None:
    project.write("below/mine/approach.py", APPROACH)
    root = ("-c", "../pytest.ini", "--rootdir", "..", "../test_cases.py")
    command = project.command(*GRADED, "-n", "1", "--html=page.html", *root)
    done = warm.run(command, project.folder / "below", project.variables)
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("page: ")]
    assert line.startswith(f"page: {project.folder / 'below/page.html'} (0.")
    assert line.endswith(" MB)")
    [row] = Page(project.folder / "below/page.html").rows
    assert (row["environment"], row["outcome"], row["solve_rate"]) == ("small_maze", "failed", 0)

    done = project.pytest(*GRADED, "--baseline=last", "--html=page.html")
    assert "page: " in done.stdout
    verdict = Page(project.folder / "page.html").overview["verdict"]
    assert verdict["line"].startswith("nothing is worse than the baseline"), "the page is written after the comparison"


def test_a_run_that_is_interrupted_has_a_page_too(project: Project) -> None:
    project.write("test_cases.py", INTERRUPTED)
    done = project.pytest(*GRADED, "--html", "page.html")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "page: " in done.stdout
    [row] = Page(project.folder / "page.html").rows
    assert (row["outcome"], row["ending"]) == ("error", "interrupted")


@pytest.mark.parametrize("file", ["/nowhere/page.html", "conf", "pytest.ini/page.html"])
def test_a_page_that_cannot_be_written_is_refused_before_any_case_runs(project: Project, file: str) -> None:
    done = project.pytest(*GRADED, f"--html={file}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--html: cannot write {project.folder / file}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project.folder / "runs").exists()


def test_a_file_that_pytest_takes_for_tests_is_refused(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = tmp_path_factory.mktemp("elsewhere") / "page.html"
    there.touch()
    done = project.pytest("--html", str(there))
    assert f"write --html={there}" in done.stderr


def test_without_a_case_there_is_no_page_and_pytest_says_so(project: Project) -> None:
    done = project.pytest(*GRADED, "--collect-only", "--html=page.html")
    assert "no case has a record, so --html wrote no page" in done.stdout
    assert not list(project.folder.glob("*page.html*"))


def test_the_option_of_another_plugin_stays_what_it_is(project: Project) -> None:
    project.write("other_html.py", OTHER)
    done = project.pytest("-p", "other_html", *GRADED, "--html=theirs.html", "--collect-only")
    assert "their page: theirs.html" in done.stdout, done.stdout + done.stderr
    assert "wrote no page" not in done.stdout, "it is not ours"
