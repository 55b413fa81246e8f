"""`--until-decided`: replicates of a case beyond those that its suite plans."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from harness.case import Case, SuiteConf
from harness.endings import ConfError
from harness.options import CommandLine
from harness.suite.known_failures import matches
from harness.verdict.rules import Looks

_NUMBERED = re.compile(r"-r\d+$")


def further(case: Case, replicate: int, planned: int) -> Case:
    """Return a further replicate of a case, whose suite plans this number of replicates.

    Its id is that of the case with the other number: `opencode-qwen-maze-r3`. It is a known failure if the entry that
    the case matches does not depend on the number.
    """
    base = case.id.removesuffix(f"-r{case.replicate}") if planned > 1 else case.id
    made = replace(case, id=f"{base}-r{replicate}", replicate=replicate)
    known = case.known_failure
    return made if known is None or matches(known, made) else replace(made, known_failure=None)


def asks_for_looks(given: CommandLine) -> bool:
    """Return whether cases may get further replicates. Raise `ConfError` if an option makes no sense on its own."""
    if given.until_decided and given.baseline is None:
        raise ConfError(
            "--until-decided adds replicates to the cases that are not decided against a baseline: name one, "
            "--baseline REF"
        )
    if given.max_replicates is not None and not given.until_decided:
        raise ConfError(
            f"--max-replicates {given.max_replicates} needs --until-decided: without it, each case has the replicates "
            "that its suite plans"
        )
    return given.until_decided


def looks_at(suite: SuiteConf, most: str | None) -> Looks:
    """Return how the cases of a suite get further replicates, `most` in all. Raise `ConfError` if that cannot work."""
    planned = suite.replicates
    if most is None:
        return Looks(first=planned, last=max(planned, Looks(first=1).last))
    if not most.isascii() or not most.isdigit():
        raise ConfError(f"--max-replicates {most}: write a number, such as --max-replicates=12")
    if int(most) < planned:
        raise ConfError(
            f"--max-replicates {most}: suite {suite.name} already plans {planned} for each case "
            f"(conf/suite/{suite.name}.yaml: suite.replicates); name {planned} or more"
        )
    return Looks(first=planned, last=int(most))


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
