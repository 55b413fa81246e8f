"""The search path of the configuration: the project's own `conf/` first, then the one that comes with Proctor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from msgspec import Struct

from harness.endings import ConfError
from harness.packaged import packaged_conf

_NAMED = re.compile(r"(?<![\w./-])conf/([\w-]+(?:/[\w.-]+)?\.(?:yaml|jsonl))")
"""The name of a file in messages, whatever folder it is in: `conf/suite/pr.yaml`."""


def one_line(error: Exception) -> str:
    """Return what is wrong with a YAML file, or with a part of one, as one line."""
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}; save the file as UTF-8"
    return re.sub(r"\s+", " ", str(error)).strip()


class ConfPath(Struct, frozen=True):
    """The folders that hold a project's configuration, in the order of search.

    `root` is the project's root folder. The first of `folders` is its own `conf/`, which may not exist. The packaged
    folder comes last. A file hides files of the same name in later folders.
    """

    root: Path
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, root: Path) -> Self:
        """Return the search path of the project in `root`."""
        own, packaged = root / "conf", packaged_conf()
        same = own.resolve() == packaged.resolve()
        return cls(root, (own,) if same else (own, packaged))

    @property
    def own(self) -> Path:
        """The project's own `conf/`. It may not exist."""
        return self.folders[0]

    @property
    def searched(self) -> str:
        """The folders as messages name them. The first one follows from the ini file that pytest has chosen."""
        missing = "" if self.own.is_dir() else " (which does not exist)"
        return " or ".join([f"{self.own}{missing}", *map(str, self.folders[1:])])

    def every(self, file: str) -> list[Path]:
        """Return each file of that name, such as `config.yaml`, in the order of the folders."""
        return [folder / file for folder in self.folders if (folder / file).is_file()]

    def find(self, file: str) -> Path | None:
        """Return the first file of that name, such as `suite/pr.yaml`, or None."""
        return next(iter(self.every(file)), None)

    def choices(self, group: str) -> list[str]:
        """Return the names of a group's YAML files in all folders, each once, sorted."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def misnamed(self, pattern: str) -> str | None:
        """Return the hint to rename a file that ends in `.yml`, or `None` if there is none.

        `pattern` is the name of the missing file, such as `suite/pr.yaml`, or a pattern such as `backend/*.yaml`.
        """
        others = f"{pattern.removesuffix('.yaml')}.yml"
        found = next((path for folder in self.folders for path in sorted(folder.glob(others))), None)
        return f"{self.shown(found)} is not read: rename it to {found.stem}.yaml" if found else None

    def shown(self, path: Path) -> str:
        """Return `path` as messages show it: relative to the project's root folder if it is inside."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def located(self, message: str) -> str:
        """Return `message` with each `conf/GROUP/NAME.yaml` replaced by the path of the file that is really read.

        Lower layers do not know the search path, so they name files this way. A name without a file stays, because the
        project may add that file.
        """

        def locate(named: re.Match[str]) -> str:
            found = self.find(named[1])
            return self.shown(found) if found else named[0]

        return _NAMED.sub(locate, message)

    @contextmanager
    def naming_files(self) -> Iterator[None]:
        """Make each `ConfError` that is raised inside name the files that are really read."""
        try:
            yield
        except ConfError as error:
            raise ConfError(self.located(str(error))) from error
