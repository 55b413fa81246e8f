"""`proctor replay`: an episode is played again, compared with its record, and shown."""

from __future__ import annotations

import os
import platform
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from harness.case_folder import CaseFolder
from harness.commands.main import main
from harness.environment_conf import EnvironmentConf
from harness.evaluation.past import PastUnknown, past_environment, past_seeds
from harness.evaluation.playing import Episode
from harness.evaluation.seeds import digest, episode_seeds
from harness.packaged import harness_version
from harness.results.begun import Begun
from harness.results.store import read
from harness.seed_key import VARIABLE, private_key
from tests.support.project import ROOT, Project
from tests.support.runs import record
from tests.support.seed import SEED

CASE = "submission-small_maze"
GOOD = (ROOT / "tests/security/good_policy.py").read_text()
SOMETIMES = f"{GOOD}\n    tries = 0\n\n    def reset(self, state, info):\n        self.lazy = state['agent'][0] == 0\n"
SOMETIMES = SOMETIMES.replace("blocked = {", "if self.lazy:\n            return 0\n        blocked = {", 1)
"""A program that solves the mazes in which it does not begin in the first row."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a run, in which some episodes were solved, of a small maze with a setting of its own."""
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder)
    project.write("mine/approach.py", SOMETIMES)
    settings = ("evaluation.episodes=6", "evaluation.pictures=always", "evaluation.seed=3", "limits.turns=9")
    arguments = [f"--set={setting}" for setting in (*settings, "environment.small_maze.max_steps=8")]
    done = project.pytest("--submission=mine", "--environment=small_maze", *arguments)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert project.records[CASE].warnings[0].startswith("the held-out episodes are public")
    assert len(project.records[CASE].warnings) == 1
    return project


@pytest.fixture(autouse=True)
def _here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder))


@pytest.fixture
def case() -> CaseFolder:
    return CaseFolder(Path("runs/latest").resolve() / CASE)


Told = tuple[int, str, str]
Command = Callable[..., Told]


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call `proctor replay`. Return its status, its output, and its standard error in one line."""

    def replay(*arguments: str) -> Told:
        try:
            status = main(["replay", *arguments])
        except SystemExit as error:
            status = int(str(error.code))
        out, err = capsys.readouterr()
        return status, out, " ".join(err.split())

    return replay


def episodes(case: CaseFolder) -> list[Episode]:
    return msgspec.json.Decoder(Episode).decode_lines(case.episodes.read_bytes())


def first(case: CaseFolder, outcome: str) -> Episode:
    return next(episode for episode in episodes(case) if episode.outcome == outcome)


def copied(case: CaseFolder, to: Path, **changes: object) -> CaseFolder:
    """Copy the run, with these changes of its record. Return the copy of the case's folder."""
    shutil.copytree(case.path.parent, to)
    [record] = read(to / "results.jsonl")
    record = msgspec.structs.replace(record, **changes)
    (to / "results.jsonl").write_bytes(msgspec.json.encode(record) + b"\n")
    return CaseFolder(to / CASE)


def test_an_episode_is_played_again_with_the_settings_of_the_run(case: CaseFolder, replay: Command) -> None:
    for outcome, reference in (("solved", "latest"), ("unsolved", case.path.parent.name), ("solved", "last")):
        chosen = first(case, outcome)
        steps = f"{chosen.steps} steps, return {-chosen.steps}"
        asked = outcome if reference != "last" else str(chosen.index)
        assert replay(reference, CASE, asked) == (
            0,
            f"{CASE}, episode {chosen.index}: {outcome} after {steps}\n"
            f"The replay is equal: {chosen.steps} rewards and {chosen.steps + 1} observations.\n",
            "",
        )
    assert first(case, "unsolved").steps == 8


def test_a_case_of_the_run_has_pictures_of_two_episodes(case: CaseFolder) -> None:
    names = {f"{outcome}-{first(case, outcome).index}.webp" for outcome in ("solved", "unsolved")}
    assert {path.name for path in case.pictures.iterdir()} == names
    [record] = read(case.path.parent / "results.jsonl")
    assert record.timing.pictures_s is not None


def test_it_writes_an_animation_or_a_picture_of_each_step(case: CaseFolder, replay: Command, tmp_path: Path) -> None:
    unsolved = str(first(case, "unsolved").index)
    status, out, _ = replay("latest", CASE, unsolved, "--gif", str(tmp_path / "a.gif"))
    assert (status, f"{tmp_path}/a.gif: 9 pictures" in out, "The replay is equal" in out) == (0, True, True)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.format == "GIF"
    assert replay("latest", CASE, unsolved, "--png", str(tmp_path / "png"))[0] == 0
    assert sorted(path.name for path in (tmp_path / "png").iterdir()) == [f"step-{step}.png" for step in range(9)]
    status, _, err = replay("latest", CASE, unsolved, "--png", str(tmp_path / "png"))
    assert (status, err.endswith("is not empty: name a new folder")) == (2, True)


def test_what_differs_is_named_with_the_conditions_that_changed(
    case: CaseFolder, replay: Command, tmp_path: Path
) -> None:
    [record] = read(case.path.parent / "results.jsonl")
    conditions = {**record.conditions, "python": "3.9.1", "environment": "proctor 0.0.1"}
    other = copied(
        case, tmp_path / "other", conditions=conditions, environment_arguments={"min_size": 4, "max_size": 5}
    )
    packages = msgspec.json.decode(other.packages.read_bytes())
    other.packages.write_bytes(msgspec.json.encode({**packages, "numpy": "1.0", "gone": "2"}))
    status, out, _ = replay(str(other.path.parent), CASE, "solved")
    assert status == 1
    _, *told = out.splitlines()
    assert told[:4] == [
        "The replay differs. Step 0: the first observation is another one.",
        "Changed since it was graded:",
        f"  environment: proctor 0.0.1 then, proctor {harness_version()} now",
        told[3],
    ]
    assert f"  python: 3.9.1 then, {platform.python_version()} now" in told
    assert "  package gone: 2 then, nothing now" in told
    assert any(line.startswith("  package numpy: 1.0 then, ") for line in told)
    assert not any("deterministic" in line for line in told)


def test_without_a_changed_condition_it_says_so(case: CaseFolder, replay: Command, tmp_path: Path) -> None:
    other = copied(case, tmp_path / "other", solved_when="return >= 5")
    status, out, _ = replay(str(other.path.parent), CASE, "solved")
    assert status == 1
    assert "does not solve the episode, and did when it was graded" in out
    assert "No condition that Proctor knows has changed." in out


def test_mistakes_get_a_clear_error(case: CaseFolder, replay: Command, tmp_path: Path) -> None:
    other = str(copied(case, tmp_path / "other", seed_key="0123456789abcdef").path.parent)
    old = copied(case, tmp_path / "old")
    old.actions.unlink()
    ungraded = str(copied(case, tmp_path / "ungraded", score=None, ending="unavailable").path.parent)
    for arguments, why in (
        (("nowhere", CASE, "0"), "nowhere: no such run"),
        (("last:0", CASE, "0"), "write last:N with the number of runs"),
        (("latest", "claude", "0"), f"has no case named 'claude'; choose one of: {CASE}"),
        (("latest", CASE, "6"), "EPISODE must be 0 to 5, solved or unsolved; got '6'"),
        (("latest", CASE, "x"), "got 'x'"),
        (("latest", CASE, "0", "--interactive"), "--interactive needs a terminal"),
        (
            (other, CASE, "0"),
            "private seed with the digest 0123456789abcdef, and this machine has none: set PROCTOR_SEED",
        ),
        ((str(old.path.parent), CASE, "0"), "actions.bin does not exist: this case was graded by an older version"),
        (
            (str(old.path.parent), CASE, "solved"),
            "actions.bin does not exist: this case was graded by an older version",
        ),
        ((ungraded, CASE, "0"), f"{CASE} was not graded (unavailable), so it has no episodes"),
    ):
        status, out, err = replay(*arguments)
        assert (status, out) == (2, "")
        assert why in err


def test_the_steps_are_shown_in_a_terminal_by_keys(case: CaseFolder, project: Project) -> None:
    unsolved = str(first(case, "unsolved").index)
    command = [sys.executable, "-m", "harness", "replay", "latest", CASE, unsolved, "--interactive"]
    master, slave = pty.openpty()
    with subprocess.Popen(command, env=project.variables, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        for key, awaited in (
            (b"n", b"step 0 of 8"),
            (b"\x1b[C", b"step 1 of 8"),
            (b"p", b"step 2 of 8"),
            (b"q", b"step 1"),
        ):
            shown = read_until(master, awaited, b"q: quit")
            os.write(master, key)
        read_until(master, b"The replay is equal: 8 rewards and 9 observations.")
        assert process.wait() == 0
    os.close(master)
    assert b"action 0   reward -1" in shown
    assert b'observation {"agent": [0, ' in shown
    assert "▀".encode() in shown


def read_until(descriptor: int, *awaited: bytes) -> bytes:
    """Return what comes until all of this has come, in this order."""
    seen, rest = b"", list(awaited)
    while rest:
        seen += os.read(descriptor, 1 << 16)
        while rest and rest[0] in seen:
            rest.pop(0)
    return seen


def test_the_seeds_of_a_real_model_need_the_key_that_it_was_graded_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SEED)
    key = private_key()
    assert key is not None
    seeds = episode_seeds(key, "maze", 20, salt=4)
    graded = record("claude", "maze", 1, solved=20, seed_key=key.digest, seeds_digest=digest(key, seeds))
    assert past_seeds(graded, [0, 4]) == seeds
    with pytest.raises(PastUnknown, match=r"others than those of evaluation\.seed=0, 1: the run does not tell"):
        past_seeds(graded, [0, 1])
    monkeypatch.setenv(VARIABLE, SEED[::-1])
    with pytest.raises(PastUnknown, match=f"{key.digest}, and PROCTOR_SEED holds another one, with the digest") as told:
        past_seeds(graded, [0, 4])
    assert SEED not in str(told.value)


def test_an_environment_is_made_as_the_run_tells_else_as_the_project_does() -> None:
    graded = record("claude", "maze", 1, solved=20, environment_arguments={"size": 5}, solved_when="return >= 1")
    now = {"maze": EnvironmentConf("maze", "maze", {"size": 9}, 7, call_s=3.0)}
    told = Begun(configuration={"environment.maze.kind": "mylab:Door", "environment.maze.interpreter": "sha256:cut"})
    expected = EnvironmentConf("maze", "maze", {"size": 5}, 100, solved_when="return >= 1", call_s=3.0)
    assert past_environment(graded, None, now) == expected
    assert past_environment(graded, told, now) == msgspec.structs.replace(expected, kind="mylab:Door")
    assert past_environment(graded, told, {}).kind == "mylab:Door"
    with pytest.raises(PastUnknown, match=r"and there is no conf/environment/maze.yaml"):
        past_environment(graded, None, {})
