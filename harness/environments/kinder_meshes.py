"""Keeps KinDER from writing where it is installed.

Its MuJoCo environments generate meshes at each reset, and write them beside their assets, which nobody removes. Here
they go to a temporary folder of the environment's process. The next process that needs such a folder removes those of
processes that have ended.

This file needs only the standard library, and KinDER.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from harness.temporary import temporary_folder

_OBJECTS = "kinder.envs.dynamic3d.objects"
_kept = ExitStack()


@cache
def write_meshes_elsewhere() -> Path:
    """Let KinDER's MuJoCo environments write meshes to a temporary folder from now on. Return the folder."""
    folder = _kept.enter_context(temporary_folder("meshes"))
    save = importlib.import_module(f"{_OBJECTS}.utils").save_mesh

    def save_elsewhere(vertices: Any, faces: Any, _mesh_dir: Any = None) -> str:
        return str(save(vertices, faces, folder))

    for name in ("utils", "generated_objects"):
        module: Any = importlib.import_module(f"{_OBJECTS}.{name}")
        module.save_mesh = save_elsewhere
    return folder


def remove_meshes() -> None:
    """Remove the folder, if there is one. No environment of this process may be used afterwards."""
    _kept.close()
