"""Searches a box for an environment: in files, names, modules, packages, memory maps, processes and error texts.

It runs inside, as a program of an agent, or as a module beside a policy. It needs only the standard library.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PLACES = ("/sandbox", "/tmp", "/dev/shm", "/home", "/opt", "/srv", "/etc")  # noqa: S108 - places to look
EVERYWHERE = ("/root", "/usr/local", "/usr/lib/python3", "/usr/share", "/mnt", "/media", "/var")


SOURCES = ("*.py", "*.pth", "METADATA", "RECORD", "*.txt", "*.json", "*.yaml")


def find(names: list[str], texts: list[str], modules: list[str], every: bool = False) -> list[str]:
    """Return traces of an environment, one line each.

    `names` are parts of names of files, packages and mapped files, `texts` are parts of contents, and `modules` are
    what must not be importable. If `every` is true, every file is searched. Otherwise, only sources are, in the usual
    places.
    """
    packages = sysconfig.get_path("purelib")
    tops = (
        [sys.prefix, os.path.realpath(sys.prefix), sys.base_prefix, *PLACES, *EVERYWHERE]
        if every
        else [packages, *PLACES]
    )
    tops = [top for top in dict.fromkeys([*tops, str(Path.cwd())]) if Path(top).is_dir()]
    searches = (_modules(modules, names), _packages(names), _processes(names), _names(tops, names))
    return [line for search in (*searches, _contents(tops, texts, every)) for line in search]


def _names(tops: list[str], names: list[str]) -> Iterator[str]:
    for top in tops:
        for folder, folders, files in os.walk(top):
            yield from (f"name: {folder}/{one}" for one in (*folders, *files) if any(name in one for name in names))


def _contents(tops: list[str], texts: list[str], every: bool) -> Iterator[str]:
    options = [part for text in texts for part in ("-e", text)] + [f"--include={name}" for name in SOURCES if not every]
    done = subprocess.run(["/bin/grep", "-rlaF", *options, *tops], capture_output=True, text=True, check=False)
    own = {str(Path(__file__).resolve()), str(Path(sys.argv[0]).resolve())}
    yield from (f"content: {file}" for file in done.stdout.splitlines() if str(Path(file).resolve()) not in own)


def _modules(modules: list[str], names: list[str]) -> Iterator[str]:
    for name in modules:
        with suppress(Exception):
            importlib.import_module(name)
            yield f"module: {name}"
    yield from (f"listed: {one.name}" for one in pkgutil.iter_modules() if any(name in one.name for name in names))


def _packages(names: list[str]) -> Iterator[str]:
    for package in importlib.metadata.distributions():
        told = f"{package.metadata['Name']} {package.requires}"
        yield from (f"package: {told}" for name in names if name in told)


def _processes(names: list[str]) -> Iterator[str]:
    """Yield what the box's processes have mapped, were started with, and see as mounts."""
    for process in Path("/proc").glob("[0-9]*"):
        for kind in ("maps", "cmdline", "environ", "mountinfo"):
            with suppress(OSError):
                told = (process / kind).read_bytes().decode(errors="replace")
                yield from (f"{kind}: {line}" for line in told.splitlines() if any(name in line for name in names))


def errors(seeds: list[int]) -> list[str]:
    """Return what the environment's client says when it is used wrongly in every way."""
    client: Any = importlib.import_module("env_client")
    told = []
    with client.make() as env:
        bad_states = [None, 1, "x", [], {}, [0.0], {"seed": 99_999}, env.get_state]
        calls: list[Any] = [
            env.get_state,
            env.render,
            lambda: env.step(None),
            lambda: env.step("x"),
        ]
        calls += [lambda seed=seed: env.reset(seed=seed) for seed in seeds]
        calls += [lambda state=state: env.set_state(state) for state in bad_states]
        for call in calls:
            try:
                call()
            except Exception as error:
                told.append(f"{type(error).__name__}: {error}")
    return told


if __name__ == "__main__":
    print(json.dumps({"found": find(*json.loads(sys.argv[1])), "errors": errors([-1, 10_000, 10**30])}))
