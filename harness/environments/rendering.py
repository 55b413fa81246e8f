"""Whether an environment can be drawn on this machine, and what to install or set if it cannot."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.case import EnvironmentConf
from harness.environments.base import Environment

_EGL = "libEGL.so.1"

_ADVICE = (
    (
        re.compile(r"\b(E?GL\w*|GLFW|GLX|OpenGL|OSMesa|X11|DISPLAY)\b|\begl[A-Z]"),
        "this machine has no screen: install EGL (on Debian: `apt-get install libegl1`), "
        "or install OSMesa (`apt-get install libosmesa6`) and set MUJOCO_GL=osmesa",
    ),
    (
        re.compile(r"SDL|video device"),
        "this machine has no screen: set SDL_VIDEODRIVER=dummy",
    ),
)
"""What to do about an error of `render`, by words in its text."""

_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")

_tried: dict[bytes, str | None] = {}


def draw(environment: Environment) -> NDArray[np.uint8]:
    """Return `environment.render()`, always called on the same thread. Raise what it raises.

    OpenGL binds a context to one thread. On any other thread, MuJoCo draws black pictures and raises nothing.
    """
    return _THREAD.submit(environment.render).result()


def choose_renderer() -> None:
    """Set MUJOCO_GL=egl, so that MuJoCo draws without a screen. Call this before MuJoCo is imported.

    Nothing is set if there is a DISPLAY, or if the user has set MUJOCO_GL. Without libEGL, nothing is set either,
    because that setting would then keep MuJoCo from being imported.
    """
    if "MUJOCO_GL" in os.environ or os.environ.get("DISPLAY") or find_spec("mujoco") is None:
        return
    try:
        ctypes.CDLL(_EGL)
    except OSError:
        return
    os.environ["MUJOCO_GL"] = "egl"


def render_fault(conf: EnvironmentConf, environment: Environment) -> str | None:
    """Return why an environment cannot be drawn here and what to do about it, or `None` if it can be drawn.

    The first call of a process for a kind and its arguments draws the first state of seed 0. Later calls return the
    same.
    """
    key = msgspec.json.encode([conf.kind, conf.arguments])
    if key not in _tried:
        environment.reset(0)
        _tried[key] = _try(environment)
    return _tried[key]


def _try(environment: Environment) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: object = draw(environment)
    except Exception as error:  # a renderer can raise anything
        return _explained(error)
    if not isinstance(picture, np.ndarray):
        return f"render() returned {type(picture).__name__}, not a picture"
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        shape = f"{picture.dtype} and shape {picture.shape}"
        return f"render() returned an array of {shape}, not of uint8 and shape (height, width, 3)"
    return None


def _explained(error: Exception) -> str:
    said = " ".join(str(error).split())
    text = said if isinstance(error, RuntimeError) and said else f"{type(error).__name__}: {said}".removesuffix(": ")
    if isinstance(error, ImportError) and error.name:
        return f"{text}; install it: {sys.executable} -m pip install {error.name.partition('.')[0]}"
    advice = next((advice for words, advice in _ADVICE if words.search(text)), None)
    return f"{text}; {advice}" if advice else text
