"""SIGTERM, SIGHUP and the end of the main process stop a session as Ctrl-C does.

This is installed only in a session that runs cases. In every other session, these signals do what they always do.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest

from harness.endings import Terminated, explain
from harness.servers.stop import sweep_after_exit
from harness.stash import POOL
from harness.worker_link import GONE, StopMessage, hang_up, heed, tell_workers, wait_for_workers

_LAST_S = 0.5
"""How many seconds a worker may take to end after its main process."""

_TEARDOWN_S = 10.0
"""How many seconds a worker may take for its teardown, beside the agent's grace period."""

_SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""The signals that stop a session, each with the handler that is replaced. Any other handler is someone's choice."""


class StopSignals:
    """The hooks that let signals stop a session. Making one installs the handlers, and `restore` removes them.

    A stop has a level: 1 lets the agent end by itself, and 2 does not. Each signal counts, and `ask` asks for a level.
    When the level rises, the main thread gets an exception: `KeyboardInterrupt` for SIGINT, and `Terminated` otherwise.
    So a worker may get the same signal as the main process and then hear of it, and yet stop only once.
    """

    def __init__(self) -> None:
        self._first: signal.Signals | None = None
        self._lets_pass = False
        self._level = self._signals = 0
        self._asked: list[tuple[int, Terminated]] = []
        self._before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number, usual in _SIGNALS.items():
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._stop)

    def ask(self, why: str, *, at_once: bool = False) -> None:
        """Ask for level 1, or for level 2 if the session is to stop `at_once`. Any thread may call this."""
        carrier = next(
            (number for number in _SIGNALS if number in self._before), None
        )  # a background job has no SIGINT
        if carrier is not None:
            self._asked.append((1 + at_once, Terminated(why, at_once=at_once)))
            signal.pthread_kill(threading.main_thread().ident or 0, carrier)

    def restore(self) -> None:
        """Give the signals back the handlers that they had."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Set the exit status that a shell gives to a process that the signal has killed: 143 for SIGTERM.

        One signal that comes meanwhile raises nothing, because an exception here would cost the records and the table.
        """
        self._lets_pass = True
        yield
        if self._first in {signal.SIGTERM, signal.SIGHUP}:
            session.exitstatus = 128 + self._first

    def pytest_unconfigure(self) -> None:
        """Let the signals end the process."""
        self.restore()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        __tracebackhide__ = True  # pytest then shows the line that was interrupted
        if self._asked:
            level, asked = self._asked.pop()
            self._asked.clear()
            self._rise(level, asked)
            return
        self._first = self._first or signal.Signals(number)
        if self._lets_pass:
            self._lets_pass = False
            return
        self._signals += 1
        by_user = number == signal.SIGINT
        name = signal.Signals(number).name
        self._rise(self._signals, KeyboardInterrupt() if by_user else Terminated(f"interrupted by {name}"))

    def _rise(self, level: int, error: KeyboardInterrupt) -> None:
        __tracebackhide__ = True
        if level > self._level:
            self._level = level
            raise error


class StopWorkers:
    """The hook that ends the sessions of xdist's workers before the main process ends its own.

    xdist alone kills a worker after ten seconds, and interrupts it after five. `grace_s` is the longest time that an
    agent has to end.
    """

    def __init__(self, config: pytest.Config, grace_s: float) -> None:
        self._config = config
        self._seconds = 2 * grace_s + _TEARDOWN_S  # the agent may first report what it has been answered

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Stop the workers, and wait for them. A second signal cuts the agents' grace periods short."""
        why = explain(excinfo.value)[1]
        for at_once in (False, True):
            try:
                tell_workers(self._config, StopMessage(why, at_once))
                wait_for_workers(self._config, self._seconds)
            except KeyboardInterrupt:
                continue
            return


class HeedMain:
    """The hook that lets the main process stop the session of this worker."""

    def __init__(self, config: pytest.Config, signals: StopSignals) -> None:
        self._config = config
        self._signals = signals
        self._main = os.getppid()
        self._over = False
        heed(config, self._heard)

    @pytest.hookimpl(wrapper=True, trylast=True)  # after the teardown of fixtures
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Stop heeding. From now on, the main process may end before this worker."""
        ended_well = False
        try:
            yield
            ended_well = True
        finally:
            self._over = True
            self._signals.restore()
            if not ended_well:  # pytest now skips `pytest_unconfigure`
                hang_up(self._config)

    def pytest_unconfigure(self) -> None:
        """Tell the main process that this session is over."""
        hang_up(self._config)

    def _heard(self, stop: StopMessage) -> None:
        if self._over:
            return
        if stop == GONE:
            last = threading.Timer(_LAST_S, self._end)
            last.daemon = True
            last.start()
        self._signals.ask(stop.why, at_once=stop.at_once)

    def _end(self) -> None:
        if os.getppid() != self._main:
            if POOL in self._config.stash:
                sweep_after_exit()
            os._exit(1)
