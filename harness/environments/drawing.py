"""Draws an environment for a trial, in the environment's own process, and says what to install if it cannot be drawn.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec

import numpy as np

from harness.environments.base import Environment

_BACKENDS = ("egl", "osmesa")
"""How MuJoCo can draw without a screen, in the words of MUJOCO_GL."""

_LONGEST = 1000

_ADVICE = (
    (
        re.compile(r"\b(E?GL\w*|GLFW|GLX|OpenGL|OSMesa|X11|DISPLAY)\b|\be?gl[A-Z]"),
        "this machine has no screen: install EGL or OSMesa (on Debian: `apt-get install libegl1` or `libosmesa6`)",
    ),
    (
        re.compile(r"SDL|video device"),
        "this machine has no screen: set SDL_VIDEODRIVER=dummy",
    ),
)
"""What to do about an error of `render`, by words in its text."""


def choose_renderer() -> None:
    """Set MUJOCO_GL so that MuJoCo draws without a screen. Call this before MuJoCo is imported.

    EGL is tried first, which can use a GPU, and then OSMesa. Nothing is set if neither works, if there is a DISPLAY, or
    if the user has set MUJOCO_GL.
    """
    if "MUJOCO_GL" in os.environ or os.environ.get("DISPLAY") or find_spec("mujoco") is None:
        return
    backend = next((backend for backend in _BACKENDS if renderer_fault(backend) is None), None)
    if backend is not None:
        os.environ.update(_set(backend))


def lock_renderer() -> dict[str, str]:
    """Import MuJoCo, if it is there, so that it draws by the backend that is set now. Return the variables for that.

    KinDER sets these variables to OSMesa when it registers its environments.
    """
    backend = os.environ.get("MUJOCO_GL")
    if backend is None:
        return {}
    with suppress(Exception):  # what it raises without its libraries differs, and `harness.environments.engines` tells
        importlib.import_module("mujoco")
    return _set(backend)


def _set(backend: str) -> dict[str, str]:
    return {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": os.environ.get("PYOPENGL_PLATFORM", backend)}


@cache
def renderer_fault(backend: str) -> str | None:
    """Return why MuJoCo cannot draw by this backend here, or `None` if it can.

    Another process tries it: a failed try cannot be undone, and the threads of a renderer would not survive a fork.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.environ.update(_set(backend))
            context = importlib.import_module("mujoco").GLContext(16, 16)
            context.make_current()
            code = 0
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode()[:_LONGEST])
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = " ".join(told.read().decode(errors="replace").split())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if status == 0 else said or f"the process that tried it ended with {status}"


def drawing_fault(environment: Environment, _descriptors: Sequence[int] = ()) -> str | None:
    """Draw the first state of seed 0. Return why that fails and what to do about it, or `None` if it works."""
    environment.reset(0)
    return _try(environment)


def _try(environment: Environment) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: object = environment.render()
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
    return f"{text}{advice(text)}"


def advice(text: str) -> str:
    """Return what to do about an error of a renderer, after a semicolon, or an empty text."""
    return next((f"; {advice}" for words, advice in _ADVICE if words.search(text)), "")
