"""The file with the recordings of a case's episodes.

Each entry is the index of the episode and the length of its recording, as big-endian numbers of four bytes, and then
the recording. An entry without a recording stands for one that was left out, because the file would be too long.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from harness.evaluation.recording import Recording, read_recording

MOST_BYTES = 32 << 20
"""How many bytes of recordings the file may hold."""

_ENTRY = struct.Struct(">II")


class RecordingMissing(Exception):
    """An episode has no recording that can be read. The message says why."""


class Recordings:
    """Writes the file at `path`. It is made with the first recording."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = MOST_BYTES
        self._mode = "wb"

    def add(self, index: int, recording: bytes) -> None:
        """Append the recording of an episode. An episode that was not played has none, and `recording` is empty."""
        if not recording:
            return
        kept = recording if len(recording) <= self._room else b""
        self._room -= len(kept)
        with self._path.open(self._mode) as file:
            file.write(_ENTRY.pack(index, len(kept)) + kept)
        self._mode = "ab"


def recording_of(path: Path, index: int) -> Recording:
    """Return the recording of an episode. Raise `RecordingMissing`."""
    try:
        with path.open("rb") as file:
            data = _find(file, index)
    except FileNotFoundError:
        raise RecordingMissing(
            f"{path} does not exist: this case was graded by an older version, or not at all"
        ) from None
    except OSError as error:
        raise RecordingMissing(f"{path}: {error.strerror}") from error
    if data is None:
        raise RecordingMissing(f"{path} has no recording of episode {index}: it was not played")
    if not data:
        raise RecordingMissing(
            f"{path} leaves out episode {index}: it holds at most {MOST_BYTES >> 20} MB of recordings"
        )
    try:
        return read_recording(data)
    except ValueError as error:
        raise RecordingMissing(f"{path} is damaged: episode {index}: {error}") from error


def recorded_episodes(path: Path) -> list[int]:
    """Return the indices of the episodes with a recording, in their order. Without the file, there are none."""
    found: list[int] = []
    try:
        with path.open("rb") as file:
            while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
                index, length = _ENTRY.unpack(head)
                file.seek(length, 1)
                found += [index] if length else []
    except OSError:
        return []
    return found


def _find(file: BinaryIO, index: int) -> bytes | None:
    while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
        found, length = _ENTRY.unpack(head)
        if found == index:
            return file.read(length)
        file.seek(length, 1)
    return None
