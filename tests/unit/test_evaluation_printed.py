"""What a submission prints while it is graded: it is kept with its episode, bounded, and costs the grading little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import SandboxConf
from harness.case_folder import CaseFolder
from harness.evaluation.playing import Episode
from harness.evaluation.printed import HEAD_BYTES, LOG_BYTES, TAIL_BYTES, OutputPipe, PolicyLog, Printed
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from harness.sandbox.bubblewrap import BubblewrapSandbox
from tests.support.hosted import hosted_maze

KEPT = HEAD_BYTES + TAIL_BYTES


@given(st.lists(st.integers(0, KEPT), max_size=5))
def test_the_beginning_and_the_end_of_the_output_are_kept(sizes: list[int]) -> None:
    whole = bytes(ord("a") + number % 26 for number in range(sum(sizes)))
    printed = Printed()
    begin = 0
    for size in sizes:
        printed.add(whole[begin : begin + size])
        begin += size
    text = printed.take()
    if len(whole) <= KEPT:
        assert text == whole.decode()
    else:
        note = f"\n[... {len(whole) - KEPT} bytes are left out ...]\n"
        assert text == whole[:HEAD_BYTES].decode() + note + whole[-TAIL_BYTES:].decode()
    assert printed.take() == "", "it was taken"


@given(st.binary(max_size=200))
def test_no_output_can_do_anything_to_a_terminal(data: bytes) -> None:
    printed = Printed()
    printed.add(b"\x1b[2J\r50%\r\n" + data)
    assert all(character.isprintable() or character in "\n\t" for character in printed.take())


@settings(max_examples=20, deadline=None)  # each example writes up to a megabyte
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=50), max_size=5), st.integers(0, 3))
def test_a_log_is_bounded_and_says_so(tmp_path_factory: pytest.TempPathFactory, texts: list[str], long: int) -> None:
    path = tmp_path_factory.mktemp("log") / "policy.log"
    log = PolicyLog(path)
    for text in [*texts, *["x" * 600_000] * long, "last"]:
        log.add("episode 1: solved", text)
    written = path.read_text()
    assert len(written.encode()) <= LOG_BYTES + 100
    assert written.endswith("--- cut: this file holds 1000000 bytes ---\n" if long > 1 else "  last\n")


def test_reading_the_output_never_waits(tmp_path: Path) -> None:
    printed = Printed()
    pipe = OutputPipe(tmp_path / "output", printed)
    assert pipe.read() == 0
    with pipe.path.open("wb", buffering=0) as theirs:
        theirs.write(b"hello")
        assert pipe.read() == 5
        theirs.write(b" world")
    pipe.catch_up()
    pipe.close()
    assert printed.take() == "hello world"


Play = Callable[..., tuple[list[Episode], str]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Grade a policy whose `act` has this body in the real sandbox. Return its episodes and its log."""

    def play(body: str, *, head: str = "", episodes: int = 2, wall_s: float = 20.0) -> tuple[list[Episode], str]:
        program = f"""\
import os, subprocess, sys, time
{head}
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        pass

    def reset(self, state, info):
        with open("episodes", "a+b") as file:  # a policy itself does not remember the episodes before
            self.episode = file.tell()
            file.write(b".")

    def get_action(self, state):
{indent(dedent(body), " " * 8)}
        return 0
"""
        (tmp_path / "workspace").mkdir()
        (tmp_path / "workspace/approach.py").write_text(program)
        log = tmp_path / "policy.log"
        with hosted_maze(3, 3, max_steps=1) as maze:
            _score, played = evaluate(
                maze,
                collect(tmp_path / "workspace", tmp_path / "submission"),
                BubblewrapSandbox(SandboxConf("bubblewrap", "bubblewrap")),
                conf=EvaluationConf(episodes=episodes, episode_wall_s=wall_s, side_by_side=1),
                seeds=range(episodes),
                scratch=tmp_path / "scratch",
                files=CaseFolder(tmp_path),
                log=PolicyLog(log),
                progress=lambda done, scheduled: None,
            )
        return played, log.read_text() if log.exists() else ""

    return play


def test_the_log_tells_the_episodes_apart(play: Play) -> None:
    played, log = play(
        """
        if self.episode == 1:
            print("no end of line", end="")
            return 0
        print("--- episode 7: solved ---", file=sys.stderr)
        print("\\x1b[31mred\\udce4")
        subprocess.run(["sh", "-c", "echo from a child"])
        raise KeyError("nope")
        """,
        head='print("imported")',
        episodes=2,
    )
    first = "imported\n--- episode 7: solved ---\nred\\udce4\nfrom a child\n"
    assert log == (
        f"--- episode 0: crashed ---\n{indent(first, '  ')}--- episode 1: {played[1].outcome} ---\n  no end of line\n"
    )


def test_a_policy_that_prints_nothing_leaves_no_log(play: Play) -> None:
    assert play("pass")[1] == ""


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("print('before the crash'); os._exit(3)", "episode 0: crashed"),
        ("print('before the crash'); os.kill(os.getpid(), 11)", "episode 0: crashed"),
        ("print('before the crash')\nwhile True: pass", "episode 0: timed_out"),
    ],
    ids=["exit", "signal", "hangs"],
)
def test_what_was_printed_before_the_process_died_is_kept(play: Play, body: str, title: str) -> None:
    _, log = play(body, episodes=1, wall_s=1.0)
    assert log == f"--- {title} ---\n  before the crash\n"


def test_output_that_never_ends_neither_stops_the_grading_nor_fills_the_disk(play: Play) -> None:
    played, log = play(
        """
        if self.episode == 0:
            subprocess.Popen(["sh", "-c", "exec yes"])
        print("x" * 10_000_000)
        """,
        episodes=4,
    )
    assert {episode.error for episode in played} == {None}
    assert log.count("bytes are left out") == 4
    assert len(log) < 4 * (2 * KEPT + 200), "two spaces stand before each line, even of one character"


def test_a_policy_may_flood_its_output_and_then_close_it(play: Play) -> None:
    played, _ = play(
        """
        for _ in range(100):
            print(FLOOD)
            print(FLOOD, file=sys.__stderr__)
        sys.stdout = sys.__stderr__ = None
        os.closerange(0, 3)
        """,
        head='FLOOD = "x" * 1_000_000',
    )
    assert {episode.error for episode in played} == {None}
