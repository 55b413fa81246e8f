"""Proctor's options on the command line of pytest.

Other projects have options of the same names, such as `--model`. So an option is added after the conftests are loaded,
only if the command line uses it or asks for help, and not at all if its name is taken.
"""

from __future__ import annotations

import os
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

_REPEATED: dict[str, Any] = {"action": "append", "metavar": "NAME"}
_FLAG: dict[str, Any] = {"action": "store_true"}

_OPTIONS: dict[str, dict[str, Any]] = {
    "--suite": {"metavar": "NAME", "help": "run the cases of this suite, conf/suite/NAME.yaml (default: default)"},
    "--backend": {**_REPEATED, "help": "run the cases of this backend only (repeatable)"},
    "--model": {**_REPEATED, "help": "run the cases of this model only (repeatable)"},
    "--environment": {**_REPEATED, "help": "run the cases of this environment only (repeatable)"},
    "--shard": {"metavar": "I/N", "help": "run the I-th of N parts of the selected cases, the same on every machine"},
    "--set": {
        "action": "append",
        "metavar": "KEY=VALUE",
        "help": "change the configuration, in Hydra's override syntax: --set limits.turns=10 (repeatable)",
    },
    "--submission": {
        "metavar": "FOLDER",
        "help": "grade the submission in this folder in each environment of the suite, without an agent",
    },
    "--history": {
        **_FLAG,
        "help": "also grade each version of a submission that its agent had between two turns",
    },
    "--resume": {
        "metavar": "RUN",
        "help": "go on with this run: the folder or name of a run that was killed or interrupted, `latest` or tag:NAME",
    },
    "--keep-errors": {
        **_FLAG,
        "help": "with --resume: keep the cases that ended with an error, instead of running them again",
    },
    "--runs-dir": {"metavar": "DIR", "help": "keep runs in this folder (default: runs in the root folder)"},
    "--html": {"metavar": "FILE", "help": "write a page of the run into this file when the run ends"},
    "--baseline": {"metavar": "REF", "help": "compare with these earlier runs: a folder, last, last:N or tag:NAME"},
    "--fail-on": {
        "choices": ("worse", "nothing"),
        "help": "with --baseline: end with status 1 if anything is worse or nothing could be compared (default), or "
        "never because of the comparison",
    },
    "--allow-drift": {
        "action": "append",
        "metavar": "KEY",
        "help": "with --baseline: compare although this condition differs, and say so (repeatable)",
    },
    "--until-decided": {
        **_FLAG,
        "help": "with --baseline: add replicates, one at a time, to cases that one more may show to be worse",
    },
    "--max-replicates": {
        "metavar": "N",
        "help": "with --until-decided: run at most N replicates of a case (default: 12)",
    },
    "--allow-empty": {**_FLAG, "help": "accept a suite or a shard without cases"},
    "--require-all": {**_FLAG, "help": "fail the cases that cannot run on this machine, instead of skipping them"},
    "--require-limits": {**_FLAG, "help": "refuse to run where the kernel cannot keep every limit of the sandbox"},
    "--record-cassettes": {
        **_FLAG,
        "help": "save the models' answers in conf/cassettes, for models whose provider is `cassette`",
    },
}


_OF_A_RUN = (
    "--suite",
    "--backend",
    "--model",
    "--environment",
    "--shard",
    "--set",
    "--submission",
    "--history",
    "--allow-empty",
    "--require-all",
    "--record-cassettes",
)
"""The options that say what a run is. A resumed run has those that it was begun with."""

_NOT_IN_RECORDS = frozenset({"--set", "--resume", "--keep-errors", "--html"})


class CommandLine(NamedTuple):
    """The values of Proctor's options. If `backends`, `models` or `environments` is empty, it means all of them."""

    suite: str | None = None
    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    shard: str | None = None
    settings: tuple[str, ...] = ()
    submission: str | None = None
    history: bool = False
    resume: str | None = None
    keep_errors: bool = False
    runs_dir: str | None = None
    html: str | None = None
    baseline: str | None = None
    fail_on: str | None = None
    allow_drift: tuple[str, ...] = ()
    until_decided: bool = False
    max_replicates: str | None = None
    allow_empty: bool = False
    require_all: bool = False
    require_limits: bool = False
    record_cassettes: bool = False
    options: tuple[str, ...] = ()
    """Every option that says how the cases run, except `--set`, as it can be written again: `--suite=pr`."""

    @property
    def suite_name(self) -> str:
        """The name of the suite. It is `default` if the command line names no suite."""
        return "default" if self.suite is None else self.suite

    @property
    def selects_cases(self) -> bool:
        """Whether the command line asks for cases. If so, no other test runs unless a path is given."""
        named = self.backends or self.models or self.environments
        given = (self.suite, self.shard, self.submission, self.resume, self.baseline)
        return any(text is not None for text in given) or bool(named)


def add_options(parser: pytest.Parser, arguments: Sequence[str] | None, *, listed: bool = False) -> None:
    """Add the options that these arguments use. Without arguments, or if `--help` is to list them, add all options."""
    every = arguments is None or listed or "_ARGCOMPLETE" in os.environ or any(a.startswith("@") for a in arguments)
    for name, attributes in _OPTIONS.items():
        if every or any(a == name or a.startswith(f"{name}=") for a in arguments or ()):
            group = parser.getgroup("proctor", "evaluation of coding agents")
            try:
                group.addoption(name, dest=_dest(name), **attributes)
            except (ArgumentError, ValueError):  # another plugin or a conftest has an option of this name
                continue


def command_line(config: pytest.Config) -> CommandLine:
    """Return the values of Proctor's options in this session."""

    def given(name: str) -> Any:
        return config.getoption(_dest(name), None)

    def names(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(given(name) or ()))

    return CommandLine(
        suite=given("--suite"),
        backends=names("--backend"),
        models=names("--model"),
        environments=names("--environment"),
        shard=given("--shard"),
        settings=tuple(given("--set") or ()),
        submission=given("--submission"),
        history=bool(given("--history")),
        resume=given("--resume"),
        keep_errors=bool(given("--keep-errors")),
        runs_dir=given("--runs-dir"),
        html=given("--html"),
        baseline=given("--baseline"),
        fail_on=given("--fail-on"),
        allow_drift=names("--allow-drift"),
        until_decided=bool(given("--until-decided")),
        max_replicates=given("--max-replicates"),
        allow_empty=bool(given("--allow-empty")),
        require_all=bool(given("--require-all")),
        require_limits=bool(given("--require-limits")),
        record_cassettes=bool(given("--record-cassettes")),
        options=tuple(text for name in _OPTIONS if name not in _NOT_IN_RECORDS for text in _written(name, given(name))),
    )


def options_of_run(config: pytest.Config) -> dict[str, Any]:
    """Return the values of the options that say what a run is. Options that were not given are left out."""
    values = {name: config.getoption(_dest(name), None) for name in _OF_A_RUN}
    return {name: value for name, value in values.items() if value}


def give_options(config: pytest.Config, values: Mapping[str, Any]) -> None:
    """Set the options that say what a run is, as if the command line had given these and no others."""
    for name in _OF_A_RUN:
        setattr(config.option, _dest(name), values.get(name))


def _written(name: str, value: Any) -> list[str]:
    """Return an option as the command line would give it. Return an empty list if it was not given."""
    if isinstance(value, list):
        return [f"{name}={one}" for one in dict.fromkeys(value)]
    if isinstance(value, bool):
        return [name] if value else []
    return [] if value is None else [f"{name}={value}"]


def _dest(name: str) -> str:
    """Return the name under which pytest keeps the value of an option."""
    return f"proctor_{name.lstrip('-').replace('-', '_')}"
