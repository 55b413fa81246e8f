"""Serves one environment on a socket, in the environment's own process.

A request is plain data: `{"do": NAME, "with": [ARGUMENT, …]}`. NAME is `make`, a method of `Environment`, or `run`.
`run` calls one of Proctor's own functions, by its import path, with the environment, the descriptors of this process
and keywords. The answer is one of these:

| answer | means |
|---|---|
| `{"done": …}` | what the call returned |
| `{"refused": KIND, "text": …}` | the caller's mistake: KIND is `InvalidAction`, `ValueError` or `PackageMissing` |
| `{"failed": …, "trace": …}` | the environment's own fault: the error, and its traceback |

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

import math
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.environments import plain
from harness.environments.arguments import Described, DesignCounts
from harness.environments.base import Environment, InvalidAction, Plain
from harness.environments.channel import Channel
from harness.environments.fidelity import fidelity_of
from harness.environments.making import make
from harness.imports import PackageMissing, load_object

_TRACE_FRAMES = 4
_OURS = str(Path(plain.__file__).parents[1])
"""The folder of our own code, which a traceback of somebody else's need not show."""
_LONGEST_TEXT = 20_000
_MAY_REFUSE = frozenset({"make", "set_state"})
"""The calls whose `ValueError` says that the caller is wrong. In any other, it is a fault of the environment."""


def serve(connection: socket.socket, descriptors: Sequence[int]) -> None:
    """Answer requests until the other side closes the connection."""
    channel = Channel(connection.fileno(), connection.fileno(), plain.MAX_BYTES)
    served = _Served(descriptors)
    while True:
        try:
            request = plain.loads(channel.receive(math.inf))
        except ConnectionError:
            served.close()
            return
        answer = _answer(served, request["do"], request["with"])
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the environment may have closed it
                stream.flush()
        channel.send(answer, math.inf)


class _Served:
    """The environment, and what can be asked of it."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = tuple(descriptors)
        self._environment: Environment | None = None
        self._calls: dict[str, Callable[..., Plain]] = {
            "make": self._make,
            "run": self._run,
            "action": self._check,
            "step": self._step,
        }

    def call(self, do: str, arguments: list[Plain]) -> Plain:
        """Return what a request asks for. Raise what the environment raises."""
        call: Callable[..., Plain] = self._calls[do] if do in self._calls else getattr(self._now, do)
        return call(*arguments)

    def close(self) -> None:
        """Let the environment free what it holds."""
        if self._environment is not None:
            self._environment.close()

    @property
    def _now(self) -> Environment:
        if self._environment is None:
            raise RuntimeError("there is no environment yet")
        return self._environment

    def _make(self, path: str, *facts: Any) -> dict[str, Plain]:
        described = Described(*facts)
        if described.counts is not None:  # a list, as plain data
            described = described._replace(counts=DesignCounts(*described.counts))
        self._environment = environment = make(described, path)
        return {"max_steps": environment.max_steps, "state_fidelity": fidelity_of(environment)}

    def _check(self, action: Plain) -> None:
        self._now.action(action)

    def _step(self, action: Plain) -> Plain:
        step = self._now.step(self._now.action(action))
        info = {str(key): value for key, value in step.info.items() if plain.is_plain(value)}
        return [step.observation, float(step.reward), bool(step.terminated), bool(step.truncated), info]

    def _run(self, function: str, keywords: dict[str, Any]) -> Plain:
        return load_object(function)(self._now, self._descriptors, **keywords)


def _answer(served: _Served, do: str, arguments: list[Plain]) -> bytes:
    try:
        result = served.call(do, arguments)
    except InvalidAction as error:
        return plain.dumps({"refused": "InvalidAction", "text": str(error)})
    except PackageMissing as error:
        return plain.dumps({"refused": "PackageMissing", "text": str(error)})
    except BaseException as error:  # also SystemExit: the environment raised it
        if isinstance(error, ValueError) and do in _MAY_REFUSE:
            return plain.dumps({"refused": "ValueError", "text": str(error)})
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)] or frames
        trace = "".join(traceback.format_list(theirs[-_TRACE_FRAMES:]))
        place = f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})"
        text = f"{type(error).__name__}: {error}".removesuffix(": ") + place
        return plain.dumps({"failed": text[:_LONGEST_TEXT], "trace": trace[-_LONGEST_TEXT:]})
    try:
        return plain.dumps({"done": result})
    except ValueError as error:
        return plain.dumps({"failed": f"it returned data that cannot be sent: {error}", "trace": ""})
