"""One client of a black box: a connection from the agent's box, and an environment in a process of its own.

A request is plain data: `{"do": NAME, "with": [ARGUMENT, …]}`. NAME is `make`, which comes first, or one of `reset`,
`step`, `render`, `get_state` and `set_state`; or it is `primitive`, which needs no `make`. The answer is
`{"done": …}`, or `{"error": KIND, "text": …}`. KIND is `ActionRefused` or `WorldError`. The text tells nothing of the
environment's source.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from harness.environments import plain
from harness.environments.base import InvalidAction, Plain
from harness.environments.channel import Channel
from harness.environments.hosted import HostedEnvironment, HostedProcess
from harness.environments.hosts import EnvironmentFailed
from harness.environments.scrubbing import scrubbed
from harness.evaluation.private_world import PrivateWorld
from harness.mcp.states import absurd, outside
from harness.mcp.tools import ToolFault, check_seed, check_seeds_in
from harness.telemetry import WorldUse

MAX_REQUEST = 512 * 1024
"""The most bytes that a request may have. The largest thing in one is a state."""
MAX_CALLS_PER_S = 2_000
"""How many calls a second all clients of a session may make together. Further ones wait."""
STEP_S = 8.0
"""Seconds that a step, or reading or setting a state, may take, if the environment's `call_s` is not shorter."""
_SEND_S = 60.0
_QUICK = {"step", "get_state", "set_state"}


class WorldEnded(Exception):
    """The environment's process is gone. The message is for the agent."""


class _Closed(Exception):
    """The session is over."""


class Pace:
    """Makes the calls of all clients wait, so that they do not take the harness's processor for themselves."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap, self._clock = 1.0 / per_second, clock
        self._next = 0.0
        self._turn = threading.Lock()

    def wait_s(self) -> float:
        """Return how many seconds the next call must wait. Calls that come together after a pause need not wait."""
        with self._turn:
            now = self._clock()
            self._next = max(self._next, now - 0.1) + self._gap
            return max(0.0, self._next - now)


class Hosting(NamedTuple):
    """What all clients of a session share.

    `closed` says that the session is over. `fail` is told when the environment does not work, whatever the agent did.
    `alone` says whether there is only one client. If `plays` is false, clients can call primitives only.
    """

    environment: HostedEnvironment
    use: WorldUse
    pace: Pace
    closed: threading.Event
    fail: Callable[[str], None]
    alone: Callable[[], bool]
    plays: bool = True


class Visit:
    """The conversation with one client. `serve` returns when it is over."""

    def __init__(self, host: Hosting, connection: socket.socket) -> None:
        self._environment, self._connection = host.environment, connection
        self._use, self._pace, self._closed, self._fail = host.use, host.pace, host.closed, host.fail
        self._alone = host.alone
        self._world = PrivateWorld(host.environment)
        self._process: HostedProcess | None = None
        self._space: Plain = None
        self._invented = False
        self._calls: dict[str, Callable[..., Plain]] = {
            "make": self._make,
            "reset": self._reset,
            "step": self._step,
            "render": self._render,
            "get_state": self._get_state,
            "set_state": self._set_state,
            "primitive": self._primitive,
        }
        if not host.plays:
            self._calls = {"primitive": self._primitive}

    def serve(self) -> None:
        """Answer requests until the client hangs up, sends nonsense, or the session is over."""
        channel = Channel(self._connection.fileno(), self._connection.fileno(), MAX_REQUEST, self._idle)
        with suppress(OSError, ValueError, _Closed):
            while True:
                request = plain.loads(channel.receive(math.inf), MAX_REQUEST)
                self._closed.wait(self._pace.wait_s())
                answer, goes_on = self._answer(request)
                channel.send(plain.dumps(answer), time.monotonic() + _SEND_S)
                if not goes_on:
                    return

    def close(self) -> None:
        """Hang up, and end the environment's process."""
        self._connection.close()
        self._world.close()
        if self._process is not None:
            self._process.close()

    def _answer(self, request: Plain) -> tuple[dict[str, Plain], bool]:
        """Return the answer to a request, and whether another may follow."""
        goes_on, kind = True, "WorldError"
        try:
            with self._use.working():
                return {"done": self._call(request)}, True
        except InvalidAction as error:
            kind, text = "ActionRefused", scrubbed(str(error))
        except (ToolFault, ValueError, TypeError) as error:
            text = scrubbed(str(error))
        except WorldEnded as error:
            text, goes_on = str(error), False
        except EnvironmentFailed as error:
            text = error.brief
        self._use.count("errors")
        return {"error": kind, "text": text}, goes_on

    def _call(self, request: Plain) -> Plain:
        match request:
            case {"do": str(do), "with": list(arguments)} if do in self._calls:
                return self._calls[do](*arguments)
        raise ToolFault(f"a request is a dict with do and with; do is one of: {', '.join(self._calls)}")

    def _make(self) -> Plain:
        if self._process is not None:
            raise ToolFault("this client has made its environment already")
        self._use.count("clients")
        try:
            self._process = self._environment.another()
        except (EnvironmentFailed, ValueError) as error:
            why = error.brief if isinstance(error, EnvironmentFailed) else "the environment cannot be made any more"
            if self._alone():  # several may be more than this machine has memory for
                self._fail(why)
            raise WorldEnded(why) from error
        spaces = self._ask("spaces")
        self._space = spaces.get("observation_space")
        return {"max_steps": self._process.max_steps, "spaces": spaces}

    def _reset(self, seed: Plain) -> Plain:
        check_seed(seed)
        began = self._ask("reset", seed)
        self._use.reset(int(seed))
        return began

    def _step(self, action: Plain) -> Plain:
        outcome = self._ask("step", action)
        self._use.count("steps")
        return outcome

    def _render(self) -> Plain:
        picture = self._ask("render")
        self._use.count("renders")
        return picture

    def _get_state(self) -> Plain:
        self._use.count("states")
        return self._ask("get_state")

    def _set_state(self, state: Plain) -> None:
        self._use.count("states")
        check_seeds_in(state)
        if why := absurd(state) or outside(self._space, state):
            raise ToolFault(f"bad state: {why}")
        self._invented = True
        self._ask("set_state", state)

    def _primitive(self, name: str, arguments: list[Plain]) -> Plain:
        self._use.count("primitives")
        check_seeds_in(arguments)
        answer = self._world.answer(name, arguments, time.monotonic() + self._environment.call_s)
        if "error" in answer:
            raise ToolFault(str(answer["error"]))
        return answer["done"]

    def _ask(self, do: str, *arguments: Plain) -> Any:
        """Return the answer of the environment.

        Raise `WorldEnded` if its process has ended. The session then ends, unless the agent has set a state.
        """
        if self._process is None:
            raise ToolFault("make comes first")
        limit = min(STEP_S, self._environment.call_s) if do in _QUICK else None
        try:
            return self._process.ask(do, *arguments, limit=limit, look=self._look)
        except EnvironmentFailed as error:
            if self._process.alive:
                raise
            if not self._invented:
                self._fail(error.brief)
            raise WorldEnded(f"{error.brief}; make another one") from error

    def _look(self) -> None:
        if self._closed.is_set():
            raise _Closed

    def _idle(self) -> None:
        """Notice between two requests that the environment's process has ended."""
        self._look()
        how = self._process.died() if self._process is not None else None
        if how is not None and not self._invented:
            self._fail(how)
