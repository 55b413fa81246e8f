"""Replicates of a case beyond those that its suite plans."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from harness.case import Case
from harness.endings import ConfError

_NUMBERED = re.compile(r"-r\d+$")


def further(case: Case, replicate: int, planned: int) -> Case:
    """Return a further replicate of a case, whose suite plans this number of replicates.

    Its id is that of the case with the other number: `opencode-qwen-maze-r3`.
    """
    base = case.id.removesuffix(f"-r{case.replicate}") if planned > 1 else case.id
    return replace(case, id=f"{base}-r{replicate}", replicate=replicate)


def require_free_names(cases: Iterable[Case], suite: str) -> None:
    """Raise `ConfError` if a further replicate of one case would have the id of another case."""
    ids = {case.id for case in cases}
    for name in sorted(ids):
        base = _NUMBERED.sub("", name)
        if base != name and base in ids:
            raise ConfError(
                f"conf/suite/{suite}.yaml: the case {name} has the name of a replicate of the case {base}, so "
                "--until-decided cannot add replicates: rename the environment"
            )
