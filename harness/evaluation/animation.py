"""Makes small animations from the pictures of an episode."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAME_MS = 100
"""How long each picture of an animation is shown, in milliseconds."""

LAST_MS = 1500
"""How long the last one is shown."""

MOST_BYTES = 1_000_000
"""How large a small animation may be."""

_SIDES = (320, 160, 80, 40)
"""How long the longer side of a picture may be, in pixels. The next one counts if the animation is too large."""


def small(picture: NDArray[np.uint8], side: int = _SIDES[0]) -> Image.Image:
    """Return a picture whose sides are at most `side` pixels long. A small one stays as it is."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.BOX)
    return image


def small_webp(images: Sequence[Image.Image]) -> bytes:
    """Return a lossless animated WebP of at most `MOST_BYTES`. The pictures become smaller until it fits.

    Of the formats that every browser shows, this is the smallest one without a loss. Raise `ValueError` if it does not
    fit.
    """
    for side in _SIDES:
        frames = [image.copy() for image in images]
        for frame in frames:
            frame.thumbnail((side, side), Image.Resampling.BOX)
        data = _animated(frames, "WEBP", lossless=True, quality=50, method=3)
        if len(data) <= MOST_BYTES:
            return data
    raise ValueError(f"they take more than {MOST_BYTES:,} bytes")


def write_gif(path: Path, images: Sequence[Image.Image]) -> int:
    """Write an animated GIF. Return its size in bytes. Raise `OSError` if that is not possible."""
    data = _animated(images, "GIF")
    path.write_bytes(data)
    return len(data)


def _animated(frames: Sequence[Image.Image], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    first, *others = frames
    if others:
        options |= {"append_images": others, "duration": [FRAME_MS] * len(others) + [LAST_MS], "loop": 0}
    first.save(buffer, kind, save_all=bool(others), **options)
    return buffer.getvalue()
