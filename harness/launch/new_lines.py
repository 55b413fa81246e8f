"""Reads a file of records again and again, each time from where it was left, because it may be long."""

from __future__ import annotations

import os
from pathlib import Path


class NewLines:
    """Follows a file that grows. It may also be replaced by another file of the same name, or not exist yet."""

    def __init__(self) -> None:
        self._offset = 0
        self._file: tuple[int, int] | None = None

    def read(self, path: Path) -> list[bytes]:
        """Return the whole lines that were written since the last call. A file that was replaced is read anew."""
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file:
                    self._file, self._offset = (found.st_dev, found.st_ino), 0
                file.seek(self._offset)
                whole, newline, _rest = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return whole.split(b"\n") if whole else []
