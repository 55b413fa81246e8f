"""Builds the image of containers: a small system of Debian packages, from the sources that this machine's apt uses."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from harness.commands.errors import SetupFailed
from harness.commands.installing.apt import apt_install
from harness.commands.installing.libraries import SHARED
from harness.commands.installing.watch import run_watched
from harness.commands.installing.whole import alone
from harness.environments.interpreters import INTERPRETERS, folder_of, is_complete, python_in
from harness.sandbox.filesystem import ETC, SYSTEM
from harness.sandbox.image import About, Image, about
from harness.sandbox.paths import interpreter_paths, program_paths, python_at

PACKAGES = ("ca-certificates", "git", "procps", "python3", "ripgrep")
"""What an agent's programs need, besides what Debian's `minbase` has. node, CLIs and Pythons are the host's."""
_BOOTSTRAP = "mmdebstrap"
_STATUS = "var/lib/dpkg/status"
_TOP = tuple(name.lstrip("/") for name in SYSTEM)
_LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/")
_PARTIAL = "partial-"


def lent_paths() -> list[str]:
    """Return what boxes show of the host inside the system's folders: node and the Pythons, if they are there."""
    node = shutil.which("node")
    extras = (python_in(folder_of(extra)) for extra in INTERPRETERS if is_complete(folder_of(extra)))
    found = {
        *interpreter_paths(),
        *(program_paths(Path(node)) if node else ()),
        *(path for python in extras for path in python_at(python).readable),
    }
    places = {place for path in found for place in (path, path.resolve())}
    return sorted(str(path) for path in places if str(path).startswith(tuple(f"{one}/" for one in SYSTEM)))


def packages() -> list[str]:
    """Return the Debian packages to install: those that always are, and the libraries of an extra that is installed."""
    simulated = any(is_complete(folder_of(extra)) for extra in INTERPRETERS)
    return sorted({*PACKAGES, *(SHARED if simulated else ())})


def is_current(image: Image) -> bool:
    """Return whether an image has what this machine needs now. Raise `SandboxError` if it is damaged."""
    known = about(image)
    return set(known.lent) >= set(lent_paths()) and set(known.packages) >= set(packages())


def build(folder: Path, tell: Callable[[str], None]) -> Image:
    """Build an image from Debian packages in the folder of images, and make it the current one. Raise `SetupFailed`."""
    sources = list(_sources())
    release = _release()
    if not sources or release is None:
        raise SetupFailed(
            "this machine has no Debian sources of apt: build from the Containerfile instead "
            "(proctor image --engine podman)"
        )
    _require_bootstrap(tell)
    wanted = packages()
    tell(f"Building an image of {release} with {', '.join(wanted)}: about a minute")

    def fill(archive: Path) -> None:
        options = ["--quiet", "--variant=minbase", f"--include={','.join(wanted)}"]
        run_watched([_BOOTSTRAP, *options, release, str(archive), *map(str, sources)], _BOOTSTRAP)

    return build_from(folder, fill, tell)


def build_from(folder: Path, fill: Callable[[Path], None], tell: Callable[[str], None]) -> Image:
    """Make an image of the archive (tar) of a system that `fill` writes, and make it the current one.

    One build at a time works in a folder. It removes what a killed one left there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        alone(folder, tell),
        tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder, ignore_cleanup_errors=True) as scratch,
    ):
        for left in set(folder.glob(f"{_PARTIAL}*")) - {Path(scratch)}:  # by a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        archive, new = Path(scratch, "system.tar"), Path(scratch, "image")
        fill(archive)
        tell("Unpacking it")
        new.mkdir()
        installed = unpack(archive, new / "root")
        lent = lent_paths()
        for path in lent:
            _make_place(new / "root", Path(path))
        (new / "about.json").write_bytes(msgspec.json.format(msgspec.json.encode(About(installed, lent))))
        image = Image(folder / digest_of(new / "root"), digest_of(new / "root"))
        if not image.folder.exists():
            new.chmod(0o755)
            new.rename(image.folder)
        _choose(image)
    return image


def unpack(archive: Path, root: Path) -> dict[str, str]:
    """Unpack what a box shows of a system: programs, libraries and a part of /etc. Return its packages' versions.

    Files lose owner and setuid bits. Devices, documentation and translations are left out.
    """
    root.mkdir()
    root.chmod(0o755)
    status = b""
    with tarfile.open(archive) as system:
        for member in system:
            name = member.name.removeprefix("./")
            if name == _STATUS and (file := system.extractfile(member)):
                status = file.read()
            if _wanted(name) and (member.isfile() or member.isdir() or member.issym() or member.islnk()):
                system.extract(member, root, filter=_plain)
    return dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", status.decode(), re.MULTILINE))


def digest_of(root: Path) -> str:
    """Return a digest of all names, modes, links and contents below a folder."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = bytes(path.readlink()) if stat.S_ISLNK(mode) else b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        total.update(b"%s\0%o\0%s\0" % (os.fsencode(path.relative_to(root)), mode, content))
    return total.hexdigest()[:16]


def _plain(member: tarfile.TarInfo, _folder: str) -> tarfile.TarInfo:
    mode = member.mode & 0o755 | (0o755 if member.isdir() else 0o444)
    return member.replace(mode=mode, uid=os.geteuid(), gid=os.getegid(), uname="", gname="", deep=False)


def _wanted(name: str) -> bool:
    if name.startswith(_LEFT_OUT):
        return False
    places = (*_TOP, *(f"etc/{part}" for part in ETC))
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _make_place(root: Path, path: Path) -> None:
    """Make in the image what the host's path is mounted on: a folder or an empty file, or a copy of a link."""
    place = root / path.relative_to("/")
    if place.is_symlink() or place.exists() or _through_link(root, path):
        return
    for missing in reversed([each for each in place.parents if not each.exists()]):
        missing.mkdir()
        missing.chmod(0o755)
    if path.is_symlink():
        place.symlink_to(path.readlink())
    elif path.is_dir():
        place.mkdir()
        place.chmod(0o755)
    else:
        place.touch()
        place.chmod(0o644)


def _through_link(root: Path, path: Path) -> bool:
    """Return whether the path leads through a link of the image, such as /bin. What it leads to is lent, too."""
    return any((root / parent.relative_to("/")).is_symlink() for parent in path.parents if parent != Path("/"))


def _choose(image: Image) -> None:
    link = image.folder.with_name(f"current.{os.getpid()}")
    link.symlink_to(image.folder.name)
    link.rename(image.folder.with_name("current"))


def _sources(etc: Path = Path("/etc/apt")) -> Iterator[Path]:
    """Yield the files that list apt's sources."""
    found: Iterable[Path] = (etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list")))
    yield from (path for path in found if path.is_file() and re.search(r"^deb\s", path.read_text(), re.MULTILINE))
    yield from sorted(etc.glob("sources.list.d/*.sources"))


def _release() -> str | None:
    """Return the code name of this Debian or its relative."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        return None


def _require_bootstrap(tell: Callable[[str], None]) -> None:
    if shutil.which(_BOOTSTRAP):
        return
    needs: Sequence[str] = [_BOOTSTRAP]
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise SetupFailed(f"{_BOOTSTRAP} is not installed: run `sudo apt-get install {_BOOTSTRAP}`")
    tell(f"Installing {_BOOTSTRAP} through apt")
    apt_install(apt, needs, f"{_BOOTSTRAP} is not installed")
