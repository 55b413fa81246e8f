"""Environments without a file: a suite may name an environment of KinDER by its id, `kinder/Motion2D-p1-v0`.

The id stands for the entry with its short name, `motion2d_p1`. Without a file of that name,
`harness.environments.worlds` makes the entry.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.case import SuiteConf
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environments.kinder_ids import PREFIX, entry_name, require_id
from harness.environments.worlds import conf_of

_GROUP = "environment"


def name_environments(suite: SuiteConf, further: Iterable[str], where: str) -> SuiteConf:
    """Return the suite with names in place of ids, and with the `further` ids that it lacks.

    Raise `ConfError`, which begins with `where`, for an id that KinDER does not have.
    """
    ids = [text for text in further if text.startswith(PREFIX)]
    for text in ids:
        _require(text, f"--{_GROUP} {text}")
    for text in suite.environments:
        _require(text, f"{where}{_GROUP}s")
    for rule in suite.exclude:
        _require(rule.environment or "", f"{where}exclude")
    rules = [
        rule if rule.environment is None else msgspec.structs.replace(rule, environment=entry_name(rule.environment))
        for rule in suite.exclude
    ]
    named = dict.fromkeys(map(entry_name, [*suite.environments, *ids]))
    return msgspec.structs.replace(suite, environments=list(named), exclude=rules)


def entries_without_files(texts: Iterable[str], conf: ConfPath) -> dict[str, dict[str, object]]:
    """Return the entry of each id in `texts` whose name has no file, by this name."""
    ids = {entry_name(text): text for text in texts if text.startswith(PREFIX)}
    return {
        name: msgspec.to_builtins(conf_of(text))
        for name, text in ids.items()
        if conf.find(f"{_GROUP}/{name}.yaml") is None
    }


def _require(text: str, where: str) -> None:
    if text.startswith(PREFIX):
        try:
            require_id(text)
        except ValueError as error:
            raise ConfError(f"{where}: {error}") from error
