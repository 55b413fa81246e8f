"""Draws an environment for a trial, in the environment's own process, and says what to install if it cannot be drawn.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from harness.environments.base import Environment

_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
"""The library of each way to draw without a screen, the quicker one first."""
_TRY_EGL = "import mujoco; context = mujoco.GLContext(16, 16); context.make_current(); context.free()"
_EGL_S = 20.0

_ADVICE = (
    (
        re.compile(r"\b(E?GL\w*|GLFW|GLX|OpenGL|OSMesa|X11|DISPLAY)\b|\begl[A-Z]"),
        "this machine has no screen: install EGL (on Debian: `apt-get install libegl1`), "
        "or install OSMesa (`apt-get install libosmesa6`)",
    ),
    (
        re.compile(r"SDL|video device"),
        "this machine has no screen: set SDL_VIDEODRIVER=dummy",
    ),
)
"""What to do about an error of `render`, by words in its text."""


def choose_renderer() -> None:
    """Choose how MuJoCo draws without a screen: by EGL if that works here, or else by OSMesa if that is installed.

    Call this before MuJoCo is imported. Nothing is set if there is a DISPLAY, or if the user has set MUJOCO_GL. Without
    a library that works, nothing is set either, because that setting would then keep MuJoCo from being imported.
    """
    if "MUJOCO_GL" in os.environ or os.environ.get("DISPLAY") or find_spec("mujoco") is None:
        return
    for renderer, library in _LIBRARIES.items():
        if _loads(library) and (renderer != "egl" or _egl_works()):
            os.environ["MUJOCO_GL"] = renderer
            os.environ.setdefault("PYOPENGL_PLATFORM", renderer)
            return


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _egl_works() -> bool:
    """Return whether MuJoCo can draw by EGL. It is tried in another process, which a broken driver may kill."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY_EGL],
            env={**os.environ, "MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "egl"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_EGL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


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
    advice = next((advice for words, advice in _ADVICE if words.search(text)), None)
    return f"{text}; {advice}" if advice else text
