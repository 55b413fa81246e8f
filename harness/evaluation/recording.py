"""Records what happens in an episode, in the process of the environment: the actions, the rewards, and checksums.

A recording is kept as bytes: the plain data of `Recording` as `harness.environments.plain` encodes it, compressed by
zlib. It holds no seed.

This file needs only the standard library and NumPy.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.environments import plain
from harness.environments.base import Plain, Step

MOST_BYTES = 4 << 20
"""How many bytes of actions are recorded of one episode, before compression."""

MOST_STEPS = 100_000
"""How many steps are recorded of one episode."""

_SAMPLED = 1 << 16
"""How many bytes of an array count for a checksum. Of a longer one, evenly spaced blocks of `_BLOCK` bytes count."""
_BLOCK = 1 << 10


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What happened in an episode, as far as it is recorded.

    `actions` are those that were applied, as the policy returned them, and `rewards` what they brought. `seen` are the
    checksums of the first observation and of the one after each action. The last `left_out` steps are not recorded.
    """

    actions: list[Plain]
    rewards: NDArray[np.float64]
    seen: NDArray[np.uint32]
    left_out: int


class Playable(Protocol):
    """The part of an `Environment` that an episode needs."""

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """See `Environment.reset`."""

    def action(self, plain: Plain, /) -> Any:
        """See `Environment.action`."""

    def step(self, action: Any) -> Step:
        """See `Environment.step`."""


class EpisodeRecorder:
    """An environment in which one episode is played, and what happened in it."""

    def __init__(self, environment: Playable) -> None:
        self._environment = environment
        self._actions: list[bytes] = []
        self._next = b""
        self._rewards: list[float] = []
        self._seen: list[int] = []
        self._bytes = 0
        self._has_room = True
        self._left_out = 0

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """See `Environment.reset`."""
        observation, info = self._environment.reset(seed)
        self._seen.append(checksum(observation))
        return observation, info

    def action(self, plain_action: Plain) -> Any:
        """See `Environment.action`."""
        if self._has_room:
            self._next = plain.dumps(plain_action)  # now, because the environment may change it
        return self._environment.action(plain_action)

    def step(self, action: Any) -> Step:
        """See `Environment.step`."""
        step = self._environment.step(action)
        self._has_room = self._has_room and len(self._rewards) < MOST_STEPS
        self._has_room = self._has_room and self._bytes + len(self._next) <= MOST_BYTES
        if self._has_room:
            self._bytes += len(self._next)
            self._actions.append(self._next)
            self._rewards.append(float(step.reward))
            self._seen.append(checksum(step.observation))
        else:
            self._left_out += 1
        return step

    def recorded(self) -> bytes:
        """Return the recording of the episode so far, for `read_recording`."""
        parts = {
            "actions": np.frombuffer(b"".join(self._actions), np.uint8),
            "lengths": np.array([len(action) for action in self._actions], np.uint32),
            "rewards": np.array(self._rewards, np.float64),
            "seen": np.array(self._seen, np.uint32),
            "left_out": self._left_out,
        }
        return zlib.compress(plain.dumps(parts))


def read_recording(data: bytes) -> Recording:
    """Return what `EpisodeRecorder.recorded` encoded. For other bytes, raise `ValueError` and nothing else."""
    unpacked = zlib.decompressobj()
    try:
        parts = plain.loads(unpacked.decompress(data, plain.MAX_BYTES))
    except zlib.error as error:
        raise ValueError(f"not compressed by zlib: {error}") from error
    if not isinstance(parts, dict) or set(parts) != {"actions", "lengths", "rewards", "seen", "left_out"}:
        raise ValueError("not a recording")
    actions, lengths = _row(parts["actions"], "uint8"), _row(parts["lengths"], "uint32")
    rewards, seen, left_out = _row(parts["rewards"], "float64"), _row(parts["seen"], "uint32"), parts["left_out"]
    fits = len(lengths) == len(rewards) == len(seen) - 1 and int(lengths.sum()) == len(actions)
    if not fits or type(left_out) is not int or left_out < 0:
        raise ValueError("the parts of the recording do not fit together")
    return Recording(actions=list(_split(actions, lengths)), rewards=rewards, seen=seen, left_out=left_out)


def checksum(observation: Plain) -> int:
    """Return the CRC-32 of an observation. It is the same before and after the observation was sent as plain data.

    Of an array of more than 64 KiB, evenly spaced blocks count. What is not plain data counts by its type alone.
    """
    try:
        if type(observation) is np.ndarray:
            return zlib.crc32(b"%s%d]" % (_opening(observation.dtype, observation.shape), _array_checksum(observation)))
        return zlib.crc32(_ENCODER.encode(observation).encode())
    except (ValueError, TypeError, RecursionError):
        return 0


def _told(value: Any) -> Any:
    """Return what stands for a value that JSON does not know."""
    if isinstance(value, np.ndarray):
        return [value.dtype.name, value.shape, _array_checksum(value)]
    if isinstance(value, np.generic):
        return value.item()
    return type(value).__name__


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_told)


@lru_cache(64)
def _opening(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the text of what stands for an array, up to its checksum. The arrays of an episode have few of them."""
    return _ENCODER.encode([dtype.name, shape, 0]).removesuffix("0]").encode()


def _array_checksum(array: NDArray[Any]) -> int:
    if array.dtype.kind not in "biuf":
        return 0
    if array.nbytes <= _SAMPLED and array.dtype.isnative and sys.byteorder == "little":
        return zlib.crc32(array.tobytes())
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    if len(content) <= _SAMPLED:
        return zlib.crc32(content.data)
    checked = 0
    for start in np.linspace(0, len(content) - _BLOCK, _SAMPLED // _BLOCK, dtype=np.int64).tolist():
        checked = zlib.crc32(content[start : start + _BLOCK].data, checked)
    return checked


def _row(value: Any, dtype: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.name != dtype:
        raise ValueError(f"a part of the recording is not a row of {dtype}")
    return value


def _split(actions: NDArray[np.uint8], lengths: NDArray[np.uint32]) -> Iterator[Plain]:
    content, start = actions.tobytes(), 0
    for length in lengths.tolist():
        yield plain.loads(content[start : start + length])
        start += length
