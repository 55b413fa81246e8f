"""Serves a submission's policy from inside its sandbox: `policy_worker.py SUBMISSION FILE…`.

The harness never imports this file. The FILEs are those in `policy.py`'s `_PARTS`, in that order. Requests come over
standard input, and answers go over standard output, one after the other. A message is four bytes of length
(big-endian), then that many bytes of plain data. These are the requests:

| request | does |
|---|---|
| `{"do": "open", "spaces": …}` | builds the Gymnasium spaces |
| `{"do": "load", "module": …, "class": …, …}` | imports the module of the program, and makes the program |
| `{"do": "reset", "observation": …, "info": …}` | begins an episode, and calls `reset` |
| `{"do": "act", "observation": …}` | calls `get_action` |
| `{"do": "update", "observation": …, "reward": …, "done": …, "info": …}` | calls `update` |
| `{"do": "end"}` | ends the episode |

Before it answers a request from "load" on, this process may ask for primitives: `{"primitive": NAME, "with":
[ARGUMENT, …]}`. It gets `{"done": …}` or `{"error": TEXT}`.

The answer is `{"done": …}`, `{"error": TEXT}` if the submission raised, or `{"invalid": TEXT}` if the returned value
cannot be sent. The answer to "reset" is true if the program has `update`. The answer to "end" is `{"done": "last"}` if
this process can play no other episode. A failure before the answer to "open" is the harness's own and goes to standard
error. From "load" on, what this process prints goes there too. An answer is sent after what the submission printed
before it.

Every episode begins with the policy as it was after "load", so that its result does not depend on the episodes before
it: a fork of this process plays it, and this process ends as the fork does, unless the episode ended in order. A policy
that has started threads cannot be forked. It is played here, for one episode, and then this process ends. If "load"
says `carry_over`, all episodes are played here, so that the policy remembers the earlier ones.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

_MAX_ANSWER = 1_000_000
_MAX_ERROR = 20_000
_MAX_SAID = 2_000
_OURS = frozenset({"__main__", "_proctor_program"})
"""The names of the modules that are ours."""
_IN_ORDER = 86
"""The exit code of a process that has played its episode to the end."""


class _Connection:
    """The connection to the harness: copies of standard input and output, which no child process inherits."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = os.dup(0), os.dup(1)

    def receive(self) -> bytes:
        """Return the next message. It is empty if the other side has closed the connection."""
        return self._exactly(int.from_bytes(self._exactly(4), "big"))

    def send(self, data: bytes) -> None:
        rest = memoryview(len(data).to_bytes(4, "big") + data)
        while rest:
            rest = rest[os.write(self._outgoing, rest) :]

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = os.read(self._incoming, count - len(data))
            if not chunk:
                return b""
            data += chunk
        return bytes(data)


def main(
    folder: str,
    plain_file: str,
    spaces_file: str,
    objects_file: str,
    states_file: str,
    program_file: str,
    primitives_file: str,
) -> None:
    """Answer requests until the other side closes the connection."""
    plain = _module("_proctor_plain", plain_file)
    spaces = _module("_proctor_spaces", spaces_file)
    objects = _module("_proctor_objects", objects_file)
    states = _module("_proctor_states", states_file)
    program = _module("_proctor_program", program_file)
    connection = _Connection()
    described = plain.loads(connection.receive())["spaces"]
    action_space = spaces.build_space(described["action_space"])
    observation_space = objects.build_object_space(described["observation_space"], spaces.build_space)
    seen = getattr(observation_space, "from_plain", states.seen_by_program(described["observation_space"]))
    policy = program.LoadedProgram(folder, action_space, observation_space, seen)
    connection.send(plain.dumps({"done": None}))
    server = _Server(connection, policy, plain, _redirect())
    server.load(_module("_proctor_primitives", primitives_file).build_primitives)
    while message := connection.receive():
        server.episode(plain.loads(message))


class _Server:
    """Answers requests about the policy."""

    def __init__(self, connection: _Connection, policy: Any, plain: Any, printed: tuple[TextIOWrapper, ...]) -> None:
        self._connection, self._policy, self._plain = connection, policy, plain
        self._printed = printed
        self._done = plain.dumps({"done": None})
        self._carry_over = False
        self._asking = threading.Lock()

    def load(self, build_primitives: Callable[..., Any]) -> None:
        """Answer the request that loads the submission."""
        if message := self._connection.receive():
            request = self._plain.loads(message)
            self._carry_over = request["carry_over"]
            request["primitives"] = build_primitives(request["primitives"], self._ask)
            self._answer(request)

    def _ask(self, question: dict[str, Any]) -> Any:
        """Ask the environment something while a request is being answered. Return the answer."""
        message = self._plain.dumps(question)
        with self._asking:
            self._flush()
            self._connection.send(message)
            if not (answer := self._connection.receive()):
                os._exit(0)
            return self._plain.loads(answer)

    def episode(self, first: dict[str, Any]) -> None:
        """Play an episode, whose first request is given. Return if the next one can be played."""
        if self._carry_over:
            self._play(first)
            self._connection.send(self._done)
            return
        if _threads() > 1:
            self._play(first)
            self._connection.send(self._plain.dumps({"done": "last"}))
            os._exit(0)
        state = random.getstate()
        player = os.fork()
        if player == 0:
            random.setstate(state)  # which Python has replaced in the fork
            self._play(first)
            os._exit(_IN_ORDER)
        code = os.waitstatus_to_exitcode(os.waitpid(player, 0)[1])
        if code != _IN_ORDER:
            self._die(code)
        self._connection.send(self._done)

    def _play(self, request: dict[str, Any]) -> None:
        """Answer the requests of one episode. Return at its end; exit if the harness hangs up."""
        while request["do"] != "end":
            self._answer(request)
            message = self._connection.receive()
            if not message:
                os._exit(0)
            request = self._plain.loads(message)
        self._flush()

    def _answer(self, request: dict[str, Any]) -> None:
        answer = _answer(self._plain.dumps, getattr(self._policy, request["do"]), request)
        self._flush()
        self._connection.send(answer)

    def _flush(self) -> None:
        for stream in self._printed:
            with suppress(OSError, ValueError):  # the submission may have closed it
                stream.flush()

    def _die(self, code: int) -> None:
        """End as the process that played the episode has ended."""
        if code < 0:
            with suppress(OSError):  # SIGKILL has no handler
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _answer(dumps: Callable[[Any], bytes], call: Callable[[Any], Any], request: dict[str, Any]) -> bytes:
    try:
        result = call(request)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: the submission raised them
        return dumps({"error": _told(error)})
    try:
        data = dumps({"done": result})
    except Exception as error:
        return dumps({"invalid": f"get_action returned data that cannot be sent: {error}"[:_MAX_ERROR]})
    if len(data) > _MAX_ANSWER:
        return dumps({"invalid": f"get_action returned {len(data)} bytes of data, over the cap of {_MAX_ANSWER}"})
    return data


def _told(error: BaseException) -> str:
    """Return the traceback of an error, without the lines that are ours. An error of ours has none."""
    if type(error).__module__ in _OURS:
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        trace = trace.tb_next
    *frames, last = traceback.format_exception(type(error), error, trace)
    said = last if len(last) <= _MAX_SAID else f"{last[: _MAX_SAID - 1]}…"  # its beginning has the type of the error
    return "".join([*frames, said])[-_MAX_ERROR:]


def _module(name: str, file: str) -> Any:
    """Load a module from its file, under a name that a module of the submission is unlikely to have."""
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _redirect() -> tuple[TextIOWrapper, TextIOWrapper]:
    """Send standard output to standard error, line by line, so that little is lost if the process dies.

    Return the new streams. The submission may put others in their place.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = _lines(1), _lines(2)
    return sys.stdout, sys.stderr


def _lines(descriptor: int) -> TextIOWrapper:
    return open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
