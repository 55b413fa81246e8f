"""Folders as a hostile agent may leave them: deep, unreadable, full of links, pipes and odd names."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import strategies as st
from msgspec import Struct

from harness.untrusted.traps import trap

TRAPS = (
    ".git", ".envrc", ".vscode", "conftest.py", "pytest.ini", "sitecustomize.py", "evil.pth", "Makefile", "makefile",
    "justfile", "Taskfile.yml", "package.json", "noxfile.py", "tasks.py", "dodo.py", "setup.py", "setup.cfg", "tox.ini",
    "pyproject.toml", "HEAD", "test_it.py", "evil.dist-info", "Dockerfile", "usercustomize.py", "CONFTEST.py",
)  # fmt: skip
ORDINARY = ("approach.py", "helper.py", "weights.npy", "notes.txt", "data.json", "README.md", "objects", "refs", "d")
ODD = ("a b", "-rf", "\x1b[2J", "new\nline", os.fsdecode(b"bad\xff"), "é", "'", "x" * 255, "(not stored)", "\u202e")


class PlantedFile(Struct, frozen=True):
    """A file with these bytes and this mode."""

    data: bytes = b"x"
    mode: int = 0o644


class PlantedFolder(Struct, frozen=True):
    """A folder with this mode. `depth` further folders are nested in it, one in another."""

    entries: dict[str, object] = {}
    mode: int = 0o755
    depth: int = 0


class PlantedLink(Struct, frozen=True):
    """A symlink."""

    target: str


class PlantedPipe(Struct, frozen=True):
    """A FIFO, or a socket."""

    is_socket: bool = False


class SecondName(Struct, frozen=True):
    """A hard link to the file `approach.py` at the top, if that is there."""


_names = st.sampled_from([*TRAPS, *ORDINARY, *ODD])
_modes = st.sampled_from([0o755, 0o000, 0o100, 0o300, 0o500, 0o4755, 0o2777])
_leaves = st.one_of(
    st.builds(PlantedFile, st.binary(max_size=200), _modes),
    st.builds(PlantedLink, st.sampled_from(["../../outside", "/etc/passwd", "nowhere", ".", "\x1b[0m"])),
    st.builds(PlantedPipe, st.booleans()),
    st.just(SecondName()),
    st.builds(PlantedFolder, mode=_modes, depth=st.sampled_from([0, 3, 100])),
)
_entries = st.recursive(
    _leaves,
    lambda inner: st.builds(PlantedFolder, st.dictionaries(_names, inner, max_size=5), _modes, st.sampled_from([0, 1])),
    max_leaves=15,
)
hostile_trees = st.builds(PlantedFolder, st.dictionaries(_names, _entries, max_size=8), _modes)
"""Trees to plant."""


def plant(path: Path, tree: PlantedFolder) -> None:
    """Make the tree at `path`, which is outside the folder `outside` that its links lead to."""
    _plant_folder(path, tree, path)


def _plant_folder(path: Path, folder: PlantedFolder, top: Path) -> None:
    path.mkdir()
    for name, entry in folder.entries.items():
        _plant_entry(path / name, entry, top)
    nest(path, folder.depth)
    path.chmod(folder.mode)


def _plant_entry(path: Path, entry: object, top: Path) -> None:
    match entry:
        case PlantedFolder():
            _plant_folder(path, entry, top)
        case PlantedFile():
            path.write_bytes(entry.data)
            path.chmod(entry.mode)
        case PlantedLink():
            path.symlink_to(entry.target)
        case PlantedPipe():
            _plant_pipe(path, entry)
        case SecondName():
            with suppress(OSError):  # it is missing, or a folder
                path.hardlink_to(top / "approach.py")


def nest(path: Path, depth: int) -> None:
    """Nest folders in a folder, one in another."""
    here = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        with suppress(FileExistsError):
            os.mkdir("deep", dir_fd=here)
        here, outer = os.open("deep", os.O_RDONLY, dir_fd=here), here
        os.close(outer)
    os.close(here)


def _plant_pipe(path: Path, pipe: PlantedPipe) -> None:
    if not pipe.is_socket:
        os.mkfifo(path)
        return
    parent = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as door, suppress(OSError):  # its name may be too long
        door.bind(f"/proc/self/fd/{parent}/{path.name}")
    os.close(parent)


@contextmanager
def an_outside(place: Path) -> Iterator[None]:
    """Make the folder `outside` in `place`, and check afterwards that nobody has touched it."""
    outside = place / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").write_text("kept")
    yield
    assert outside.stat().st_mode & 0o7777 == 0o750
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"kept": "kept"}


def plain_traps(top: Path) -> list[str]:
    """Return the entries below a folder that a program runs or obeys by itself, and those that are no plain files."""
    return [
        str(path.relative_to(top))
        for path in top.rglob("*")
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or trap(path.name, is_folder=path.is_dir())
    ]
