"""A bare git repository that the harness writes by itself: no program of git runs, and so no hook, filter or attribute.

The files of a version are blobs and trees, each version is a commit, and `main` is the latest one. Contents are stored
without compression, so that a search for secrets finds them (`harness.secrecy`).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Final

_FILES: Final = {
    "HEAD": "ref: refs/heads/main\n",
    "config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
}
_AUTHOR: Final = "Proctor <proctor@localhost>"
_FILE, _FOLDER = b"100644", b"40000"
_BLOCK: Final = 0xFFFF
"""The most bytes of a block that is not compressed."""


class BrokenRepository(Exception):
    """An object is missing, or is not what its name says. The message tells which one."""


class Repository:
    """The repository in a folder. It is made by the first commit.

    `size` is the number of bytes of contents that this object has written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self._head: str | None = None

    def commit(self, files: Mapping[str, bytes], message: str, at: int) -> str:
        """Add a version and return the name of its commit. `at` is the time in seconds since 1970.

        Raise `OSError` if it cannot be written.
        """
        if self._head is None:
            self._make()
        tree = self._tree(files)
        parent = f"parent {self._head}\n" if self._head else ""
        text = f"tree {tree}\n{parent}author {_AUTHOR} {at} +0000\ncommitter {_AUTHOR} {at} +0000\n\n{message}\n"
        self._head = self._add("commit", text.encode())
        _replace(self.folder / "refs/heads/main", f"{self._head}\n".encode())
        return self._head

    def files(self, commit: str) -> dict[str, bytes]:
        """Return the files of a version. Raise `BrokenRepository` if one of its objects cannot be used."""
        text = self._read(commit, "commit").decode("utf-8", "replace")
        tree = next((line[5:] for line in text.splitlines() if line.startswith("tree ")), "")
        return dict(self._below(tree, ""))

    def _below(self, tree: str, path: str) -> Iterator[tuple[str, bytes]]:
        data = self._read(tree, "tree")
        while data:
            head, _, rest = data.partition(b"\0")
            mode, _, raw = head.partition(b" ")
            name, data = rest[:20].hex(), rest[20:]
            where = path + raw.decode()
            if mode == _FOLDER:
                yield from self._below(name, f"{where}/")
            else:
                yield where, self._read(name, "blob")

    def _make(self) -> None:
        for name in ("objects", "refs/heads"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in _FILES.items():
            _replace(self.folder / name, text.encode())

    def _tree(self, files: Mapping[str, bytes]) -> str:
        """Add the files and folders below one folder, and return the name of its tree."""
        entries: dict[str, tuple[bytes, str]] = {}
        folders: dict[str, dict[str, bytes]] = {}
        for path, content in files.items():
            name, _, rest = path.partition("/")
            if rest:
                folders.setdefault(name, {})[rest] = content
            else:
                entries[name] = _FILE, self._add("blob", content)
        entries |= {name: (_FOLDER, self._tree(inner)) for name, inner in folders.items()}
        ordered = sorted(entries.items(), key=lambda entry: (entry[0] + "/" * (entry[0] in folders)).encode())
        return self._add(
            "tree", b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(sha) for name, (mode, sha) in ordered)
        )

    def _add(self, kind: str, content: bytes) -> str:
        data = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        path = self._path(name)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _replace(path, b"".join(_stored(data)))
            self.size += len(content)
        return name

    def _read(self, name: str, kind: str) -> bytes:
        """Return the content of an object. Its name is the SHA-1 of what it must be."""
        try:
            data = zlib.decompress(self._path(name).read_bytes())
        except (OSError, zlib.error) as error:
            raise BrokenRepository(f"{kind} {name} of {self.folder.name} cannot be read: {error}") from error
        if hashlib.sha1(data, usedforsecurity=False).hexdigest() != name or not data.startswith(f"{kind} ".encode()):
            raise BrokenRepository(f"{kind} {name} of {self.folder.name} is not what its name says")
        return data.partition(b"\0")[2]

    def _path(self, name: str) -> Path:
        return self.folder / "objects" / name[:2] / name[2:]


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole, or leave it as it is."""
    new = path.with_name(f"{path.name}.{token_hex(4)}")
    new.write_bytes(data)
    new.replace(path)


def _stored(data: bytes) -> Iterator[bytes]:
    """Yield data in the form of zlib without compression. No line is divided, if there are line breaks."""
    yield b"\x78\x01"
    begin = 0
    while begin < len(data):  # the header is always there
        end = len(data)
        if end - begin > _BLOCK:
            end = data.rfind(b"\n", begin, begin + _BLOCK) + 1 or begin + _BLOCK
        size = end - begin
        yield bytes([end == len(data)]) + size.to_bytes(2, "little") + (size ^ _BLOCK).to_bytes(2, "little")
        yield data[begin:end]
        begin = end
    yield zlib.adler32(data).to_bytes(4, "big")
