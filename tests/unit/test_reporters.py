"""The table and the line `records:` appear with every reporter, and the configuration is found or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

FAKE = """\
import pytest

@pytest.fixture
def submission(case):
    return case.id

def test_case(case, submission):
    assert submission == case.id
"""

REPLACED = '''\
"""Replaces pytest's reporter, as pytest-rich does with one of its own kind."""

import pytest


class Reporter:
    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            print("reported by another:", report.outcome)


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.unregister(config.pluginmanager.getplugin("terminalreporter"))
    config.pluginmanager.register(Reporter(), "NAME")
'''

DERIVED = '''\
"""Replaces pytest's reporter with a class that derives from it, as pytest-sugar and pytest-pretty do."""

import pytest


class Reporter(pytest.TerminalReporter):
    def pytest_sessionstart(self, session):
        super().pytest_sessionstart(session)
        self.write_line("reported by another")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.unregister(config.pluginmanager.getplugin("terminalreporter"))
    config.pluginmanager.register(Reporter(config), "terminalreporter")
'''

CASE = ("--suite", "smoke", "--backend", "claude")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("test_cases.py", FAKE)
    made.write("derived.py", DERIVED)
    made.write("replaced.py", REPLACED)
    made.write("hidden.py", REPLACED.replace('"NAME"', '"terminalreporter"'))
    return made


@pytest.mark.parametrize(
    "arguments",
    [["-p", "no:terminal"], ["-p", "derived"], ["-p", "replaced"], ["-p", "hidden"], ["-p", "replaced", "-n", "1"]],
    ids=" ".join,
)
def test_the_table_and_the_records_are_shown_once(project: Project, arguments: list[str]) -> None:
    done = project.pytest(*CASE, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert ("reported by another" in done.stdout) == ("no:terminal" not in arguments)
    assert done.stdout.count("claude-scripted-small_maze  passed") == 1
    assert done.stdout.count("records: ") == 1


def test_why_no_case_ran_is_shown_too(project: Project) -> None:
    done = project.pytest(*CASE, "-p", "replaced", "-k", "nonesuch")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "none of the 1 case of suite smoke was selected by -k 'nonesuch'" in done.stdout


def test_an_ini_file_elsewhere_moves_the_configuration_and_the_error_names_where_it_was_sought(
    project: Project,
) -> None:
    project.write("elsewhere/other.ini", "[pytest]\naddopts = -p no:hydra_pytest -p no:anyio\n")
    project.write("conf/suite/mine.yaml", "name: mine\nbackends: [claude]\n")
    done = project.pytest("-c", "elsewhere/other.ini", "--suite", "mine")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"in {project.folder / 'elsewhere/conf'} (which does not exist) or " in done.stderr
    assert "conf/suite/mine.yaml" in done.stderr
