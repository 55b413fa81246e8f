"""The house rules: which rooms import each other, how long files and functions are, and unique class names."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 400
LONGEST_FUNCTION = 50

FLOORS = (
    {
        "backends",
        "cache",
        "case",
        "bounds",
        "budget_conf",
        "environment_conf",
        "grading",
        "case_folder",
        "node_ids",
        "characters",
        "commit",
        "endings",
        "lazy",
        "logins",
        "signing_conf",
        "http_host",
        "http_intake",
        "json_scan",
        "imports",
        "malformed",
        "packaged",
        "part_orders",
        "policies",
        "primitives",
        "private",
        "quota",
        "untrusted",
        "conf_path",
        "options",
        "seed_key",
        "temporary",
        "secrecy",
        "telemetry",
        "visible",
        "whole_file",
    },
    {"sandbox", "gateway", "servers", "environments", "results"},
    {"adapters", "hosting", "models", "report", "live", "verdict"},
    {"access", "agent", "baseline", "evaluation", "mcp", "programs", "suite"},
    {"growth", "offering", "pipeline", "run", "graded_run", "shared_session", "transcript"},
    {"baselines", "exports", "stash", "page", "viewer"},
    {
        "budgets",
        "fixtures",
        "given_submission",
        "launch",
        "schedule",
        "commands",
        "selection",
        "sharing",
        "worker_link",
        "closing",
        "further",
        "further_tests",
        "__main__",
    },
    {"expected", "recorder", "resuming", "session_page", "session_verdict", "stopping"},
    {"rounds", "until_decided"},
    {"plugin"},
)
"""The rooms, from the bottom up. A room imports only rooms below it or on its own floor."""

STRANGERS = FLOORS[1]
"""Rooms that know nothing of one another."""

INSTALLED = {"node_modules", "cli-latest"}
"""Folders of packages that git ignores."""

PACKAGED = [
    path for top in ("harness", "backends") for path in (ROOT / top).rglob("*.py") if not INSTALLED & {*path.parts}
]
SOURCES = [*PACKAGED, *(ROOT / "tests").rglob("*.py")]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in PACKAGED}


def room(module: str) -> str:
    package, _, rest = module.partition(".")
    return package if package == "backends" or not rest else rest.partition(".")[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Return our modules that a module imports, at once or later."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    yield full if full in MODULES else module
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.Call(func=ast.Name(id="LazyModule"), args=[ast.Constant(value=str(module))]):
                yield module


def edges() -> dict[str, set[str]]:
    """Return, for each room, the rooms that it imports."""
    found = defaultdict[str, set[str]](set)
    for path in PACKAGED:
        here = room(module_of(path))
        there = {room(module) for module in imported(ast.parse(path.read_text())) if module in MODULES}
        found[here] |= there - {here, "harness"}
    return found


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def test_imports_go_downwards_and_never_between_strangers() -> None:
    for here, rooms in edges().items():
        if here == "harness":  # the package's own __init__
            continue
        assert {there for there in rooms if floor(there) > floor(here)} == set(), here
        assert here not in STRANGERS or rooms & STRANGERS == set(), here


def test_no_room_imports_itself_through_others() -> None:
    TopologicalSorter(edges()).prepare()


def test_backends_import_no_harness() -> None:
    assert edges()["backends"] == set()


def test_every_class_has_a_unique_name() -> None:
    places = defaultdict[str, list[str]](list)
    for path in PACKAGED:
        if "policies" in path.parts[:-1]:  # each folder there is a submission, which has the class GeneratedApproach
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_files_and_functions_stay_short() -> None:
    too_long: dict[str, int] = {}
    for path in SOURCES:
        text, name = path.read_text(), path.relative_to(ROOT).as_posix()
        if text.count("\n") > LONGEST_FILE:
            too_long[name] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    too_long[f"{name}:{node.name}"] = lines
    assert too_long == {}
