"""A file system that is described step by step becomes folders of our own, and mounts in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.sandbox.base import SandboxError
from harness.sandbox.filesystem import Files
from harness.sandbox.layout import Bind, Layout, lay_out


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of the host with a package that has two modules."""
    host = tmp_path / "host"
    for name in ("package/shown.py", "package/hidden.py", "system/bin/sh"):
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).touch()
    return host


def laid_out(folder: Path, *options: str, **texts: str) -> Layout:
    (folder / "box").mkdir()
    return lay_out(folder / "box", Files(options, {f"/{name}": text for name, text in texts.items()}))


def at(layout: Layout, place: str) -> Bind:
    [bind] = [bind for bind in layout.binds if bind.place == place]
    return bind


def test_folders_links_and_texts_are_made(tmp_path: Path) -> None:
    layout = laid_out(tmp_path, *("--perms", "0755", "--dir", "/a/b", "--symlink", "usr/bin", "/bin"), greeting="hello")
    assert (layout.root / "a/b").is_dir()
    assert (layout.root / "bin").readlink() == Path("usr/bin")
    assert (layout.root / "greeting").read_text() == "hello"


def test_a_mount_has_a_mount_point_of_its_kind(tmp_path: Path, host: Path) -> None:
    folder, file = str(host / "package"), str(host / "package/shown.py")
    layout = laid_out(tmp_path, *("--ro-bind", folder, "/x/package"), *("--bind", file, "/y/file"))
    assert (layout.root / "x/package").is_dir()
    assert (layout.root / "y/file").is_file()
    assert at(layout, "/x/package") == Bind(host / "package", "/x/package")
    assert at(layout, "/y/file").writable


def test_a_folder_is_made_anew_without_what_is_hidden(tmp_path: Path, host: Path) -> None:
    folder = f"{host}/package"
    layout = laid_out(
        tmp_path,
        *("--ro-bind", folder, folder),
        *("--perms", "0755", "--tmpfs", folder),
        *("--ro-bind", f"{folder}/shown.py", f"{folder}/shown.py"),
        *("--remount-ro", folder),
    )
    anew = at(layout, folder)
    assert anew.source.is_relative_to(tmp_path / "box")
    assert [path.name for path in anew.source.iterdir()] == ["shown.py"], "the mount point, and no name that is hidden"
    assert not anew.writable


def test_a_later_mount_hides_what_was_mounted_below(tmp_path: Path, host: Path) -> None:
    layout = laid_out(tmp_path, *("--ro-bind", f"{host}/package", "/x/package"), *("--ro-bind", f"{host}/system", "/x"))
    assert [bind.place for bind in layout.binds if bind.place.startswith("/x")] == ["/x"]


def test_what_a_mount_lacks_cannot_be_mounted_on(tmp_path: Path, host: Path) -> None:
    options = ("--ro-bind", f"{host}/system", "/usr", "--ro-bind", f"{host}/package", "/usr/lib/package")
    with pytest.raises(SandboxError, match="no place to show /usr/lib/package: its image lacks it\nbuild the image"):
        laid_out(tmp_path, *options)


def test_parts_of_proc_are_to_be_hidden_and_memory_has_a_size(tmp_path: Path) -> None:
    layout = laid_out(
        tmp_path,
        *("--proc", "/proc", "--remount-ro", "/proc"),
        *("--ro-bind", "/dev/null", "/proc/kcore", "--tmpfs", "/proc/irq", "--remount-ro", "/proc/irq"),
        *("--perms", "1777", "--size", "4096", "--tmpfs", "/tmp"),  # noqa: S108 - a place inside
    )
    assert layout.masked == ("/proc/kcore", "/proc/irq")
    assert layout.tmp_bytes == 4096
    assert (layout.root / "tmp").stat().st_mode & 0o7777 == 0o1777
