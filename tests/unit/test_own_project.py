"""A project without a copy of Proctor's configuration can run its own environments and backends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.endings import Ending
from harness.packaged import packaged_conf
from tests.support.markdown import code_blocks, page, section
from tests.support.own_project import OwnProject


@pytest.fixture
def project(tmp_path: Path) -> OwnProject:
    return OwnProject(tmp_path)


def add_to_conftest(project: OwnProject, text: str) -> None:
    with (project.folder / "conftest.py").open("a") as file:
        file.write(text)


def test_its_backend_solves_its_environment_with_its_script(project: OwnProject) -> None:
    done = project.pytest("--suite", "mine", "-n", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    assert (record.case.id, record.ending) == ("lean-scripted-door", Ending.FINISHED)
    assert record.score is not None
    assert (record.score.solved, record.score.episodes) == (3, 3), "three episodes, as its conf/config.yaml says"
    assert record.state_fidelity == "unknown", "its adapter does not say"


def test_an_environment_that_cannot_run_is_skipped_or_an_error_with_the_reason(project: OwnProject) -> None:
    project.write("mylab/others.py", "from nonesuch import Door\n")
    kinds = {"needy": "mylab.others:Door", "wrong": "mylab.envs:np"}
    for name, kind in kinds.items():
        project.write(f"conf/environment/{name}.yaml", f"name: {name}\nkind: {kind}\n")
    project.write(
        "conf/suite/mine.yaml",
        "name: mine\nbackends: [lean]\nmodels: [scripted]\nenvironments: [needy, wrong]\n",
    )
    done = project.pytest("--suite", "mine")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    needy, wrong = (project.records[f"lean-scripted-{name}"] for name in kinds)
    assert (needy.outcome, wrong.outcome) == ("skipped", "error")
    assert "mylab.others imports nonesuch, which is not installed" in needy.explanation
    assert wrong.explanation.startswith("conf/environment/wrong.yaml: environment wrong: kind mylab.envs:np: ")
    assert "Traceback" not in done.stdout + done.stderr


def test_an_environment_that_raises_is_an_error_that_says_where(project: OwnProject) -> None:
    raising = (
        "from mylab.envs import Door\n\n\nclass Broken(Door):\n    def reset(self, seed):\n        return {}['door']\n"
    )
    project.write("mylab/broken.py", raising)
    project.write("conf/environment/door.yaml", "name: door\nkind: mylab.broken:Broken\n")
    done = project.pytest("--suite", "mine")
    [record] = project.records.values()
    assert (record.outcome, record.ending) == ("error", Ending.ENVIRONMENT_FAILED), done.stdout
    assert record.explanation == "environment door: episode 0 failed: KeyError: 'door' (broken.py:6)"
    assert "return {}['door']" in done.stdout


def test_the_adapter_of_the_page_on_backends_runs(project: OwnProject) -> None:
    text = section(page("docs/adding-a-backend.md"), "In a repository of your own")
    adapter, conf = (next(b.text for b in code_blocks(text) if b.language == kind) for kind in ("python", "yaml"))
    project.write("mylab/backends.py", adapter)
    project.write("conf/backend/our_pi.yaml", conf)
    done = project.pytest("--suite", "mine", "--set", "suite.backends=[our_pi]", "--require-all")
    [record] = project.records.values()
    if shutil.which("pi") is None:
        assert record.explanation == "pi is not on PATH: npm install -g @earendil-works/pi-coding-agent", done.stdout
    else:
        assert record.outcome == "passed", done.stdout


def test_a_package_that_hides_proctors_backends_is_a_usage_error(project: OwnProject) -> None:
    project.write("backends/__init__.py", "")
    add_to_conftest(project, "import sys\n\nsys.path.insert(0, '.')\n")
    done = project.pytest_in_new_python("--suite", "mine")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "backends hides Proctor's package of the same name: rename it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_fixture_that_hides_the_case_is_named(project: OwnProject) -> None:
    add_to_conftest(project, "import pytest\n\n\n@pytest.fixture\ndef case():\n    return 7\n")
    done = project.pytest()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "this test runs a case, but its fixture `case` is not Proctor's (it gives 7): rename" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_faulty_packaged_file_is_named_with_its_path(project: OwnProject) -> None:
    done = project.pytest(
        "--suite", "smoke", "--backend", "lean", "--set", "environment.small_maze.arguments.min_size=0"
    )
    [record] = project.records.values()
    assert (record.outcome, done.returncode) == ("error", pytest.ExitCode.TESTS_FAILED)
    assert record.explanation.startswith(f"{packaged_conf()}/environment/small_maze.yaml: "), record.explanation
