"""Finds the program in a folder or at an import path that somebody gives to be graded. Nothing of it is run here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from harness.imports import importable_folders, is_import_path, make_importable, source_of

_MODULE = "approach"
_INSIDE = ("submission", "sandbox", "src")
"""Folders in a given folder that may hold the program: in a case of Proctor, in a run of RoboCode, in a repository."""
_NAME = re.compile(r"[^\W\d]\w*")
_POLICY = re.compile(r"(?:([^\W\d]\w*(?:\.[^\W\d]\w*)*):)?([^\W\d]\w*)")


class PolicyEntry(Struct, frozen=True):
    """Where the policy of a submission is, and what runs it.

    It is the class `name` in the module `module`, which is looked for in `folders` of the submission. Without a name,
    it is `GeneratedApproach`, or else the only class there that can play. `python` is the path of the Python that runs
    it. `None` means that of the sandbox.
    """

    module: str = _MODULE
    name: str | None = "GeneratedApproach"
    folders: tuple[str, ...] = (".",)
    python: str | None = None

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}:{self.name}"


AGENTS_ENTRY = PolicyEntry()
"""Where an agent puts its policy."""


class GivenProgram(Struct, frozen=True):
    """A program that somebody gives. What lies in `part` of the folder `root` is to be copied.

    `file` is the file of the policy's module, below `root`.
    """

    root: Path
    part: str
    file: str
    entry: PolicyEntry


def find_program(given: str, policy: str | None = None, *, here: Path) -> GivenProgram:
    """Return the program that `given` names: a folder, a Python file, `FOLDER:CLASS`, or `MODULE:CLASS`.

    `policy` is `CLASS` or `MODULE:CLASS` in it. `here` is the folder from which a relative path counts, and in which
    modules are looked for. If the folder is a package, or is in one, the whole package belongs to the program, because
    its modules may import each other by their full names. Raise `ValueError` if there is no such program, or if its
    module has no such class.
    """
    program = _found(given, policy, here)
    _require_class(program)
    return program


def _found(given: str, policy: str | None, here: Path) -> GivenProgram:
    path = (here / given).absolute()
    before, colon, after = given.rpartition(":")
    if not path.exists() and colon:
        beside = (here / before).absolute()
        if beside.exists():
            if policy is not None:
                raise ValueError(f"{given} names the class {after}, so --policy {policy} cannot")
            return _in_path(beside, after)
        if is_import_path(given):
            return _imported(given, policy, here)
    if not path.exists():
        raise ValueError(f"{path} does not exist: name a folder with an approach.py, or a class as MODULE:CLASS")
    return _in_path(path, policy)


def _require_class(program: GivenProgram) -> None:
    """Raise `ValueError` if the source of the program's module shows that it has no class of the given name."""
    file = program.root / program.file
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # its own Python tells it when it is loaded, with the line
        return
    imported = [
        alias for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    ]
    bound = {alias.asname or alias.name for alias in imported}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    name = program.entry.name
    if name is None or name in classes | bound or "*" in bound:
        return
    raise ValueError(f"{file} has no class {name}; it has {', '.join(sorted(classes)) or 'no class'}")


def program_in(folder: Path) -> GivenProgram:
    """Return the program of the `approach.py` in a folder, which need not have one. See `find_program`."""
    return _program(folder, f"{_MODULE}.py", PolicyEntry(name=None))


def _in_path(path: Path, policy: str | None) -> GivenProgram:
    found = None if policy is None else _POLICY.fullmatch(policy)
    if policy is not None and found is None:
        raise ValueError(f"{policy!r} is not a policy: write CLASS or MODULE:CLASS")
    module, name = (found[1], found[2]) if found else (None, None)
    if not path.is_dir():
        if path.suffix != ".py" or not _NAME.fullmatch(path.stem):
            raise ValueError(f"{path} is not a Python module: name a folder with an approach.py, or a Python file")
        path, module = path.parent, module or path.stem
    module = module or _MODULE
    for folder in (path, *(path / name for name in _INSIDE)):
        for file in _files(module):
            if (folder / file).is_file():
                return _program(folder.resolve(), file, PolicyEntry(module, name))
    raise ValueError(f"{path} has no {next(_files(module))}; name the folder that holds it, or a class with --policy")


def _files(module: str) -> Iterator[str]:
    """Yield the files that a module may have, below the folder in which it is found."""
    yield module.replace(".", "/") + ".py"
    yield module.replace(".", "/") + "/__init__.py"


def _imported(given: str, policy: str | None, here: Path) -> GivenProgram:
    """Return the program at an import path. Its module is in `here`, or can be imported by Proctor."""
    if policy is not None:
        raise ValueError(f"{given} names a class, so --policy {policy} cannot name another")
    if str(here) not in importable_folders():
        make_importable(here)
    found = source_of(given)
    if found is None:
        raise ValueError(f"there is no module {given.partition(':')[0]} in {here}, and none is installed for Proctor")
    file, name = found
    module = given.partition(":")[0]
    depth = module.count(".") + (file.name == "__init__.py")
    root = file.resolve().parents[depth]
    relative = str(file.resolve().relative_to(root))
    part = module.partition(".")[0] if depth else "."
    return GivenProgram(root, part, relative, PolicyEntry(module, name))


def _program(folder: Path, file: str, entry: PolicyEntry) -> GivenProgram:
    """Return the program in a folder. If the folder is a package, so is the program, with all that is in it."""
    top = folder
    while (top / "__init__.py").is_file() and _NAME.fullmatch(top.name):
        top = top.parent
    if top == folder:
        return GivenProgram(folder, ".", file, entry)
    below = PurePosixPath(*folder.relative_to(top).parts)
    module = ".".join([*below.parts, entry.module])
    inside = replace(entry, module=module, folders=(str(below), "."))
    return GivenProgram(top, below.parts[0], str(below / file), inside)
