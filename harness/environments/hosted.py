"""An environment in a process of its own, as the harness sees it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.environment_conf import EnvironmentConf
from harness.environments import plain
from harness.environments.arguments import Described
from harness.environments.base import InvalidAction, Plain, Step
from harness.environments.channel import Aside, Channel
from harness.environments.fidelity import Fidelity
from harness.environments.hosts import EnvironmentFailed, HostSpec, ended, forget, host_of
from harness.environments.keeping import Kept
from harness.environments.last_words import LastWords
from harness.environments.solved_when import doubt, parse_rule
from harness.imports import PackageMissing
from harness.primitives.granting import Granted, granted

_PREPARE = "harness.environments.counted:prepare"
_TRIES = 2
_DEATH_S = 2.0
_TRACE_S = 1.0
_LONGEST = plain.MAX_BYTES
_REFUSALS: dict[str, type[Exception]] = {
    "InvalidAction": InvalidAction,
    "ValueError": ValueError,
    "PackageMissing": PackageMissing,
}


class HostedProcess:
    """A process with one environment of this configuration.

    `others` are descriptors for the functions that `run` calls there. Making one starts the process and makes the
    environment. Raise `ValueError` for a mistake in the configuration, and `EnvironmentFailed`. `alive` is false after
    a failure that the process did not survive.
    """

    def __init__(self, conf: EnvironmentConf, described: Described, spec: HostSpec, others: Sequence[int] = ()) -> None:
        self._conf = conf
        self._said = LastWords()
        self._code: int | None = None
        self.alive = True
        try:
            memory = conf.memory_mb << 20
            host = host_of(spec, conf.start_s, memory)
            try:
                forked = host.fork(memory, self._said.writing, others)
            except OSError:  # the host itself was killed, as by the kernel when memory ran out
                forget(spec)
                host = host_of(spec, conf.start_s, memory)
                forked = host.fork(memory, self._said.writing, others)
        except OSError as error:
            brief = f"environment {conf.name} cannot start: {error}"
            raise EnvironmentFailed(self._said.told(brief), brief) from error
        finally:
            self._said.close_writing()
        self._host, self._pid, self._connection = host, forked.pid, forked.connection
        self._life = weakref.finalize(self, os.close, forked.life)
        self._socket = weakref.finalize(self, os.close, forked.connection)
        self._kept: Kept | None = None
        self._unkeep: Callable[[], object] = lambda: None
        try:
            self._kept = spec.keeping(forked.ward, memory, self._life)
            self._unkeep = weakref.finalize(self, self._kept.close)  # also for an environment that nobody closes
            made = self.ask("make", spec.adapter, *described, limit=conf.start_s)
            self.max_steps: int = made["max_steps"]
            self.state_fidelity: Fidelity = made["state_fidelity"]
        except BaseException:
            self.kill()
            raise

    def ask(
        self,
        do: str,
        *arguments: Plain,
        limit: float | None = None,
        doing: str = "",
        look: Callable[[], None] | None = None,
        asides: Sequence[Aside] = (),
    ) -> Any:
        """Return what the environment answers within `limit` seconds. Without a limit, that is `call_s`.

        `doing` says in messages what is done. `look` and `asides` are those of `Channel`. Raise `InvalidAction`,
        `ValueError`, `EnvironmentFailed`, or what `look` raises.
        """
        limit = self._conf.call_s if limit is None else limit
        doing = doing or f"{do}()"
        if not self.alive:
            brief = f"environment {self._conf.name}: its process has ended"
            raise EnvironmentFailed(brief, brief)
        message = plain.dumps({"do": do, "with": list(arguments)})
        deadline = time.monotonic() + limit
        try:
            channel = Channel(
                self._connection, self._connection, _LONGEST, partial(self._look, look), (self._said, *asides)
            )
            channel.send(message, deadline)
            answer = plain.loads(channel.receive(deadline))
            if not isinstance(answer, dict):
                raise ValueError("not a dict")
        except TimeoutError:
            self._freeze(f"{doing} did not end within {limit:g} s")
        except OSError:
            self._note_end(_DEATH_S)
            self._fail(f"{ended(self._code)} during {doing}")
        except ValueError as error:
            self._fail(f"{doing}: it sent an invalid answer: {error}")
        except BaseException:  # the answer to this question would be taken for that to the next
            self.kill()
            raise
        return self._answered(answer, doing)

    def prepare(self, count: int | None) -> None:
        """Make the environment with a number of objects now, which may take as long as its start.

        Raise `EnvironmentFailed`. Without a number, do nothing.
        """
        counts = self._conf.counts
        if counts is not None and count is not None:
            doing = f"making it with {counts.argument} = {count}"
            self.ask("run", _PREPARE, {"count": count}, limit=self._conf.start_s, doing=doing)

    def descriptor(self) -> int:
        """Return the descriptor of the connection to the process, for another process to use."""
        return self._connection

    def died(self) -> str | None:
        """Return how the process has ended by itself, in words, or `None` if it runs."""
        if not self.alive or not self._note_end(0):
            return None
        self.kill()
        return f"environment {self._conf.name}: {ended(self._code)}"

    def close(self) -> None:
        """Let the environment free what it holds, and end the process. It is killed if it does not end soon."""
        if self.alive:
            self.alive = False
            self._socket()
            self._note_end(_DEATH_S)
            self.kill()

    def kill(self) -> None:
        """Kill the process, with everything that descends from it. May be called again."""
        self.alive = False
        self._socket()
        self._life()
        self._unkeep()
        self._note_end(_DEATH_S)
        self._said.close()

    def _look(self, look: Callable[[], None] | None) -> None:
        """Call `look`. Raise `ConnectionError` if the process has ended. Its children may still hold the connection."""
        if look is not None:
            look()
        if self._note_end(0):
            raise ConnectionResetError("the process has ended")

    def _note_end(self, seconds: float) -> bool:
        """Wait for the process to end, and note its exit code. Return whether it has ended."""
        if self._code is None:
            self._code = self._host.wait(self._pid, seconds)
        return self._code is not None

    def _answered(self, answer: dict[str, Any], doing: str) -> Any:
        if "refused" in answer:
            raise _REFUSALS.get(str(answer["refused"]), ValueError)(str(answer.get("text")))
        if "failed" in answer:
            trace = str(answer.get("trace"))
            brief = f"environment {self._conf.name}: {doing} failed"
            raise EnvironmentFailed(self._said.told(f"{brief}: {answer['failed']}", trace), brief)
        return answer.get("done")

    def _freeze(self, what: str) -> NoReturn:
        """Let the process say where it is, and kill it."""
        with suppress(OSError):
            self._host.abort(self._pid)
            self._note_end(_TRACE_S)
        self._fail(what)

    def _fail(self, what: str) -> NoReturn:
        why = self._kept.exceeded() if self._kept is not None else None
        because = f": {why}" if why else ""
        brief = f"environment {self._conf.name}: {what}{because}"
        error = EnvironmentFailed(self._said.told(brief), brief)
        self.kill()
        raise error


class HostedEnvironment:
    """The environment of a configuration, in a process of its own. It has the methods of `Environment`, and no others.

    `state_fidelity` is the environment's own, or `unknown` if it has none.

    Every method raises `EnvironmentFailed` if the environment raises an error, or if its process dies or does not
    answer in time. The next call then starts a new process, in which the environment has not been reset. An action is
    checked by `action`, and cast where the environment runs. `call_s` is how many seconds a call may take.
    `counts` are the numbers of objects, if episodes have different ones. The process does not know the held-out ones.
    """

    def __init__(self, conf: EnvironmentConf, described: Described, spec: HostSpec) -> None:
        """Start the process. Raise `ValueError` for a mistake in the configuration, and `EnvironmentFailed`."""
        self._conf, self._described, self._spec = conf, described, spec
        self.call_s = conf.call_s
        self.counts = conf.counts
        self._turn = threading.RLock()
        self._rule = parse_rule(conf.solved_when)
        self._told: set[str] = set()
        self._played = 0
        self._process: HostedProcess | None = self.another()
        self.max_steps = self._process.max_steps
        self.state_fidelity = self._process.state_fidelity

    def another(self, others: Sequence[int] = ()) -> HostedProcess:
        """Return a new process with such an environment, which has the descriptors `others`. The caller closes it."""
        for _try in range(_TRIES - 1):
            with suppress(EnvironmentFailed):
                return HostedProcess(self._conf, self._described, self._spec, others)
        return HostedProcess(self._conf, self._described, self._spec, others)

    @cached_property
    def granted(self) -> Granted:
        """The primitives that a program which plays this environment is given."""
        level = self._conf.primitives
        asked = [] if level == "none" else self._ask("run", "harness.environments.primitives:offered", {})
        return granted(level, asked)

    def run(self, function: str, **keywords: Plain) -> Plain:
        """Call one of Proctor's functions, by its import path, where the environment runs. Return its answer."""
        return self._ask("run", function, keywords, doing=function.partition(":")[2].replace("_", " "))

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """See `Environment.reset`."""
        counts = self._described.counts
        doing = f"reset() with {counts.argument} = {counts.of_seed(seed)}" if counts else ""
        observation, info = self._ask("reset", seed, doing=doing)
        return observation, info

    def action(self, plain: Plain) -> Plain:
        """Return the action itself, after the environment has checked it. See `Environment.action`."""
        self._ask("action", plain)
        return plain

    def step(self, action: Plain) -> Step:
        """See `Environment.step`. Raise `InvalidAction` for an action that `action` refuses."""
        return Step(*self._ask("step", action))

    def render(self) -> NDArray[np.uint8]:
        """See `Environment.render`."""
        picture: NDArray[np.uint8] = self._ask("render")
        return picture

    def describe(self) -> str:
        """See `Environment.describe`."""
        return str(self._ask("describe"))

    def spaces(self) -> dict[str, Plain]:
        """See `Environment.spaces`."""
        spaces: dict[str, Plain] = self._ask("spaces")
        return spaces

    def get_state(self) -> Plain:
        """See `Environment.get_state`."""
        return self._ask("get_state")

    def set_state(self, state: Plain) -> None:
        """See `Environment.set_state`."""
        self._ask("set_state", state)

    def note(self, told: Collection[str], steps: int) -> None:
        """Note what a graded episode told, which was played in another process: the names in the info of its steps."""
        self._told.update(told)
        self._played += steps

    def doubt(self) -> str | None:
        """Return why the rule `solved_when` may be wrong, after the graded episodes, or `None`."""
        return doubt(self._rule, self._told) if self._rule is not None and self._played else None

    def close(self) -> None:
        """End the process. May be called again. A later call starts another."""
        with self._turn:
            process, self._process = self._process, None
            if process is not None:
                process.close()

    def _ask(self, do: str, *arguments: Plain, doing: str = "") -> Any:
        with self._turn:
            if self._process is None or not self._process.alive:
                self._process = self.another()
            return self._process.ask(do, *arguments, doing=doing)
