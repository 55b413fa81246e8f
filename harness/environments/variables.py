"""Which of our environment variables an environment's process gets: those that programs need, and no others."""

from __future__ import annotations

import os

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ALLOWED = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TMP", "TEMP"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "CONDA_PREFIX"),
        *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "MPLBACKEND", "MPLCONFIGDIR"),
    ]
)
_FAMILIES = (
    *("LC_", "XDG_", "PYTHON", "FONTCONFIG_"),
    *("LIBGL_", "MESA_", "GALLIUM_", "EGL_", "__EGL_", "__GL_", "__GLX_", "VK_", "PYOPENGL_", "PYGLET_", "SDL_"),
    *("MUJOCO_", "PYGAME_", "PYBULLET_", "GYM_", "GYMNASIUM_", "PANDA3D_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMPY_", "NPY_", "NUMEXPR_", "NUMBA_"),
    *("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "JAX_", "XLA_", "TORCH_", "PYTORCH_", "TF_"),
)
"""How the names of groups of variables begin: locale, Python, drawing, simulators, threads, GPUs."""
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")

_FIXED = {
    "PYTHONHASHSEED": "0",
    "DISABLE_AUTO_DYNAMIC3D_SCENES_DOWNLOAD": "1",  # KinDER would fetch 1 GB of scenery where it is installed
}
"""What every host gets, whatever ours say."""


def variables() -> dict[str, str]:
    """Return the variables of a host. Libraries use one thread each, unless ours say otherwise."""
    kept = {name: value for name, value in os.environ.items() if _allowed(name)}
    return {**dict.fromkeys(_THREADS, "1"), **kept, **_FIXED}


def _allowed(name: str) -> bool:
    known = name in _ALLOWED or name.startswith(_FAMILIES)
    return known and not any(word in name.upper() for word in _SECRETS)
