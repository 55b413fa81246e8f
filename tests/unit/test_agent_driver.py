"""The driver on a fake clock: what it writes and reads, Ctrl-C, and processes that outlive the command."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from backends import events as ev
from backends.session import Session
from harness.agent.driver import Progress, SessionOutcome, drive
from harness.agent.watchdog import Snapshot, hangs, spent
from harness.case import Limits
from harness.endings import Ending, Terminated
from harness.gateway.ledger import Metered, RequestFailure
from tests.support.fakes import FakeBox, FakeClock, FakeTraffic, fake_backend

LIMITS = Limits(grace_s=3, idle_s=20)
LIBC = ctypes.CDLL(None)


class Stage:
    """A session in a fake box, and the result of `drive`."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.box = FakeBox(self.clock)
        self.traffic = FakeTraffic()
        self.stream = folder / "stream.jsonl"
        self.shown: list[Progress] = []

    def drive(self, on_wait: Callable[[], None], limits: Limits = LIMITS, stderr: Path | None = None) -> SessionOutcome:
        self.clock.on_wait = on_wait
        return drive(
            self.box,
            fake_backend(),
            prompt="prompt",
            limits=limits,
            traffic=self.traffic,
            stream=self.stream,
            progress=self.shown.append,
            stderr=stderr,
            clock=self.clock,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_stream_is_kept_byte_for_byte_and_read(stage: Stage) -> None:
    pieces = iter([b"call\ntu", b"rn\n\xff\x00\nfinal"])

    def on_wait() -> None:
        piece = next(pieces, None)
        stage.box.exit(0) if piece is None else stage.box.write(piece)

    outcome = stage.drive(on_wait)
    assert stage.stream.read_bytes() == b"call\nturn\n\xff\x00\nfinal"
    assert (outcome.session.turns, outcome.session.finished) == (2, True)
    assert (outcome.exit_code, outcome.stop, outcome.term_s) == (0, None, 0.0)
    assert stage.box.closed == 1


def test_progress_counts_turns_that_only_the_gateway_knows(stage: Stage) -> None:
    moves = iter(range(100))

    def on_wait() -> None:
        match next(moves):
            case 1:
                stage.traffic.totals = Metered(turns=2, output_tokens=70)
            case 2:
                stage.box.write(b"turn\nturn\ncall\n")
            case 3:
                stage.box.exit(0)

    stage.drive(on_wait)
    shown = [(one.turns, one.output_tokens, one.last_tool) for one in stage.shown]
    assert list(dict.fromkeys(shown)) == [(0, 0, ""), (2, 70, ""), (3, 70, "Bash")]


def test_ctrl_c_asks_the_cli_to_end_and_reads_its_last_words(stage: Stage) -> None:
    moves = iter(range(100))

    def on_wait() -> None:
        match next(moves):
            case 3:
                raise KeyboardInterrupt
            case 5:
                stage.box.write(b"final\n")

    outcome = stage.drive(on_wait)
    assert outcome.stop is not None
    assert outcome.stop.ending is Ending.INTERRUPTED
    assert outcome.session.finished
    assert outcome.term_s == pytest.approx(0.5, abs=0.2)
    assert stage.traffic.ended == ["interrupted"]


def test_a_second_ctrl_c_skips_the_grace_period_and_still_closes_the_box(stage: Stage) -> None:
    moves = iter(range(100))

    def on_wait() -> None:
        if next(moves) in {3, 4}:
            raise KeyboardInterrupt

    outcome = stage.drive(on_wait)
    assert stage.box.closed == 1
    assert outcome.stop == (Ending.INTERRUPTED, "interrupted by the user")
    assert outcome.seconds < 1


@pytest.mark.parametrize(
    ("raised", "stop", "term_s"),
    [
        (KeyboardInterrupt(), (Ending.INTERRUPTED, "interrupted by the user"), 0.5),
        (Terminated("interrupted by SIGTERM"), (Ending.INTERRUPTED, "interrupted by SIGTERM"), 0.5),
        (Terminated("the end", at_once=True), (Ending.INTERRUPTED, "the end"), 0.0),
        (
            pytest.fail.Exception("Timeout (>2.5s) from pytest-timeout."),
            (Ending.INTERRUPTED, "stopped by pytest-timeout after 2.5 s"),
            0.5,
        ),
        (OSError("no space"), (Ending.HARNESS_ERROR, "OSError: no space (test_agent_driver.py:NN)"), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_from_outside_ends_the_session_and_is_kept_with_its_outcome(
    stage: Stage, raised: BaseException, stop: tuple[Ending, str], term_s: float
) -> None:
    moves = iter(range(100))
    stage.box.write(b"turn\n")

    def on_wait() -> None:
        if next(moves) == 3:
            raise raised

    outcome = stage.drive(on_wait)
    assert outcome.raised is raised
    assert outcome.stop is not None
    assert (outcome.stop.ending, re.sub(r":\d+\)", ":NN)", outcome.stop.explanation)) == stop
    assert outcome.session.turns == 1
    assert outcome.term_s == pytest.approx(term_s, abs=0.2)
    assert stage.traffic.ended == [stop[0]]


def test_a_process_that_keeps_writing_after_the_command_ends_is_not_read_forever(stage: Stage) -> None:
    def on_wait() -> None:
        stage.box.exit(0)
        stage.clock.time += 0.01
        stage.box.write(b"noise\n")

    outcome = stage.drive(on_wait)
    assert stage.clock.time == pytest.approx(LIMITS.grace_s, abs=0.1)
    assert outcome.exit_code == 0


def test_a_limit_that_the_gateway_saw_exceeded_counts_even_if_the_cli_ends_by_itself(stage: Stage) -> None:
    def on_wait() -> None:
        stage.traffic.passed = "token_limit" if stage.box.poll() is not None else None
        stage.box.exit(1)

    outcome = stage.drive(on_wait)
    assert outcome.stop == (Ending.TOKEN_LIMIT, "all of the token_limit is used")
    assert stage.box.terminated == []


def test_the_cost_that_the_cli_reports_ends_no_session_because_it_may_be_invented() -> None:
    session, snapshot = Session(), Snapshot(now=1, began=0, last_output=0)
    session.add(ev.SessionFinished(cost_usd=2.0))
    limits = msgspec.structs.replace(LIMITS, cost_usd=1.0)
    assert spent(limits, FakeTraffic(), snapshot) is None


def test_a_provider_that_asks_to_wait_longer_than_the_idle_limit_is_believed_at_once() -> None:
    traffic, snapshot = FakeTraffic(), Snapshot(now=1, began=0, last_output=0)
    traffic.failures, traffic.last_failure = 1, RequestFailure(429, "slow down", 19.0)
    assert hangs(LIMITS, traffic, Session(), snapshot) is None
    traffic.last_failure = RequestFailure(429, "slow\n down", 20.0)
    stop = hangs(LIMITS, traffic, Session(), snapshot)
    assert stop is not None
    assert stop.ending is Ending.RATE_LIMITED
    assert stop.explanation.endswith("429 slow down")


def test_after_a_refusal_the_cli_may_still_report_earlier_answers(stage: Stage) -> None:
    """OpenCode's `step_finish` of the last answer may come after the request that is refused."""
    stage.traffic.passed, stage.traffic.totals = "turn_limit", Metered(turns=1)
    pieces = iter([b"", b"", b"turn\n"])
    outcome = stage.drive(lambda: stage.box.write(next(pieces, b"")))
    assert outcome.session.turns == 1
    assert 0 < stage.box.terminated[0] < LIMITS.grace_s


def test_a_cli_that_never_reports_an_answer_gets_no_more_than_the_grace_period(stage: Stage) -> None:
    stage.traffic.passed, stage.traffic.totals = "turn_limit", Metered(turns=1)
    outcome = stage.drive(lambda: None)
    assert stage.box.terminated == [pytest.approx(LIMITS.grace_s, abs=0.2)]
    assert (outcome.session.turns, outcome.stop and outcome.stop.ending) == (0, Ending.TURN_LIMIT)


# Output beyond its limit


def test_output_beyond_its_limit_ends_the_session_and_is_not_kept(stage: Stage) -> None:
    pieces = iter([b"x" * 60_000] * 12)
    outcome = stage.drive(lambda: stage.box.write(next(pieces, b"")), Limits(grace_s=3, output_mb=0.5))
    assert outcome.stop is not None
    assert outcome.stop.ending is Ending.OUTPUT_LIMIT
    assert stage.stream.stat().st_size == 500_000


@pytest.mark.parametrize("manner", ["appended", "sparse", "allocated"])
def test_a_file_of_standard_error_that_is_filled_ends_the_session_and_is_cut(
    stage: Stage, tmp_path: Path, manner: str
) -> None:
    """A program in the box opens `/proc/2/fd/2`, and fills the file behind it."""
    stderr = tmp_path / "stderr.log"

    def fill() -> None:
        with stderr.open("ab") as file:
            if manner == "appended":
                file.write(b"e" * 3_000_000)
            elif manner == "sparse":
                file.truncate(file.tell() + 3_000_000)
            else:
                keep_size, length = 1, 3_000_000
                LIBC.fallocate(file.fileno(), keep_size, ctypes.c_long(file.tell()), ctypes.c_long(length))

    outcome = stage.drive(fill, Limits(grace_s=3, output_mb=2), stderr=stderr)
    assert outcome.stop is not None
    assert outcome.stop.ending is Ending.OUTPUT_LIMIT
    assert stderr.stat().st_size <= 2_000_000
    assert stderr.stat().st_blocks * 512 <= 2_100_000


def test_ordinary_standard_error_is_left_as_it_is(stage: Stage, tmp_path: Path) -> None:
    stderr = tmp_path / "stderr.log"
    stderr.write_bytes(b"e" * 1_500_000)
    outcome = stage.drive(lambda: stage.box.exit(0), Limits(output_mb=2), stderr=stderr)
    assert (outcome.stop, stderr.stat().st_size) == (None, 1_500_000)
