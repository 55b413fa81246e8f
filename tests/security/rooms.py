"""Rooms for attempts: the real ones, and the same ones without some of their layers.

A weakened room is a positive control. An attempt that is held by a room counts only if it succeeds in a room that lacks
the layers which should have held it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from harness.case import SandboxConf
from harness.sandbox import bubblewrap, filesystem, launch, preparing
from harness.sandbox.base import Box, BoxRequest, Sandbox
from harness.sandbox.bubblewrap import BubblewrapSandbox
from harness.sandbox.factory import make_sandbox
from harness.sandbox.filesystem import INIT, Files, _directories
from harness.sandbox.none import NoSandbox
from harness.sandbox.views import Views

LAYERS = {
    "seccomp": "filtered calls",
    "landlock": "Landlock",
    "rights": "dropped rights",
    "userns": "closed user namespaces",
    "net": "private network",
    "pid": "private PIDs",
    "ipc": "private IPC",
    "cgroup": "private cgroups",
    "mounts": "private files",
    "views": "own views of shared files",
    "proc": "masked /proc",
    "devices": "private devices",
    "limits": "limits",
    "descriptors": "closed descriptors",
    "endpoint": "exclusive endpoint",
    "none": "any sandbox",
}
"""What a control can take away, in words."""

_ALLOW_ALL = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
_NAMESPACES = {"pid": "--unshare-pid", "net": "--unshare-net", "ipc": "--unshare-ipc", "cgroup": "--unshare-cgroup-try"}
_INIT = {
    "landlock": [("Init(control, ruleset())", "Init(control, None)")],
    "descriptors": [("os.set_inheritable(int(place), False)", "os.set_inheritable(int(place), True)")],
    "endpoint": [("_socket.SO_REUSEADDR", "_socket.SO_REUSEPORT")],
    "rights": [("    drop_bounding_set()\n    drop_privileges(int(uid) if uid else None)\n", "")],
}
"""How init becomes weaker: what is replaced in its text."""


class Weakened:
    """The bubblewrap sandbox without some layers. `shown` are host paths to show, by their path inside."""

    name, seals = "weakened", False
    version, weaker = "", ()

    def __init__(self, without: frozenset[str], shown: Mapping[str, Path]) -> None:
        most = {"max_processes": 10_000} if "limits" in without else {}
        self._sandbox = BubblewrapSandbox(replace(SandboxConf("weakened", "bubblewrap"), **most))
        self._without, self._shown = without, shown
        self.python = self._sandbox.python

    def open(self, request: BoxRequest) -> Box:
        """See `Sandbox.open`."""
        with _weakened(self._without, self._shown):
            return self._sandbox.open(request)


def sealing_kind() -> str:
    """Return the kind of sandbox that attempts are made in: the variable SANDBOX names it."""
    return os.environ.get("SANDBOX", "bubblewrap")


def sealed_sandbox(**limits: int) -> Sandbox:
    """Return a sandbox of the kind that attempts are made in."""
    return make_sandbox(replace(SandboxConf("sealed", sealing_kind()), **limits))


def sandbox_without(without: frozenset[str], shown: Mapping[str, Path]) -> Sandbox:
    """Return a sandbox without these layers: a weaker bubblewrap, for a control. Without none, it is the real one."""
    if "none" in without:
        return NoSandbox(SandboxConf("none", "none"))
    return Weakened(without, shown) if without else sealed_sandbox()


@contextmanager
def _weakened(without: frozenset[str], shown: Mapping[str, Path]) -> Iterator[None]:
    files, arguments, limits = filesystem.files, launch._arguments, preparing.limits_of
    with ExitStack() as stack:

        def put(module: Any, name: str, value: object) -> None:
            stack.enter_context(patch.object(module, name, value))

        gone = {option for layer, option in _NAMESPACES.items() if layer in without}
        put(bubblewrap, "_NAMESPACES", tuple(one for one in bubblewrap._NAMESPACES if one not in gone))
        put(bubblewrap, "files", lambda *a, **k: _weak_files(files(*a, **k), without, shown))
        put(bubblewrap, "limits_of", lambda *a: {} if "limits" in without else limits(*a))
        if "pid" in without:
            put(bubblewrap, "_LIFE", tuple(one for one in bubblewrap._LIFE if one != "--as-pid-1"))
        if without & {"views", "mounts"}:  # the views hide /sys, which a room without private files shows
            put(bubblewrap, "own_views", lambda options, *_, **__: Views(tuple(options)))
        if "seccomp" in without:
            put(bubblewrap, "seccomp_filter", lambda machine: _ALLOW_ALL)
        if "userns" in without:
            put(bubblewrap, "_AS_USER", tuple(one for one in bubblewrap._AS_USER if one != "--disable-userns"))
        if "rights" in without:
            put(bubblewrap, "_AS_ROOT", ("--cap-add", "ALL"))
            put(bubblewrap, "_AS_USER", ("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"))
        if "mounts" in without:
            put(launch, "_arguments", lambda *a: arguments(*a).replace("--remount-ro\0/\0", "", 1))
        yield


def _weak_files(files: Files, without: frozenset[str], shown: Mapping[str, Path]) -> Files:
    """Return the file system of a box without some layers."""
    options = list(files.options)
    if "proc" in without:
        options = [*_without_masks(options), "--bind", "/proc/irq", "/proc/irq"]
    if "devices" in without:
        start = options.index("--dev")
        options[start : start + 4] = ["--dev-bind", "/dev", "/dev"]
    if "mounts" in without:
        if "devices" not in without:
            start = options.index("/dev", options.index("--dev") + 2) - 1
            del options[start : start + 2]
        options = [
            "--bind" if one == "--ro-bind" and _given(options[at + 2]) else one for at, one in enumerate(options)
        ]
        for inside, path in shown.items():
            parents = (str(parent) for parent in reversed(Path(inside).parents) if parent != Path("/"))
            options += [*_directories(*parents), "--bind", str(path), inside]
    text = files.texts[INIT]
    for layer in sorted(without & _INIT.keys()):
        for old, new in _INIT[layer]:
            assert old in text, f"init has changed: {old}"
            text = text.replace(old, new)
    return replace(files, options=tuple(options), texts={**files.texts, INIT: text})


def _given(place: str) -> bool:
    """Return whether a place inside is a mount that the harness gives to a box, which a test may write to."""
    return place.startswith("/sandbox/") or "proctor-escape" in place


def _without_masks(options: list[str]) -> list[str]:
    """Return options that show all of /proc, and let /proc/sys be written."""
    kept, at = [], 0
    while at < len(options):
        words = options[at : at + 3]
        if words[0] == "--ro-bind" and words[2].startswith("/proc/"):
            at += 3
        elif words[0] in {"--tmpfs", "--remount-ro"} and words[1].startswith("/proc"):
            at += 2
        else:
            kept.append(options[at])
            at += 1
    return kept
