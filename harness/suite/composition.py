"""What the cases of a run are made of, as flat plain data. A resumed run compares it with what it was begun with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.adapters import adapter_of
from harness.agent.cli import pinned_version
from harness.case import Case, SuiteConf
from harness.conf_path import ConfPath
from harness.packaged import harness_version
from harness.suite.scripts import script_of

_GROUPS = ("backend", "model", "provider", "environment", "prompt", "sandbox")
_SECTIONS = ("limits", "evaluation")
BUDGETS = frozenset(("budget", "daily_budget", "pace"))
"""What no result depends on. A run whose budget was spent goes on with a larger one."""
_LONGEST = 100


def composition(suite: SuiteConf, cases: Iterable[Case], conf: ConfPath) -> dict[str, Any]:
    """Return everything that the cases depend on, by keys such as `limits.turns`.

    That is the configuration, the scripts of scripted models, the versions of the pinned CLIs, and that of Proctor.
    What no case uses is left out. Long texts are replaced by their digests.
    """
    parts: dict[str, Any] = {"suite": suite}
    clis: dict[str, str | None] = {}
    scripts: dict[str, Path] = {}
    for case in cases:
        parts |= {name: getattr(case, name) for name in _SECTIONS}
        for group in _GROUPS:
            entry = getattr(case, group)
            parts.setdefault(f"{group}.{entry.name}", entry)
        if case.backend.name not in clis:
            clis[case.backend.name] = _pinned(case)
        script = case.model.script or case.environment.name
        if case.provider.kind == "scripted" and script not in scripts:
            scripts[script] = script_of(case, conf)
    values = {key: value for prefix, part in parts.items() for key, value in _flat(prefix, _compared(part))}
    values |= {f"cli.{name}": version for name, version in clis.items() if version is not None}
    values |= {f"script.{conf.shown(path)}": _digest(path.read_bytes()) for path in scripts.values()}
    return values | {"harness": harness_version()}


def _compared(part: Any) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(part).items() if key not in BUDGETS}


def _pinned(case: Case) -> str | None:
    """Return the version of the case's CLI that Proctor pins, or `None` if it pins none, or no agent runs."""
    if not case.has_agent or "executable" in case.backend.options:
        return None
    return pinned_version(adapter_of(case.backend).installation)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    elif isinstance(value, str) and (len(value) > _LONGEST or "\n" in value):
        yield prefix, _digest(value.encode())
    else:
        yield prefix, value


def _digest(contents: bytes) -> str:
    return f"sha256:{hashlib.sha256(contents).hexdigest()}"
