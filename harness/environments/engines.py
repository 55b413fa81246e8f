"""The physics engines of KinDER, and whether each works here. This runs in the environment's own process.

KinDER leaves out the environments of an engine that cannot be imported, and does not say so. This file needs only the
standard library and NumPy.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

from harness.environments.drawing import advice, renderer_fault
from harness.environments.kinder_ids import IKFAST
from harness.imports import PackageMissing

ENGINES: Final = {
    "pymunk": ("pymunk",),
    "pybullet": ("pybullet", "pybullet_helpers"),
    "ikfast": ("pybullet", "pybullet_helpers"),
    "prpl_kinematics": ("pybullet", "prpl_kinematics"),
    "mujoco": ("mujoco",),
}
"""Each engine, and the modules that KinDER imports for it. `ikfast` is PyBullet with compiled inverse kinematics."""


def require_engine(engine: str) -> None:
    """Check that an engine works here. Raise `PackageMissing`, which says what is missing and what to install.

    The modules of an engine that does not draw by the machine's graphics are then imported.
    """
    fault = _graphics_fault() if engine == "mujoco" else _import_fault(engine)
    if fault is not None:
        raise PackageMissing(
            f"the engine {engine} of KinDER does not work with {sys.executable}: {fault}{advice(fault)}. "
            "`proctor setup --extra worlds` installs KinDER's engines and their libraries, for environments with "
            "`interpreter: worlds`"
        )


def _graphics_fault() -> str | None:
    """Return why MuJoCo does not work. Without a DISPLAY, KinDER imports it so that it draws by OSMesa or EGL."""
    if os.environ.get("DISPLAY"):
        return _import_fault("mujoco")
    return renderer_fault(os.environ.get("MUJOCO_GL", "osmesa"))


def _import_fault(engine: str) -> str | None:
    for module in ENGINES[engine]:
        try:
            importlib.import_module(module)
        except Exception as error:  # what a module raises without its libraries differs
            return " ".join(f"{type(error).__name__}: {error}".split())
    if engine == "ikfast" and not any(_packages().glob(f"{IKFAST.folder}/{IKFAST.module}*.so")):
        return f"{IKFAST.module} is not compiled in {_packages() / IKFAST.folder}"
    return None


def _packages() -> Path:
    """Return the folder in which `pybullet_helpers` is installed."""
    spec = importlib.util.find_spec("pybullet_helpers")
    return Path(str(spec.origin)).parents[1] if spec is not None else Path(sys.prefix)
