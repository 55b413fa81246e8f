"""Programs that are graded as they are: the baselines `random` and `reference`, and those of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from backends.options import read_options
from harness.case import BackendConf
from harness.endings import ConfError

PACKAGE: Final = Path(__file__).resolve().parent
"""The folder below which Proctor's own programs are."""


class ProgramOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`folder` holds the program, an `approach.py` with the files that it needs.

    It is a path from the project's root folder. If there is no such folder, it is a path in Proctor's package. The text
    `{environment}` stands for the name of the case's environment.
    """

    folder: Annotated[str, Meta(min_length=1)]


class ProgramMissing(Exception):
    """There is no program for an environment. The message says where one is looked for."""


def program_options(conf: BackendConf) -> ProgramOptions:
    """Return the options of a backend that grades a program. Raise `ConfError` if one is wrong."""
    try:
        return read_options(ProgramOptions, conf.options)
    except ValueError as error:
        raise ConfError(f"conf/backend/{conf.name}.yaml: backend.{conf.name}.options: {error}") from error


def program_folder(conf: BackendConf, environment: str, root: Path) -> Path:
    """Return the folder of the program for an environment, in a project or in the package.

    Raise `ProgramMissing` if there is none, and `ConfError` if the backend's options are wrong.
    """
    name = program_options(conf).folder.replace("{environment}", environment)
    places = [root / Path(name).expanduser(), PACKAGE / name]
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise ProgramMissing(f"backend {conf.name} has no program for environment {environment}: there is no {places[0]}")
