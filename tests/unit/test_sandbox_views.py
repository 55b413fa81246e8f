"""Boxes pass no signals by the files of the host that they share, and see the same contents as without views."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox import views
from harness.sandbox.base import Box
from harness.sandbox.views import own_views
from tests.support.sandboxes import PYTHON, bubblewrap, finish, python, request

SHARED = ("/usr", "/usr/bin/env", "/etc/ld.so.cache", "/proc/sys/kernel/ostype")
DEVICES = ("/dev/null", "/dev/urandom") if os.geteuid() == 0 else ()

HOLDS = """
import ctypes, fcntl, os, select, sys
libc = ctypes.CDLL(None)
watch = libc.inotify_init()
held = []
for path in sys.argv[1:]:
    assert libc.inotify_add_watch(watch, path.encode(), 0xfff) >= 0
    held.append(os.open(path, os.O_RDONLY))
    fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
while select.select([watch], [], [], 0)[0]:
    os.read(watch, 1 << 16)
print("up", flush=True)
sys.stdin.read()
print(select.select([watch], [], [], 0)[0])
"""

LOOKS = """
import fcntl, os, sys
for path in sys.argv[1:]:
    file = os.open(path, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.listdir(file) if os.path.isdir(path) else os.read(file, 10)
print("free")
"""


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[tuple[Box, Box]]:
    with bubblewrap().open(request(tmp_path / "one")) as one, bubblewrap().open(request(tmp_path / "two")) as two:
        yield one, two


def test_no_box_sees_what_another_locks_and_opens(boxes: tuple[Box, Box]) -> None:
    one, two = boxes
    files = (*SHARED, *DEVICES, PYTHON.inside)
    one.exec(python(HOLDS, *files), {})
    assert one.stdout.read(3) == b"up\n"
    assert finish(two, python(LOOKS, *files)) == (0, "free\n")
    one.stdin.close()
    assert one.stdout.read() == b"[]\n"


def test_no_box_sees_what_another_does_with_a_shared_mount(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/file").write_text("text")
    given = {"mounts": {"given": tmp_path / "given"}, "shared": frozenset({"given"})}
    files = ("/sandbox/given", "/sandbox/given/file")
    with (
        bubblewrap().open(request(tmp_path / "one", **given)) as one,
        bubblewrap().open(request(tmp_path / "two", **given)) as two,
    ):
        one.exec(python(HOLDS, *files), {})
        assert one.stdout.read(3) == b"up\n"
        assert finish(two, python(LOOKS, *files)) == (0, "free\n")
        one.stdin.close()
        assert one.stdout.read() == b"[]\n"


def test_a_mount_that_no_other_box_shows_can_change(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    with bubblewrap().open(request(tmp_path / "box", mounts={"given": tmp_path / "given"})) as box:
        box.exec(["sh", "-c", "ls /sandbox/given; read line; ls /sandbox/given"], {})
        (tmp_path / "given/file").touch()
        box.stdin.write(b"go\n")
        box.stdin.close()
        assert b"file\n" in box.stdout.read()


def test_a_view_has_the_contents_of_its_folder(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    (shown / "folder").mkdir(parents=True)
    (shown / "folder/file").write_text("text")
    (shown / "link").symlink_to("folder/file")
    (shown / "program").write_text("#!/bin/sh\necho ran\n")
    (shown / "program").chmod(0o755)
    for folder in (shown, *shown.parents[:3]):
        folder.chmod(0o755)
    looks = "cat link; ./program; ls; echo x > folder/file || echo kept"
    with bubblewrap().open(request(tmp_path / "box", readable=(*PYTHON.readable, shown))) as box:
        printed = finish(box, ["sh", "-c", f"cd {shown}; {looks}"])[1]
    assert printed == "textran\nfolder\nlink\nprogram\nkept\n"
    assert (shown / "folder/file").read_text() == "text"


def test_a_folder_with_an_unusual_name_is_shown_all_the_same(tmp_path: Path) -> None:
    shown = tmp_path / "a: b,c"
    shown.mkdir()
    (shown / "file").write_text("text")
    with bubblewrap().open(request(tmp_path / "box", readable=(*PYTHON.readable, shown))) as box:
        assert finish(box, ["cat", f"{shown}/file"]) == (0, "text")


IN_MEMORY = "/dev/shm"  # noqa: S108 - a folder is made in it


@pytest.mark.skipif(not os.access(IN_MEMORY, os.W_OK), reason="this machine has none")
def test_a_box_may_lie_in_memory() -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        Path(name).chmod(0o755)
        with bubblewrap().open(request(Path(name, "box"))) as box:
            assert finish(box, ["sh", "-c", "echo text > file; cat file; : > /dev/null"]) == (0, "text\n")


def test_a_machine_without_unshare_shows_folders_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(views, "_command", lambda as_root: ("/nowhere/unshare",))
    options = ("--ro-bind", f"{tmp_path}/folder", f"{tmp_path}/folder")
    assert own_views(options, (), as_root=os.geteuid() == 0) == views.Views(options)


MOUNTED = """
import sys
from pathlib import Path
from harness.sandbox.kernel import CLONE_NEWNS, LIBC, call
from tests.support.sandboxes import PYTHON, bubblewrap, finish, request

shown = Path(sys.argv[1])
call(LIBC.unshare, CLONE_NEWNS)
call(LIBC.mount, b"none", b"/", None, 1 << 18 | 1 << 14, None)
for name in ("folder", "file"):
    call(LIBC.mount, f"{shown}/../{name}".encode(), f"{shown}/{name}".encode(), None, 4096, None)
with bubblewrap().open(request(shown.parent / "box", readable=(*PYTHON.readable, shown))) as box:
    print(finish(box, ["sh", "-c", f"cat {shown}/file {shown}/folder/inner {shown}/other; ls {shown}"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_what_is_mounted_below_a_shown_folder_is_shown_too(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inner").write_text("inner ")
    (tmp_path / "file").write_text("file ")
    (tmp_path / "shown/folder").mkdir(parents=True)
    (tmp_path / "shown/file").touch()
    (tmp_path / "shown/other").write_text("other ")
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    run = subprocess.run(
        [sys.executable, "-c", MOUNTED, str(tmp_path / "shown")], capture_output=True, text=True, check=False
    )
    assert run.stdout == "(0, 'file inner other file\\nfolder\\nother\\n')\n", run.stderr
