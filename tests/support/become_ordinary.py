"""Becomes an ordinary user and runs a command: `python -m tests.support.become_ordinary [--ids] COMMAND …`, as root.

Root's Python may lie where no other user may look, such as below /root. So the command runs in a mount namespace of its
own, in which such folders show what it needs, and nothing else. With `--ids`, the user may map further uids.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.agent.cli import pinned_clis
from harness.sandbox.image import images_folder
from harness.sandbox.kernel import CLONE_NEWNS, LIBC, call, move_mount, picked
from harness.sandbox.paths import interpreter_paths

NOBODY = 65534
_PRIVATE, _RECURSIVE, _BIND = 1 << 18, 1 << 14, 1 << 12
_FURTHER = 100_000
_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the command in the place of this process."""
    uncover([*interpreter_paths(), _ROOT, pinned_clis(), images_folder()])
    command = sys.argv[1:]
    if command[0] == "--ids":
        give_further_ids()
        del command[0]
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execvp(command[0], command)  # noqa: S606 - the test's own command


def give_further_ids() -> None:
    """Let the ordinary user map further uids, as podman needs, in this mount namespace. The host's files stay."""
    for name in ("subuid", "subgid"):
        place = Path("/etc", name)
        if place.exists():
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(f"{NOBODY}:{_FURTHER}:65536\n")
                file.flush()
                Path(file.name).chmod(0o644)
                call(LIBC.mount, file.name.encode(), bytes(place), None, _BIND, None)


def uncover(paths: Iterable[Path]) -> None:
    """Let every user enter the folders above these paths, in a new mount namespace. Missing paths are left out."""
    call(LIBC.unshare, CLONE_NEWNS)
    call(LIBC.mount, b"none", b"/", None, _PRIVATE | _RECURSIVE, None)
    found = {path.resolve() for path in paths if path.is_dir()}
    needed = sorted(path for path in found if found.isdisjoint(path.parents))
    covers = {cover: [path for path in needed if path.is_relative_to(cover)] for cover in _closed(needed)}
    for cover, below in covers.items():
        shown = [(path, picked(str(path))) for path in below]
        call(LIBC.mount, b"tmpfs", str(cover).encode(), b"tmpfs", 0, b"mode=755")
        for path, mount in shown:
            path.mkdir(parents=True, exist_ok=True)
            move_mount(mount, str(path))


def _closed(paths: Iterable[Path]) -> set[Path]:
    """Return the uppermost folders above the paths that other users may not enter."""
    found = set()
    for path in paths:
        closed = [one for one in reversed(path.parents) if not one.stat().st_mode & stat.S_IXOTH]
        found.update(closed[:1])
    return found


if __name__ == "__main__":
    main()
