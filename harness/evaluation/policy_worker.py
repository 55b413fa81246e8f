"""Serves a submission's policy from inside its sandbox: `policy_worker.py PLAIN_FILE SPACES_FILE SUBMISSION`.

The harness never imports this file. Requests come over standard input, and answers go over standard output, one after
the other. A message is four bytes of length (big-endian), then that many bytes of plain data. These are the requests:

| request | does |
|---|---|
| `{"do": "open", "spaces": …}` | builds the Gymnasium spaces |
| `{"do": "load"}` | imports `approach` and makes its `GeneratedApproach` |
| `{"do": "reset", "observation": …, "info": …}` | calls `reset` |
| `{"do": "act", "observation": …}` | calls `get_action` |

The answer is `{"done": …}`, `{"error": TEXT}` if the submission raised, or `{"invalid": TEXT}` if the returned value
cannot be sent. A failure before the answer to "open" is the harness's own and goes to standard error. From "load" on,
what this process prints goes there too. An answer is sent after what the submission printed before it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

_MAX_ANSWER = 1_000_000
_MAX_ERROR = 20_000


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


class _Policy:
    """The submission's policy, with one method for each request about it."""

    def __init__(self, folder: str, action_space: Any, observation_space: Any) -> None:
        self._folder = folder
        self._arguments = (action_space, observation_space)
        self._approach: Any = None

    def load(self, _request: dict[str, Any]) -> None:
        sys.path.insert(0, self._folder)
        module = __import__("approach")
        self._approach = module.GeneratedApproach(*self._arguments, primitives=None)

    def reset(self, request: dict[str, Any]) -> None:
        self._approach.reset(request["observation"], request["info"])

    def act(self, request: dict[str, Any]) -> Any:
        return self._approach.get_action(request["observation"])


def main(plain_file: str, spaces_file: str, folder: str) -> None:
    """Answer requests until the other side closes the connection."""
    plain = _module("_proctor_plain", plain_file)
    spaces = _module("_proctor_spaces", spaces_file)
    connection = _Connection()
    described = plain.loads(connection.receive())["spaces"]
    names = ("action_space", "observation_space")
    policy = _Policy(folder, *(spaces.build_space(described[name]) for name in names))
    connection.send(plain.dumps({"done": None}))
    printed = _redirect()
    while message := connection.receive():
        request = plain.loads(message)
        answer = _answer(plain.dumps, getattr(policy, request["do"]), request)
        for stream in printed:
            with suppress(OSError, ValueError):  # the submission may have closed it
                stream.flush()
        connection.send(answer)


def _answer(dumps: Callable[[Any], bytes], call: Callable[[Any], Any], request: dict[str, Any]) -> bytes:
    try:
        result = call(request)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: the submission raised them
        trace = error.__traceback__
        for _ours in range(2):
            trace = trace.tb_next if trace else None
        return dumps({"error": "".join(traceback.format_exception(type(error), error, trace))[-_MAX_ERROR:]})
    try:
        data = dumps({"done": result})
    except Exception as error:
        return dumps({"invalid": f"get_action returned data that cannot be sent: {error}"[:_MAX_ERROR]})
    if len(data) > _MAX_ANSWER:
        return dumps({"invalid": f"get_action returned {len(data)} bytes of data, over the cap of {_MAX_ANSWER}"})
    return data


def _module(name: str, file: str) -> Any:
    """Load a module from its file, under a name that a module of the submission is unlikely to have."""
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(found)
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
