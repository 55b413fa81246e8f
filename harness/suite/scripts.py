"""Checks, before anything runs, that the scripted model of each case can play its script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.adapters import adapter_of, own_options
from harness.case import Case
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environment_conf import TOOLS
from harness.gateway.script import Script, ScriptedCall, ScriptedTurn, ScriptError, find_script, load_script
from harness.mcp.names import NAME


def script_of(case: Case, conf: ConfPath) -> Path:
    """Return the script that the case's scripted model plays. Raise `ConfError` if there is none."""
    model = case.model
    try:
        return find_script(model.script or case.environment.name, conf)
    except ScriptError as error:
        by_default = "" if model.script else "null stands for the script named after the environment, and "
        where = conf.located(f"conf/model/{model.name}.yaml")
        raise ConfError(f"{where}: model.{model.name}.script: {by_default}{error}") from error


def require_scripts(cases: Iterable[Case], conf: ConfPath) -> None:
    """Raise `ConfError` for a script that is missing or wrong, or that calls a tool that no session of a case offers.

    Each script is read once.
    """
    scripts: dict[Path, Script] = {}
    checked: set[tuple[Path, str, tuple[str, ...]]] = set()
    for case in cases:
        if case.provider.kind != "scripted":
            continue
        path = script_of(case, conf)
        use = (path, case.backend.name, tuple(case.environment.tools))
        if use not in checked:
            checked.add(use)
            if path not in scripts:
                scripts[path] = _loaded(path, conf)
            _require_tools(scripts[path], case, conf.shown(path))


def _loaded(path: Path, conf: ConfPath) -> Script:
    try:
        return load_script(path)
    except ScriptError as error:
        raise ConfError(str(error).replace(str(path), conf.shown(path))) from error


def _require_tools(script: Script, case: Case, file: str) -> None:
    """Raise `ConfError` for a call that the case's backend can never carry out."""
    backend = adapter_of(case.backend)
    if not backend.capabilities.tools:
        return
    builtin = backend.builtin_tools(own_options(case.backend))
    tools = case.environment.tools if backend.capabilities.mcp else []
    offered = [backend.tool_name(NAME, tool) for tool in tools]
    for place, call in _calls(script):
        where = f"{file}: {place}: {call.kind}: {call.target}"
        if call.kind == "mcp" and call.target not in TOOLS:
            raise ConfError(f"{where}: the environment's MCP server has no such tool; choose from: {', '.join(TOOLS)}")
        if call.kind == "mcp" and call.target not in tools and not call.optional:
            no_mcp = f"backend {case.backend.name} has no MCP"
            why = f"environment {case.environment.name} does not offer it" if backend.capabilities.mcp else no_mcp
            raise ConfError(
                f"{where}: {why}, so {case.id} cannot make this call; add `optional: true`, which leaves the call out "
                "where the tool is missing"
            )
        if (
            call.kind == "tool"
            and builtin is not None
            and not call.optional
            and call.target not in {*builtin, *offered}
        ):
            raise ConfError(
                f"{where}: backend {case.backend.name} has no such tool, so {case.id} cannot make this call; choose "
                f"from: {', '.join([*sorted(builtin), *offered])}"
            )


def _calls(script: Script) -> Iterator[tuple[str, ScriptedCall]]:
    """Yield each call of a script, with its place in the file."""
    turns: list[tuple[str, tuple[ScriptedTurn, ...]]] = [("turns", script.turns)]
    turns += [(f"conversations[{number}].turns", talk.turns) for number, talk in enumerate(script.conversations)]
    for place, played in turns:
        for number, turn in enumerate(played):
            yield from ((f"{place}[{number}].calls[{index}]", call) for index, call in enumerate(turn.calls))
