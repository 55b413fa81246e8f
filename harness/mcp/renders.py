"""The folder of pictures that the tools draw. The harness writes it; the agent can only read it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

MAX_FILES = 200
MAX_BYTES = 100_000_000
LABEL_LENGTH = 40


class RendersFull(Exception):
    """The folder cannot take another picture. The message says how much it holds."""


class Picture(Struct, frozen=True):
    """A picture in the folder: its path as the agent sees it, and the PNG itself."""

    path: str
    png: bytes


class Renders:
    """Numbers and writes pictures (`0001-LABEL.png` and so on) in the host's `folder`.

    The agent sees the folder at `inside`. The folder takes at most `MAX_FILES` files and `MAX_BYTES` in all, including
    what it held before.
    """

    def __init__(self, folder: Path, inside: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._inside = inside.rstrip("/")
        sizes = [path.stat().st_size for path in folder.glob("*.png")]
        self._files, self._bytes = len(sizes), sum(sizes)

    def save(self, picture: NDArray[np.uint8], label: str) -> Picture:
        """Write a picture of shape (height, width, 3). `label` must come from `clean_label`. Raise `RendersFull`."""
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "png")
        png = buffer.getvalue()
        if self._files >= MAX_FILES or self._bytes + len(png) > MAX_BYTES:
            raise RendersFull(
                f"no more pictures: {self._files} files with {self._bytes:,} bytes are stored, "
                f"at most {MAX_FILES} files with {MAX_BYTES:,} bytes are allowed"
            )
        name = f"{self._files + 1:04d}-{label}.png"
        with (self._folder / name).open("xb") as file:
            file.write(png)
        self._files += 1
        self._bytes += len(png)
        return Picture(f"{self._inside}/{name}", png)


def clean_label(label: str) -> str:
    """Return the label as part of a file name: 1 to 40 of the characters A-Z a-z 0-9 _ -; others become `_`.

    Raise `ValueError` if nothing is left.
    """
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", label).strip("_")[:LABEL_LENGTH]
    if not clean:
        raise ValueError(f"label must have letters or digits: {label!r:.80}")
    return clean
