"""`pytest --resume RUN` for a user of pytest. The agents here only end, and some kill their process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.results.claims import claim, release
from harness.results.record import Record
from harness.results.store import read
from tests.support.ending_agents import FIRST, FOURTH, SECOND, TEST, THIRD, ran
from tests.support.project import Project

MINE = """\
name: mine
backends: [claude, opencode]
models: [scripted]
environments: [small_maze, motion2d_easy]
replicates: 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("test_cases.py", TEST)
    return made


def records(project: Project) -> dict[str, Record]:
    lines = read(project.folder / "runs/latest/results.jsonl")
    assert len({record.session for record in lines}) == len(lines)
    return {record.session: record for record in lines}


def outcomes(project: Project) -> dict[str, str]:
    return {session: record.outcome for session, record in records(project).items()}


@pytest.mark.parametrize("workers", [[], pytest.param(["-n", "2"], marks=pytest.mark.nightly)], ids=["plain", "xdist"])
def test_a_run_that_was_killed_goes_on_until_every_case_has_a_result(project: Project, workers: list[str]) -> None:
    for word, case in (("bad", FIRST), ("broken", SECOND), ("killed", THIRD)):
        project.write(word, case)
    project.write("conf/suite/mine.yaml", MINE)
    project.pytest("--suite", "mine", "--set", "limits.turns=9")
    assert ran(project) == [FIRST, SECOND, THIRD]
    assert outcomes(project) == {FIRST: "failed", SECOND: "error"}
    run, kept = (project.folder / "runs/latest").resolve(), records(project)[FIRST]
    (project.folder / "killed").unlink()

    done = project.pytest("--resume", "latest", "-k", "motion2d_easy", *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert sorted(ran(project)) == [SECOND, FOURTH], "-k chooses among those that are left"
    assert "1 of 4 sessions was kept (1 failed)" in done.stdout
    assert outcomes(project) == {FIRST: "failed", SECOND: "error", FOURTH: "passed"}

    (project.folder / "broken").unlink()
    done = project.pytest("--resume", run.name, "--set", "limits.turns=9", *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, "a case that was kept had failed"
    assert "2 of 4 sessions were kept (1 failed, 1 passed)" in done.stdout
    assert all(case in done.stdout for case in (FIRST, SECOND, THIRD, FOURTH)), "the table has those that were kept"
    assert sorted(ran(project)) == [SECOND, THIRD]
    assert outcomes(project) == {FIRST: "failed", SECOND: "passed", THIRD: "passed", FOURTH: "passed"}
    assert records(project)[FIRST] == kept
    assert records(project)[THIRD].overrides == ["limits.turns=9"]
    assert [earlier.artifacts for earlier in records(project)[SECOND].earlier] == [
        f"{SECOND}.earlier-1",
        f"{SECOND}.earlier-2",
    ]
    assert (run / f"{THIRD}.earlier-1").is_dir(), "what was killed before it wrote anything is set aside, too"

    for left in (f"{FOURTH}/draft.json", f"{FOURTH}/workspace/approach.py", ".run.json.123"):  # the disk was full
        project.write(f"runs/latest/{left}", "")
    done = project.pytest("--resume", "latest", *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert {path.name for path in (run / FOURTH).iterdir()} >= {"workspace.txt", "result.json"}
    assert not any((run / left).exists() for left in (f"{FOURTH}/draft.json", f"{FOURTH}/workspace", ".run.json.123"))
    assert "nothing to resume: 4 of 4 sessions were kept (1 failed, 3 passed)" in done.stdout
    assert ran(project) == []
    assert [path.name for path in run.parent.iterdir() if path.is_dir() and not path.is_symlink()] == [run.name]
    assert not (run / "running.json").exists()


def test_errors_can_be_kept_and_what_was_interrupted_runs_again(project: Project) -> None:
    project.write("broken", FIRST)
    project.write("interrupted", SECOND)
    assert project.pytest("--backend", "claude").returncode == pytest.ExitCode.INTERRUPTED
    assert outcomes(project) == {FIRST: "error", SECOND: "error"}
    (project.folder / "interrupted").unlink()
    ran(project)
    done = project.pytest("--resume", "latest", "--keep-errors")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert ran(project) == [SECOND]
    assert outcomes(project) == {FIRST: "error", SECOND: "passed"}
    (project.folder / "broken").unlink()
    assert project.pytest("--resume", "latest").returncode == pytest.ExitCode.OK
    assert outcomes(project) == {FIRST: "passed", SECOND: "passed"}
    assert project.pytest("--resume", "latest").returncode == pytest.ExitCode.OK, "nothing is left, and nothing failed"


SEVERAL = """\
import os
import signal
from pathlib import Path

import pytest

from harness.stash import BUILDER

HERE = Path(__file__).parent

@pytest.fixture
def submission(request, submission):
    return request.node.stash[BUILDER].session

@pytest.fixture
def cli(request):
    folder = request.node.stash[BUILDER].folder
    folder.path.mkdir(parents=True, exist_ok=True)
    with open(HERE / "ran", "a") as file:
        file.write(f"{folder.path.name}\\n")
    pytest.skip("no agent is needed")

def test_alone(submission): pass

def test_first(submission): pass

@pytest.mark.fresh_session
def test_fresh(submission): pass

@pytest.fixture
def killer():
    if (HERE / "killed").exists():
        os.kill(os.getpid(), signal.SIGKILL)

def test_second(killer, submission): pass

@pytest.mark.fresh_session
def test_last(submission): pass
"""


def test_tests_that_share_a_session_run_again_together_and_numbered_sessions_keep_their_names(project: Project) -> None:
    project.write("test_several.py", SEVERAL)
    project.write("killed", "")
    project.pytest("test_several.py", "--backend", "claude", "--environment", "small_maze", "-k", "not alone")
    assert ran(project) == [FIRST, f"{FIRST}.2"]
    fresh = records(project)[f"{FIRST}.2"]
    (project.folder / "killed").unlink()
    assert project.pytest("--resume", "latest").returncode == pytest.ExitCode.OK
    assert ran(project) == [FIRST, f"{FIRST}.3"], "the session of two tests had run only one of them"
    assert list(records(project)) == [FIRST, f"{FIRST}.2", f"{FIRST}.3"]
    assert records(project)[f"{FIRST}.2"] == fresh
    assert [test.partition("::")[2].partition("[")[0] for test in records(project)[FIRST].tests] == [
        "test_first",
        "test_second",
    ]


def test_another_configuration_is_refused_and_each_difference_is_named(project: Project) -> None:
    project.write("killed", SECOND)
    project.pytest("--backend", "claude", "--set", "limits.turns=9")
    begun = project.folder / "runs/latest/run.json"
    then = json.loads(begun.read_bytes())
    then["configuration"] |= {"cli.claude": "1.0.0", "harness": "0.0.1"}
    begun.write_text(json.dumps(then))
    with (project.folder / "conf/scripts/small_maze.yaml").open("a") as file:
        file.write("# changed\n")
    project.write("conf/config.yaml", "limits: {wall_s: 7}\n")
    done = project.pytest("--resume", "latest", "--set", "limits.turns=10", "--suite", "pr", "--backend", "claude")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    for difference in (
        '--set: ["limits.turns=9"] then, ["limits.turns=10"] now',
        '--suite: nothing then, "pr" now',
        'cli.claude: "1.0.0" then, ',
        'harness: "0.0.1" then, ',
        "limits.wall_s: 1800.0 then, 7.0 now",
        'script.conf/scripts/small_maze.yaml: "sha256:',
    ):
        assert difference in done.stderr
    assert "--backend" not in done.stderr
    assert "limits.turns:" not in done.stderr
    assert outcomes(project) == {FIRST: "passed"}, "nothing has changed in the run"


def test_another_option_is_one_difference_and_not_all_that_follows_from_it(project: Project) -> None:
    project.write("killed", SECOND)
    project.pytest("--backend", "claude")
    project.write("mine/approach.py", "")
    done = project.pytest("--resume", "latest", "--submission", "mine")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    _first, *differences, advice = done.stderr.strip().splitlines()
    assert differences == [f'  --submission: nothing then, "{project.folder / "mine"}" now']
    assert advice == "undo these changes, or begin a new run"


def test_what_cannot_be_resumed_is_a_usage_error_that_says_why(project: Project) -> None:
    project.write("killed", SECOND)
    project.pytest("--backend", "claude")
    run = (project.folder / "runs/latest").resolve()

    def refused(reference: str, *arguments: str) -> str:
        done = project.pytest("--resume", reference, *arguments)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        return done.stderr

    descriptor = claim(run)
    assert f"{run} is being written by process {os.getpid()} on " in refused("latest")
    release(run, descriptor)
    (run / "running.json").mkdir()
    assert f"--resume: {run} cannot be written: Is a directory; make it writable, or resume a copy" in refused("latest")
    (run / "running.json").rmdir()
    assert "no such run: name a run's folder, its results.jsonl, last, last:N or tag:NAME; the newest runs in " in (
        refused("nope")
    )
    assert "conf is not the folder of a run" in refused("conf")
    project.write("test_cases.py", TEST.replace("test_case", "test_other"))
    assert f"these tests of the run are gone: test_cases.py::test_case[{SECOND}]" in refused("latest")
    with (run / "results.jsonl").open("a") as file:
        file.write("{}\n")
    assert f"the run is damaged: {run}/results.jsonl:2: not a record" in refused("latest")
    (run / "run.json").unlink()
    (run / "results.jsonl").unlink()
    assert "has no run.json" in refused("latest")
