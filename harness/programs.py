"""Programs that are graded as they are: the baselines `random` and `reference`, and those of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from backends.options import read_options
from harness.case import BackendConf
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.evaluation.policy_python import python_of_programs
from harness.evaluation.program import GivenProgram, find_program
from harness.policies import reference_folder

PACKAGE: Final = Path(__file__).resolve().parent
"""The folder below which Proctor's own programs are."""


class ProgramOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`program` is what `proctor grade` takes: a folder with an `approach.py`, a Python file, or `MODULE:CLASS`.

    A path counts from the project's root folder. If there is nothing, it is a path in Proctor's package. The text
    `{environment}` stands for the name of the case's environment. `None` means the folder `policies/ENVIRONMENT` of the
    project, or else Proctor's own program for this environment.
    """

    program: Annotated[str, Meta(min_length=1)] | None = None


class ProgramMissing(Exception):
    """There is no program for an environment. The message says where one is looked for."""


def program_options(conf: BackendConf) -> ProgramOptions:
    """Return the options of a backend that grades a program. Raise `ConfError` if one is wrong."""
    try:
        return read_options(ProgramOptions, conf.options)
    except ValueError as error:
        raise ConfError(f"conf/backend/{conf.name}.yaml: backend.{conf.name}.options: {error}") from error


def program_of(conf: BackendConf, environment: EnvironmentConf, root: Path) -> GivenProgram:
    """Return the program for an environment, from a project or from the package. The environment's Python runs it.

    Raise `ProgramMissing` if there is none, and `ConfError` if the backend's options are wrong.
    """
    name = _named(program_options(conf), environment.name, root)
    here = root if (root / name).exists() or not (PACKAGE / name).exists() else PACKAGE
    try:
        found = find_program(name, here=here)
    except ValueError as error:
        told = f"backend {conf.name} has no program for environment {environment.name}: {error}"
        raise ProgramMissing(told) from error
    return replace(found, entry=replace(found.entry, python=python_of_programs(environment)))


def _named(options: ProgramOptions, environment: str, root: Path) -> str:
    """Return the path or the class of the program for an environment."""
    if options.program is not None:
        return options.program.replace("{environment}", environment)
    of_project = root / "policies" / environment
    return str(of_project if of_project.exists() else reference_folder(environment) or of_project)
