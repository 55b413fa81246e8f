"""Plays the environment of your task, which runs outside of your sandbox, and calls the primitives of your program.

    import env_client

    with env_client.make() as env:
        observation, info = env.reset(seed=0)
        observation, reward, terminated, truncated, info = env.step(action)
        env.render("picture.png")

    primitives = env_client.primitives()  # the dict that your program gets

Each `make` gives an environment of its own, so several programs, threads or loops may play side by side. Observations
and actions are those of your program. If you can read the environment's source, `make` is refused, and only the
primitives are here. `approach.py` must not import this file, because it is not there when `approach.py` is graded.

This file needs only the standard library and NumPy.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KIT = Path(__file__).resolve().parent
_CONNECT_S = 30.0


class WorldError(Exception):
    """The environment refused a call, or is gone. The message says why."""


class ActionRefused(WorldError):
    """The action is not one of this environment. The message says why. The episode goes on."""


class ClientEnvironment:
    """An environment. `make` gives one. It is a context manager; leaving it closes the environment.

    `max_steps` is how many steps an episode may have. `action_space` and `observation_space` are those that your
    program gets. Threads may share it: their calls take turns.
    """

    def __init__(self) -> None:
        self._connection = _ServerLink()
        made = self._ask("make")
        self.max_steps: int = made["max_steps"]
        spaces = made["spaces"]
        self.action_space: Any = _space(spaces["action_space"])
        self.observation_space: Any = _space(spaces["observation_space"])
        own = _module("worker_states").seen_by_program(spaces["observation_space"])
        self._seen: Callable[[Any], Any] = getattr(self.observation_space, "from_plain", own)

    def reset(self, seed: int = 0) -> tuple[Any, dict[str, Any]]:
        """Begin the episode of a seed, 0 to 9999. Return the first observation, and further information."""
        observation, info = self._ask("reset", seed)
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action. Return the observation, the reward, whether the episode is solved (`terminated`), whether it
        is over without that (`truncated`), and further information.

        Raise `ActionRefused` if the environment has no such action. This client does not end an episode after
        `max_steps`.
        """
        observation, reward, terminated, truncated, info = self._ask("step", action)
        return self._seen(observation), reward, terminated, truncated, info

    def render(self, path: str | Path | None = None) -> NDArray[np.uint8]:
        """Return a picture of the current state, of shape (height, width, 3). Write it to `path` as PNG, if given."""
        picture: NDArray[np.uint8] = self._ask("render")
        if path is not None:
            Path(path).write_bytes(_png(picture))
        return picture

    def get_state(self) -> Any:
        """Return the current state as plain data, for `set_state`."""
        return self._ask("get_state")

    def set_state(self, state: Any) -> None:
        """Put the environment into a state. Raise `WorldError` if it cannot be in it."""
        self._ask("set_state", state)

    def close(self) -> None:
        """End the environment. May be called again."""
        self._connection.close()

    def __enter__(self) -> ClientEnvironment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, do: str, *arguments: Any) -> Any:
        return self._connection.ask(do, *arguments)


class _ServerLink:
    """A connection to the server of environments. Threads may share it."""

    def __init__(self) -> None:
        self._plain = _module("plain")
        self._turn = threading.Lock()
        self._socket: socket.socket | None = socket.create_connection(("127.0.0.1", _facts()["port"]), _CONNECT_S)
        self._socket.settimeout(None)

    def ask(self, do: str, *arguments: Any) -> Any:
        """Return the answer to a call. Raise what it says."""
        message = self._plain.dumps({"do": do, "with": list(arguments)})
        with self._turn:
            if self._socket is None:
                raise WorldError("this environment is closed: make another one")
            try:
                self._socket.sendall(struct.pack(">I", len(message)) + message)
                (size,) = struct.unpack(">I", self._receive(4))
                answer = self._plain.loads(self._receive(size))
            except BaseException:  # the next answer would be taken for another one
                self.close()
                raise
        if "done" in answer:
            return answer["done"]
        kind = ActionRefused if answer["error"] == "ActionRefused" else WorldError
        raise kind(answer["text"])

    def close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self._socket.recv(count - len(data)) if self._socket else b""
            if not piece:
                raise WorldError("the environment has closed the connection")
            data += piece
        return bytes(data)


def make() -> ClientEnvironment:
    """Return an environment of its own. Raise `WorldError` if too many are open."""
    return ClientEnvironment()


def primitives() -> dict[str, Any] | None:
    """Return the primitives that your program gets, by name, or `None` if it gets none.

    Those that need the environment are answered outside of your sandbox. They raise `WorldError`.
    """
    request = _facts()["primitives"]
    if request is None:
        return None
    connections: list[_ServerLink] = []

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        if not connections:
            connections.append(_ServerLink())
        return {"done": connections[0].ask("primitive", question["primitive"], question["with"])}

    modules = {name: [str(_KIT / file), part] for name, (file, part) in request["modules"].items()}
    built: dict[str, Any] = _module("worker_primitives").build_primitives({**request, "modules": modules}, ask)
    return built


def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((_KIT / "access.json").read_text())
    return facts


def _module(name: str) -> Any:
    """Load a module that lies beside this file."""
    full = f"_env_client_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, _KIT / f"{name}.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{_KIT / name}.py is missing")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[full] = module
    return sys.modules[full]


def _space(plain: Any) -> Any:
    """Return the Gymnasium space, or its plain form where Gymnasium is not installed."""
    try:
        return _module("object_space").build_object_space(plain, _module("spaces").build_space)
    except ImportError:
        return plain


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, width * 3)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
