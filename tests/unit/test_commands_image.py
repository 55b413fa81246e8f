"""An image is made of a system's archive: only what boxes show, without owners, devices and setuid bits."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands.installing import image, watch
from harness.commands.main import main
from harness.sandbox.base import SandboxError
from harness.sandbox.image import about, current_image

STATUS = "Package: git\nStatus: install ok installed\nVersion: 1:2.39\n\nPackage: zlib1g\nVersion: 1.2\n"


def system(content: bytes = b"#!/bin/sh\n") -> Callable[[Path], None]:
    """Return a function that writes the archive of a small system."""

    def fill(archive: Path) -> None:
        with tarfile.open(archive, "w") as packed:

            def add(
                name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", mode: int = 0o644, to: str = ""
            ) -> None:
                member = tarfile.TarInfo(f"./{name}")
                member.type, member.size, member.mode, member.linkname, member.uid = kind, len(data), mode, to, 7
                packed.addfile(member, io.BytesIO(data))

            add("usr", tarfile.DIRTYPE, mode=0o700)
            add("usr/bin/su", data=content, mode=0o4755)
            add("usr/share/doc/git/README", data=b"long")
            add("bin", tarfile.SYMTYPE, to="usr/bin", mode=0o777)
            add("etc/shadow", data=b"root:")
            add("etc/ssl/certs/ca.pem", data=b"certificate", mode=0o600)
            add("usr/null", tarfile.CHRTYPE)
            add("var/lib/dpkg/status", data=STATUS.encode())

    return fill


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "proctor/image"


def quiet(_text: str) -> None:
    """Say nothing."""


def test_an_image_holds_what_boxes_show_and_no_rights(images: Path) -> None:
    built = image.build_from(images, system(), quiet)
    assert current_image() == built
    root = built.root
    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o755
    assert (root / "usr").stat().st_mode & 0o777 == 0o755
    assert (root / "etc/ssl/certs/ca.pem").stat().st_mode & 0o777 == 0o644
    assert (root / "bin").readlink() == Path("usr/bin")
    assert not any((root / name).exists() for name in ("etc/shadow", "usr/share/doc", "usr/null", "var"))


def test_an_image_knows_its_packages_and_has_a_place_for_what_the_host_lends(images: Path) -> None:
    built = image.build_from(images, system(), quiet)
    known = about(built)
    assert known.packages == {"git": "1:2.39", "zlib1g": "1.2"}
    for path in known.lent:
        place = built.root / path.lstrip("/")
        assert place.exists() or place.is_symlink()
    assert not image.is_current(built), "it lacks packages"


def test_the_digest_is_that_of_the_contents(images: Path) -> None:
    first = image.build_from(images, system(), quiet)
    assert image.build_from(images, system(), quiet) == first
    second = image.build_from(images, system(b"#!/bin/dash\n"), quiet)
    assert second.digest != first.digest
    assert current_image() == second
    assert sorted(path.name for path in images.iterdir()) == sorted([first.digest, second.digest, "current"])


def test_a_build_that_fails_leaves_the_old_image(images: Path) -> None:
    first = image.build_from(images, system(), quiet)

    def fail(_archive: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        image.build_from(images, fail, quiet)
    assert current_image() == first
    assert sorted(path.name for path in images.iterdir()) == sorted([first.digest, "current"])


ENGINE = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$1" in
  create) echo made;;
  export) cp "$0.tar" "$3";;
esac
"""


def test_an_engine_builds_the_containerfile_and_gives_its_files(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "podman"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    system()(tmp_path / "podman.tar")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert main(["image", "--engine", "podman", "--base", "localhost/debian"]) == 0
    build, create, export, remove = (tmp_path / "podman.calls").read_text().splitlines()
    assert "--build-arg BASE=localhost/debian" in build
    assert "ripgrep" in build
    assert create.endswith("proctor-system true")
    assert export.endswith(" made")
    assert remove == "rm --force made"
    assert (current_image().root / "usr/bin/su").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--base", "debian"], "--base needs --engine"),
        (["--engine", "podman", "--base", ""], "--base: the name of the image is empty"),
    ],
)
def test_a_base_is_the_name_of_an_image_for_an_engine(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["image", *arguments])
    assert said in capsys.readouterr().err


def test_without_an_image_the_command_is_named(images: Path) -> None:
    with pytest.raises(SandboxError, match="proctor image"):
        current_image()


def test_a_machine_without_sources_is_told(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "_sources", lambda: iter(()))
    assert main(["image"]) == 1
    assert "this machine has no Debian sources of apt" in capsys.readouterr().err


def test_a_build_removes_what_a_killed_build_left(images: Path) -> None:
    left = images / "partial-x"
    left.mkdir(parents=True)
    (left / "system.tar").write_bytes(b"half")
    built = image.build_from(images, system(), quiet)
    assert not left.exists()
    assert current_image() == built


def test_sigterm_ends_a_build_and_its_program(images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bin/podman"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    running = []

    def interrupted(process: subprocess.Popen[bytes], _what: str) -> None:
        running.append(process)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watch, "watch", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        main(["image", "--engine", "podman"])
    assert signal.getsignal(signal.SIGTERM) == before
    assert [process.returncode for process in running] == [-signal.SIGTERM]
    assert not list(images.glob("partial-*"))
