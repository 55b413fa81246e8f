"""Runs inside a box, and looks for a secret in all that it can read: `python secret_hunter.py SINCE < SECRET`.

SINCE is a time in seconds. A file that has not changed since then cannot hold the secret. It prints where it found it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

LARGEST = 1 << 20


def files(since: float) -> Iterator[Path]:
    """Yield the files that may hold the secret."""
    for folder, folders, names in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in {"proc", "sys", "dev"}]
        for name in names:
            path = Path(folder, name)
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_ctime >= since:
                yield path
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            yield from (process / name for name in ("environ", "cmdline", "mountinfo", "cgroup"))
    yield from (Path("/proc", name) for name in ("mounts", "cmdline"))


def main() -> None:
    secret = sys.stdin.buffer.read()
    if any(secret in os.fsencode(f"{name}={value}") for name, value in os.environ.items()):
        print("its own variables")
    for path in files(float(sys.argv[1])):
        try:
            with path.open("rb") as file:
                if secret in file.read(LARGEST):
                    print(path)
        except OSError:
            continue
    print("looked")


if __name__ == "__main__":
    main()
