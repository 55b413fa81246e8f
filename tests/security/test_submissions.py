"""Submissions that misbehave: each gets the grade in its test's table and harms nothing.

The maze is real, and the policy runs in the real sandbox. The good policy, which the bad ones borrow from, solves it.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import msgspec
import psutil
import pytest

from harness.case import SandboxConf
from harness.case_folder import CaseFolder
from harness.environments import plain
from harness.evaluation import policy as policy_module
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.seeds import episode_seeds
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf, Score
from harness.sandbox.base import BoxRequest, SandboxError
from harness.sandbox.box import SealedBox
from harness.sandbox.bubblewrap import BubblewrapSandbox
from harness.seed_key import PUBLIC
from tests.support.hosted import hosted_maze

GOOD = Path(__file__).with_name("good_policy.py").read_text()
HEAD = """\
import os, signal, socket, stat, subprocess, sys, time
import good

def pipes():  # to the harness: the one that brings requests, and then the one for answers, which is a socket
    numbers = (n for n in sorted(map(int, os.listdir("/proc/self/fd"))) if os.path.exists(f"/proc/self/fd/{n}"))
    return [n for n in numbers if stat.S_IFMT(os.fstat(n).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK)]

"""

Graded = tuple[Score, list[Episode]]
Grade = Callable[..., Graded]


class Watched(BubblewrapSandbox):
    """The real sandbox. It records each box that it opens."""

    def __init__(self) -> None:
        super().__init__(SandboxConf(name="bubblewrap", kind="bubblewrap"))
        self.opened = 0

    def open(self, request: BoxRequest) -> SealedBox:
        self.opened += 1
        return super().open(request)


@pytest.fixture
def sandbox() -> Watched:
    return Watched()


@pytest.fixture
def grade(tmp_path: Path, sandbox: Watched) -> Grade:
    """Grade an approach.py, with the good policy beside it as `good`. Check that nothing is left behind."""

    def grade(
        code: str, *, episodes: int = 2, wall_s: float = 20.0, side_by_side: int | None = None, **siblings: str
    ) -> Graded:
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        for name, text in {"approach": HEAD + dedent(code), "good": GOOD, **siblings}.items():
            (workspace / f"{name}.py").write_text(text)
        submission = collect(workspace, tmp_path / "submission")
        assert submission.reason is None
        before = contents(submission.path)
        told: list[tuple[int, int]] = []
        scratch = tmp_path / "scratch"
        with hosted_maze(3, 5, max_steps=20) as maze:
            running = psutil.Process().children(recursive=True)
            graded = evaluate(
                maze,
                submission,
                sandbox,
                conf=EvaluationConf(episodes=episodes, episode_wall_s=wall_s, side_by_side=side_by_side),
                seeds=episode_seeds(PUBLIC, "small_maze", episodes),
                scratch=scratch,
                files=CaseFolder(tmp_path),
                log=PolicyLog(tmp_path / "policy.log"),
                progress=lambda done, scheduled: told.append((done, scheduled)),
            )
            assert psutil.Process().children(recursive=True) == running
        assert told == [(done + 1, episodes) for done in range(episodes)]
        assert contents(submission.path) == before
        assert list(scratch.iterdir()) == []
        lines = (tmp_path / "episodes.jsonl").read_bytes().splitlines()
        assert [msgspec.json.decode(line, type=Episode) for line in lines] == graded[1]
        return graded

    return grade


def contents(submission: Path) -> dict[Path, bytes]:
    """Return every file of the submission and of the harness that a policy can see in its sandbox."""
    harness = Path(policy_module.__file__).parent, Path(plain.__file__).parent
    return {file: file.read_bytes() for folder in (submission, *harness) for file in folder.iterdir() if file.is_file()}


def outcomes(graded: Graded) -> set[EpisodeOutcome]:
    return {episode.outcome for episode in graded[1]}


def errors(graded: Graded) -> str:
    return "\n".join(episode.error or "" for episode in graded[1])


def test_a_good_policy_solves_every_episode(grade: Grade) -> None:
    total, episodes = grade(GOOD, episodes=20)
    assert (total.solve_rate, total.solved, total.crashed, total.timed_out) == (1.0, 20, 0, 0)
    assert [episode.index for episode in episodes] == list(range(20))
    assert total.mean_steps is not None
    assert total.mean_reward == -total.mean_steps


def test_a_policy_that_only_goes_up_fails_unless_the_goal_is_above(grade: Grade) -> None:
    graded = grade(
        """
        class GeneratedApproach(good.GeneratedApproach):
            def get_action(self, state):
                return 0
        """,
        episodes=10,
    )
    assert outcomes(graded) <= {EpisodeOutcome.SOLVED, EpisodeOutcome.UNSOLVED}
    assert graded[0].solve_rate < 0.5
    assert {episode.steps for episode in graded[1] if episode.outcome is EpisodeOutcome.UNSOLVED} == {20}
    assert errors(graded) == "\n" * 9


def test_it_receives_real_spaces_and_a_state_that_reads_by_key_and_by_attribute(grade: Grade) -> None:
    total, _ = grade("""
        from gymnasium import spaces

        class GeneratedApproach(good.GeneratedApproach):
            def reset(self, state, info):
                assert self.action_space == spaces.Discrete(4), self.action_space
                assert isinstance(self.observation_space, spaces.Dict)
                assert info == {} and state["agent"] == list(state.agent) and {state["agent"]: 1}
                assert state["obstacles"] == [list(cell) for cell in sorted(state.obstacles)]
    """)
    assert total.solve_rate == 1.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 / 0", "line 8, in <module>\n    1 / 0\n    ~~^~~\nZeroDivisionError: division by zero"),
        ("class GeneratedApproach(:", "SyntaxError: invalid syntax"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1", "approach.py has no class GeneratedApproach, and no other class with reset and get_action"),
        ("class GeneratedApproach: pass", "TypeError: GeneratedApproach() takes no arguments"),
        ("sys.exit('\\x1b[2Jbye')", "SystemExit: bye"),
        ("os._exit(7)", "the policy's process ended (exit code 7)"),
    ],
    ids=["raises", "syntax", "import", "no-class", "constructor", "sys.exit", "os._exit"],
)
def test_a_policy_that_cannot_be_loaded_crashes_every_episode_after_one_attempt(
    grade: Grade, sandbox: Watched, code: str, reason: str
) -> None:
    graded = grade(code, episodes=20)
    assert graded[0].crashed == 20
    assert graded[0].mean_steps is None
    assert all(reason in (episode.error or "") for episode in graded[1])
    assert all((episode.error or "").startswith("approach.py cannot be loaded: ") for episode in graded[1])
    assert "policy_worker" not in errors(graded)
    assert "\x1b" not in errors(graded)
    assert sandbox.opened == 1


def test_an_endless_import_is_given_up_at_once(grade: Grade) -> None:
    total, episodes = grade("while True: pass", episodes=20, wall_s=1.0)
    assert (total.timed_out, total.solve_rate) == (20, 0.0)
    assert episodes[19].error == "approach.py cannot be loaded: no answer to 'load' within 1 s"


def test_the_rest_is_not_attempted_after_three_timeouts_in_a_row(grade: Grade) -> None:
    total, episodes = grade(
        """
        class GeneratedApproach(good.GeneratedApproach):
            def get_action(self, state):
                while True: pass
        """,
        episodes=20,
        wall_s=1.0,
    )
    assert total.timed_out == 20
    assert [episode.seconds > 0 for episode in episodes] == [True] * 3 + [False] * 17
    assert (episodes[0].error or "").startswith("over the episode's limit of 1 s: no answer to 'act' within")
    assert episodes[3].error == "not attempted after 3 timeouts in a row"


BAD_ACTIONS = [
    *("None", "float('nan')", "float('-inf')", "1.5", "-1", "4", "10 ** 30", "10 ** 5000", "True", "1j"),
    *("'up'", "b'1'", "'\\ud800'", "[1]", "[[0, 1]]", "{}", "{1: 2}", "{'__array__': ['int8', [9], '']}"),
    *("set()", "object()", "lambda: 0", "print", "nested(10_000)", "cyclic()"),
    *("np.array([[1]])", "np.array(np.nan)", "np.array([None])"),
    *("np.zeros(10 ** 6)", "[0] * 10 ** 6", "'x' * 10 ** 8"),
]


def test_a_value_that_is_not_an_action_is_an_invalid_action(grade: Grade) -> None:
    graded = grade(
        f"""
        import numpy as np

        def nested(depth):
            found = []
            for _ in range(depth):
                found = [found]
            return found

        def cyclic():
            found = []
            found.append(found)
            return found

        ACTIONS = iter([{", ".join(f"lambda: {action}" for action in BAD_ACTIONS)}])

        class GeneratedApproach(good.GeneratedApproach):
            def get_action(self, state):
                return next(ACTIONS)()
        """,
        episodes=len(BAD_ACTIONS),
    )
    strange = {action: e for action, e in zip(BAD_ACTIONS, graded[1], strict=True) if e.outcome != "invalid_action"}
    assert strange == {}
    assert graded[0].crashed == len(BAD_ACTIONS)
    assert all(episode.error and len(episode.error) < 500 for episode in graded[1])


def test_an_exception_in_an_episode_crashes_only_that_episode(grade: Grade, sandbox: Watched) -> None:
    total, episodes = grade("""
        class GeneratedApproach(good.GeneratedApproach):
            def reset(self, state, info):
                with open("episodes", "a+b") as file:  # a policy itself does not remember the episodes before
                    file.write(b".")
                    self.episode = file.tell()
                if self.episode == 1:
                    raise RuntimeError("in reset")

            def get_action(self, state):
                if self.episode == 2:
                    raise KeyboardInterrupt("in get_action")
                if self.episode == 3:
                    self.get_action(state)
                return super().get_action(state)
    """, episodes=4, side_by_side=1)  # fmt: skip
    assert (total.crashed, total.solved) == (3, 1)
    assert (episodes[0].error or "").endswith("RuntimeError: in reset")
    assert (episodes[1].error or "").endswith("KeyboardInterrupt: in get_action")
    assert "RecursionError" in (episodes[2].error or "")
    assert sandbox.opened == 1


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("os._exit(3)", "the policy's process ended (exit code 3)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the policy's process ended (killed by SIGKILL)"),
        ("os.fork() or time.sleep(3600); os._exit(4)", "the policy's process ended (exit code 4)"),
        ("send(b'\\xff' * 100)", "sent an invalid answer"),
        ("send(b'\\0\\0\\0\\3{]}')", "sent an invalid answer"),
        ("send(b'\\0\\0\\0\\2[]')", "sent an invalid answer"),
    ],
    ids=["os._exit", "killed", "child-holds-on", "huge-frame", "no-json", "no-object"],
)
def test_a_process_that_dies_or_talks_nonsense_is_replaced(grade: Grade, call: str, reason: str) -> None:
    total, episodes = grade(f"""
        def send(data):
            os.write(pipes()[-1], data)

        class GeneratedApproach(good.GeneratedApproach):
            def get_action(self, state):
                {call}
    """)
    assert total.crashed == 2
    assert all(reason in (episode.error or "") for episode in episodes)


BYTE_BY_BYTE = """
                os.write(pipes()[-1], (1000).to_bytes(4, "big"))
                while True:
                    os.write(pipes()[-1], b" ")
                    time.sleep(0.05)
"""
HANGS_UP = "[os.close(pipe) for pipe in pipes()]; time.sleep(3600)"


@pytest.mark.parametrize("call", [BYTE_BY_BYTE, HANGS_UP], ids=["byte-by-byte", "hangs-up"])
def test_an_answer_that_never_ends_is_a_timeout(grade: Grade, call: str) -> None:
    total, _ = grade(
        f"""
        class GeneratedApproach(good.GeneratedApproach):
            def get_action(self, state):
                {call.strip()}
        """,
        episodes=1,
        wall_s=1.0,
    )
    assert total.timed_out == 1


def test_children_and_threads_left_behind_die_with_the_policy(grade: Grade) -> None:
    mark = f"36{secrets.randbelow(10**9)}"
    total, _ = grade(f"""
        import threading

        class GeneratedApproach(good.GeneratedApproach):
            def reset(self, state, info):
                for _ in range(20):
                    subprocess.Popen(["sleep", "{mark}"], start_new_session=True)
                    threading.Thread(target=time.sleep, args=(3600,)).start()
    """)
    assert total.solve_rate == 1.0
    assert [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])] == []


def test_it_can_write_none_of_our_files_and_open_no_connection(grade: Grade) -> None:
    total, episodes = grade("""
        def refused(call):
            try:
                call()
            except OSError:
                return True
            return False

        class GeneratedApproach(good.GeneratedApproach):
            def reset(self, state, info):
                worker, _folder, *files = sys.argv
                folder = os.path.dirname(__file__)
                for file in (worker, *files, __file__, os.path.join(folder, "new.py"), os.__file__):
                    assert refused(lambda: open(file, "a")), file
                for path in (folder, os.path.dirname(worker)):
                    assert refused(lambda: os.rename(path, path + "-moved")), path
                assert refused(lambda: socket.create_connection(("192.0.2.1", 80), 1))
                os.makedirs("/".join(["deep"] * 50))
                os.chmod("deep", 0)
    """, episodes=1)  # fmt: skip
    assert (total.solve_rate, errors((total, episodes))) == (1.0, "")


def test_planted_modules_take_over_nothing(grade: Grade) -> None:
    shadow = "raise SystemExit('planted')\n"
    names = ("sitecustomize", "usercustomize", "conftest", "numpy", "gymnasium", "json", "policy_worker")
    total, episodes = grade(
        """
        import plain, spaces

        class GeneratedApproach(good.GeneratedApproach):
            def reset(self, state, info):
                assert plain.MINE and spaces.MINE
        """,
        plain="MINE = True",
        spaces="MINE = True",
        **dict.fromkeys(names, shadow),
    )
    assert (total.solve_rate, errors((total, episodes))) == (1.0, "\n")


def test_a_missing_submission_gets_a_score_with_the_reason_and_opens_no_sandbox(
    tmp_path: Path, sandbox: Watched
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "approach.py").symlink_to("/etc/passwd")
    with hosted_maze(3, 5, max_steps=20) as maze:
        total, episodes = evaluate(
            maze,
            collect(tmp_path / "workspace", tmp_path / "submission"),
            sandbox,
            conf=EvaluationConf(),
            seeds=[1, 2, 3],
            scratch=tmp_path / "scratch",
            files=CaseFolder(tmp_path),
            log=PolicyLog(tmp_path / "policy.log"),
            progress=lambda done, scheduled: None,
        )
    assert (total.solve_rate, total.episodes, total.reason) == (0.0, 3, "no submission: approach.py is a symlink")
    assert (total.mean_steps, episodes, (tmp_path / "episodes.jsonl").read_bytes()) == (None, [], b"")
    assert sandbox.opened == 0


@pytest.mark.parametrize("trouble", ["import no_such_package", "def build_space(plain): import no_such_package"])
def test_a_worker_that_cannot_start_is_an_error_of_the_harness(
    grade: Grade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "spaces.py").write_text(trouble)
    parts = policy_module._PARTS
    monkeypatch.setattr(policy_module, "_PARTS", (parts[0], tmp_path / "spaces.py", *parts[2:]))
    with pytest.raises(SandboxError, match=r"^[^\n]*No module named 'no_such_package'\n"):
        grade(GOOD)
