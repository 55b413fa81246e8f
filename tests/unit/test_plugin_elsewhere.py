"""Proctor is installed beside another project, whose tests run as if it were not."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.elsewhere import Elsewhere

OURS = ("suite", "backend", "model", "environment", "shard", "set", "runs-dir", "allow-empty", "require-all")


@pytest.fixture
def project(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path)


def said(output: str) -> list[str]:
    """Return the lines of a session, sorted, without times and without the names of its workers."""
    timeless = re.sub(r"in \d+\.\d+s", "in a while", output)
    by_any_worker = re.sub(r"^\[gw\d+\]( \[ *\d+%\])?", "[gw]", timeless, flags=re.MULTILINE)
    passing = ("plugins:", "created:", "initialized:", "ready:")
    return sorted(line for line in by_any_worker.splitlines() if not line.startswith(passing))


LOADED = """\
import sys

def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        heavy = {"msgspec", "psutil", "hydra", "numpy", "harness.case", "harness.run", "harness.recorder", "backends"}
        print("loaded:", sorted(heavy & set(sys.modules)))
"""
PLAIN = """\
import pytest

@pytest.mark.parametrize("case", ["claude-scripted-small_maze", 2])
def test_parametrized(case):
    assert case in ("claude-scripted-small_maze", 2)

def test_failing():
    assert False

@pytest.mark.skip
def test_skipped(): pass
"""


@pytest.mark.parametrize(
    "arguments", [[], ["-v", "-n", "2"], ["-q", "-k", "case or failing"], ["--collect-only"], ["--setup-plan"]]
)
def test_a_session_without_cases_is_the_same_as_without_proctor(project: Elsewhere, arguments: list[str]) -> None:
    project.write("conftest.py", LOADED)
    project.write("test_plain.py", PLAIN)
    before = project.files
    without = project.pytest_in_new_python(*arguments, proctor=False)
    installed = project.pytest_in_new_python(*arguments)
    assert said(installed.stdout) == said(without.stdout)
    assert "loaded: []" in installed.stdout
    assert (installed.returncode, installed.stderr) == (without.returncode, without.stderr)
    assert project.files == before


OPTIONS = "".join(f"    parser.addoption('--{name}')\n" for name in OURS)


def test_another_project_may_have_options_of_the_same_names(project: Elsewhere) -> None:
    project.write("conftest.py", f"def pytest_addoption(parser):\n{OPTIONS}")
    project.write(
        "test_options.py", "def test_mine(pytestconfig):\n    assert pytestconfig.getoption('model') == 'x'\n"
    )
    given = [f"--{name}=x" for name in OURS]
    done = project.pytest(*given, "--shard", "9/9", "--suite", "nope")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    listed = project.pytest("--help")
    assert listed.returncode == 0
    assert len(re.findall(r"^  --suite\b", listed.stdout, re.MULTILINE)) == 1
    assert "--record-cassettes" in listed.stdout, "our remaining options are listed"


def test_a_late_conftest_may_have_them_too(project: Elsewhere) -> None:
    project.write("deep/er/conftest.py", f"def pytest_addoption(parser):\n{OPTIONS}")
    project.write("deep/er/test_late.py", "def test_late(pytestconfig): assert pytestconfig.getoption('model') is None")
    done = project.pytest()
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_help_lists_our_options(project: Elsewhere) -> None:
    listed = project.pytest("--help").stdout
    for name in OURS:
        assert f"--{name}" in listed
    assert "proctor_testpaths" in listed


FIXTURES = """\
import pytest

NAMES = ("case", "backend", "environment", "sandbox", "score", "submission")
for name in NAMES:
    exec(f"@pytest.fixture\\ndef {name}(): return 'mine'")
"""
GENERATED = """\
def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [1, 2])
"""
TESTS = {
    "test_own_fixtures.py": FIXTURES
    + "def test_own(case, backend, environment, sandbox, score, submission):\n"
    + "    assert {case, backend, environment, sandbox, score, submission} == {'mine'}\n",
    "conf/conftest.py": FIXTURES,
    "conf/test_conftest_fixtures.py": "def test_of_conftest(case, submission): assert case == submission == 'mine'\n",
    "test_parameter.py": "import pytest\n\n@pytest.mark.parametrize('case', [1, 2])\n"
    "def test_mark(case): assert case in (1, 2)\n"
    "class TestIn:\n"
    "    @pytest.mark.parametrize('way, case', [(1, 1)])\n"
    "    def test_marks(self, case, way): assert case == way\n",
    "test_generated.py": GENERATED + "\ndef test_by_module(case): assert case in (1, 2)\n",
    "gen/conftest.py": GENERATED,
    "gen/test_by_conftest.py": "def test_by_conftest(case): assert case in (1, 2)\n",
    "test_params.py": "import pytest\n\n@pytest.fixture(params=[1, 2])\ndef case(request): return request.param\n\n"
    "def test_fixture_params(case): assert case in (1, 2)\n",
    "test_default.py": "def test_default(case=3): assert case == 3\n",
}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--import-mode=importlib", "-p", "no:terminal"], ["-p", "no:xdist"], ["-n", "2"]],
    ids=["plain", "importlib, no terminal", "no xdist", "workers"],
)
def test_another_project_may_have_fixtures_and_parameters_of_the_same_names(
    project: Elsewhere, arguments: list[str]
) -> None:
    for name, text in TESTS.items():
        project.write(name, text)
    before = project.files
    done = project.pytest("--junit-xml", str(project.folder.parent / "junit.xml"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'errors="0" failures="0" skipped="0" tests="12"' in (project.folder.parent / "junit.xml").read_text()
    assert project.files == before


def test_a_runs_folder_that_misleads_pytest_is_named(project: Elsewhere, tmp_path: Path) -> None:
    project.write("test_case.py", "def test_case(case): pass\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    cases = ("--suite", "smoke", "--backend", "claude")
    misled = project.pytest(*cases, "--runs-dir", str(kept))
    assert misled.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"write --runs-dir={kept}" in misled.stderr
    done = project.pytest(*cases, f"--runs-dir={kept}")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_sigterm_kills_a_session_without_cases(project: Elsewhere) -> None:
    kill = "import os, signal\n\ndef test_kill(): os.kill(os.getpid(), signal.SIGTERM)\n"
    project.write("test_kill.py", kill)
    done = project.pytest()
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
