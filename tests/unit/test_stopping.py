"""Signals stop a session that runs cases. The first one lets the agent end by itself, the second one does not."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.endings import Terminated
from harness.stopping import HeedMain, StopSignals

USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Start from Python's own handlers, since this very session may run cases."""
    before = {number: signal.signal(number, cast(Any, handler)) for number, handler in USUAL.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    made = StopSignals()
    yield made
    made.restore()


def raised_by(act: Callable[[], None]) -> str | None:
    """Return what an act raises: its name and its text."""
    try:
        act()
    except KeyboardInterrupt as error:
        return f"{type(error).__name__}: {error}"
    return None


def sends(number: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


def exit_status(signals: StopSignals) -> int:
    session = SimpleNamespace(exitstatus=2)
    deque(signals.pytest_sessionfinish(cast(pytest.Session, session)))
    return int(session.exitstatus)


@pytest.mark.parametrize(
    ("number", "raised", "status"),
    [
        (signal.SIGINT, "KeyboardInterrupt: ", 2),
        (signal.SIGTERM, "Terminated: interrupted by SIGTERM", 143),
        (signal.SIGHUP, "Terminated: interrupted by SIGHUP", 129),
    ],
)
def test_each_signal_raises_every_time_and_the_first_one_decides_the_exit_status(
    signals: StopSignals, number: signal.Signals, raised: str, status: int
) -> None:
    assert raised_by(sends(number)) == raised
    assert raised_by(sends(number)) == raised
    assert raised_by(sends(signal.SIGINT)) == "KeyboardInterrupt: "
    assert exit_status(signals) == status


def test_one_signal_while_the_session_ends_costs_nothing_and_the_next_one_raises(signals: StopSignals) -> None:
    assert raised_by(sends(signal.SIGTERM)) == "Terminated: interrupted by SIGTERM"
    assert exit_status(signals) == 143
    assert raised_by(sends(signal.SIGTERM)) is None
    assert raised_by(sends(signal.SIGTERM)) == "Terminated: interrupted by SIGTERM"


def test_a_session_that_no_signal_stopped_keeps_its_exit_status(signals: StopSignals) -> None:
    assert exit_status(signals) == 2
    assert raised_by(sends(signal.SIGTERM)) is None
    assert exit_status(signals) == 143


def test_a_signal_and_the_word_of_the_main_process_about_it_stop_a_worker_once(signals: StopSignals) -> None:
    assert raised_by(sends(signal.SIGTERM)) == "Terminated: interrupted by SIGTERM"
    assert raised_by(lambda: signals.ask("interrupted by SIGTERM")) is None
    assert (
        raised_by(lambda: signals.ask("interrupted by SIGTERM", at_once=True)) == "Terminated: interrupted by SIGTERM"
    )
    assert raised_by(sends(signal.SIGTERM)) is None, "it is the second one, which the main process was faster to tell"


def test_what_the_main_process_asks_says_whether_the_agent_has_time(signals: StopSignals) -> None:
    for at_once in (False, True):
        with pytest.raises(Terminated, match="why") as raised:
            signals.ask("why", at_once=at_once)
        assert raised.value.at_once is at_once


def test_the_signals_of_others_are_left_alone() -> None:
    def mine(*_: object) -> None: ...

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGTERM, mine)
    signals = StopSignals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is mine
    signals.restore()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_worker_whose_session_ends_with_an_error_hangs_up_at_once(signals: StopSignals, ends_well: bool) -> None:
    closed: list[bool] = []
    channel = SimpleNamespace(setcallback=lambda *_, **__: None, close=lambda: closed.append(True))
    config = cast(pytest.Config, SimpleNamespace(workerinput={"proctor_channel": channel}))
    finish = HeedMain(config, signals).pytest_sessionfinish()
    next(finish)
    if ends_well:
        with pytest.raises(StopIteration):
            next(finish)
    else:
        with pytest.raises(KeyError):
            finish.throw(KeyError("of a fixture's teardown"))
    assert closed == ([] if ends_well else [True])
