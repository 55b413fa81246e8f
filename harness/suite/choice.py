"""`--backend`, `--model` and `--environment`: select cases of a suite by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from harness.case import Case
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.suite.config import Config
from harness.suite.near import hint

_KINDS = ("backend", "model", "environment")


class Choice(Struct, frozen=True):
    """The names that a case may have. An empty tuple allows any name."""

    backend: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the choice as options of the command line."""
        return " ".join(f"--{kind} {name}" for kind in _KINDS for name in getattr(self, kind))


def choose(cases: Sequence[Case], choice: Choice) -> list[Case]:
    """Return the cases that have these names, in the same order."""
    return [
        case
        for case in cases
        if all(getattr(case, kind).name in (getattr(choice, kind) or (getattr(case, kind).name,)) for kind in _KINDS)
    ]


def require_known(
    choice: Choice, config: Config, conf: ConfPath, others: Iterable[tuple[str, Mapping[str, Sequence[str]]]]
) -> None:
    """Raise `ConfError` for a name that the suite does not have.

    List the valid names, other suites with the name, and the setting that gives this suite an entry of `conf`. `others`
    are the other suites, with the names of each group's entries that they use. It is read only if a name is unknown.
    """
    for kind in _KINDS:
        known = getattr(config, kind)
        for name in getattr(choice, kind):
            if name not in known:
                suites = [suite for suite, names in others if name in names[kind]]
                elsewhere = f"; other suites have it: --suite {' or '.join(suites)}" if suites else ""
                if name in conf.choices(kind):
                    elsewhere += f"; or give it to this suite: --set 'suite.{kind}s=[{name}]'"
                said = f"suite {config.suite.name} has no {kind} of this name" if name else "the name is empty"
                raise ConfError(f"--{kind} {name}: {said}; {hint(name, known, kind)}{elsewhere}")
