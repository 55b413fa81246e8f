"""Goes through a replay in the terminal, step by step, by keys."""

from __future__ import annotations

import json
import os
import shutil
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.commands.errors import BadInput
from harness.environments.base import Plain
from harness.evaluation.replay import Moment, Replay
from harness.visible import visible

_NEXT = {b"n", b" ", b"\r", b"\n", b"\x1b[C", b"\x1b[B"}
_PREVIOUS = {b"p", b"\x1b[D", b"\x1b[A"}
_QUIT = {b"", b"q", b"\x03", b"\x04", b"\x1b"}
_HELP = "n or right: next   p or left: previous   q: quit"
_LONGEST = 1_200
_TEXT_LINES = 8
_CLEAR = "\x1b[H\x1b[2J"


def needs_terminal() -> None:
    """Raise `BadInput` unless standard input and output are a terminal."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        raise BadInput("--interactive needs a terminal; to write pictures, use --gif FILE or --png FOLDER")


def step_through(replay: Replay, steps: int, *, pictures: bool) -> None:
    """Show each step when the user asks for it, with a picture if there are `pictures`, until the user quits."""
    shown = [_screen(replay.begin(), replay, steps, pictures=pictures)]
    place = 0
    with _keys() as keys:
        while True:
            sys.stdout.write(f"{_CLEAR}{shown[place]}\n{_HELP}\n")
            sys.stdout.flush()
            key = next(keys)
            if key in _QUIT:
                sys.stdout.write("\n")
                return
            if key in _PREVIOUS:
                place = max(0, place - 1)
            elif key in _NEXT and place + 1 < len(shown):
                place += 1
            elif key in _NEXT and (moment := replay.next()) is not None:
                shown.append(_screen(moment, replay, steps, pictures=pictures))
                place += 1


def _screen(moment: Moment, replay: Replay, steps: int, *, pictures: bool) -> str:
    lines = [f"step {moment.step} of {steps}"]
    if moment.step:
        lines.append(f"action {_text(moment.action)}   reward {moment.reward:g}")
    lines.append(f"observation {_text(moment.observation)}")
    if replay.divergence is not None:
        lines.append(f"differs from the record: {visible(replay.divergence.told)}")
    columns, rows = shutil.get_terminal_size()
    drawn = blocks(replay.picture(), columns, max(4, rows - _TEXT_LINES)) if pictures else ""
    return "\n".join(filter(None, [drawn, *lines]))


def blocks(picture: NDArray[np.uint8], columns: int, rows: int) -> str:
    """Return a picture as lines of half blocks in 24-bit colours: each character shows two pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((columns, 2 * rows), Image.Resampling.BOX)
    pixels = np.asarray(image)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = [
            f"\x1b[38;2;{';'.join(map(str, top))}m\x1b[48;2;{';'.join(map(str, bottom))}m▀"
            for top, bottom in zip(upper, lower, strict=True)
        ]
        lines.append(f"{''.join(cells)}\x1b[0m")
    return "\n".join(lines)


def _text(value: Plain) -> str:
    """Return plain data as a text of bounded length."""
    text = visible(json.dumps(value, default=_listed, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value, 4).tolist() if value.dtype.kind == "f" else value.tolist()
    return value.item() if isinstance(value, np.generic) else str(value)


@contextmanager
def _keys() -> Iterator[Iterator[bytes]]:
    """Yield the keys that the user presses, one after the other. The terminal is as before afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield _pressed(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(descriptor: int) -> Iterator[bytes]:
    """Yield each key. An arrow is several bytes, which arrive together. The end of the input is an empty key."""
    while True:
        data = os.read(descriptor, 16)
        if not data or data.startswith(b"\x1b"):
            yield data
        else:
            yield from (bytes([key]) for key in data)
