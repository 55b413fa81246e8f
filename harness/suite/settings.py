"""The settings of one run, from `--set KEY=VALUE`. Each key is checked before Hydra sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args, get_origin

import msgspec
from hydra.core.override_parser.types import Override
from msgspec import Struct

from harness.case import BackendConf, GatewayConf, Limits, ModelConf, PromptConf, ProviderConf, SandboxConf, SuiteConf
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf
from harness.suite.compose import parse_override
from harness.suite.near import hint, listed

GROUPS: dict[str, type[Struct]] = {
    "backend": BackendConf,
    "model": ModelConf,
    "provider": ProviderConf,
    "environment": EnvironmentConf,
    "prompt": PromptConf,
}
"""Groups with several entries in a suite: `environment.small_maze.max_steps` is a key."""

SECTIONS: dict[str, type[Struct]] = {
    "suite": SuiteConf,
    "sandbox": SandboxConf,
    "limits": Limits,
    "evaluation": EvaluationConf,
    "gateway": GatewayConf,
}
"""Parts with one entry in a run: `limits.turns` is a key."""


class Settings:
    """The settings of a run of one suite. Every method raises `ConfError` for a key that does not exist."""

    def __init__(self, conf: ConfPath, suite: str, texts: Sequence[str]) -> None:
        self._conf = conf
        self._suite = suite
        overrides = [parse_override(text) for text in texts]
        self._values = [override for override in overrides if "." in override.key_or_group]
        self._choices = [override for override in overrides if "." not in override.key_or_group]

    def sandbox(self) -> str | None:
        """Return the sandbox that `--set sandbox=NAME` chooses, or None. `--set` cannot choose from other groups."""
        for choice in self._choices:
            if choice.key_or_group != "sandbox":
                raise ConfError(f"--set {choice.input_line}: {self._why_no_choice(choice.key_or_group)}")
            require(self._conf, "sandbox", str(choice.value()), f"--set {choice.input_line}")
        return str(self._choices[-1].value()) if self._choices else None

    def of_suite(self) -> list[str]:
        """Return the Hydra overrides of the suite itself."""
        return [self._override(value, {}) for value in self._values if value.key_or_group.startswith("suite.")]

    def overrides(self, names: Mapping[str, Sequence[str]]) -> list[str]:
        """Return all Hydra overrides. `names` are the entries of each group that the suite uses."""
        return [self._override(value, names) for value in self._values]

    def setter(self, key: str) -> str | None:
        """Return the `--set` that sets a key, as the user wrote it, or None."""
        for value in self._values:
            if key == value.key_or_group or key.startswith((f"{value.key_or_group}.", f"{value.key_or_group}[")):
                return f"--set {value.input_line}"
        return None

    def _override(self, value: Override, names: Mapping[str, Sequence[str]]) -> str:
        """Return the override in the form that can also add a key, because a file may leave out keys with defaults."""
        text = value.input_line or ""
        head, *path = value.key_or_group.split(".")
        if head in SECTIONS:
            kind, prefix = SECTIONS[head], head
        elif head in GROUPS:
            name = path.pop(0)
            if name not in names[head]:
                raise ConfError(
                    f"--set {text}: suite {self._suite} (conf/suite/{self._suite}.yaml) uses no {head} {name}; "
                    f"valid: {listed(names[head])}"
                )
            kind, prefix = GROUPS[head], f"{head}.{name}"
        else:
            raise ConfError(f"--set {text}: {_unknown(head)}")
        if not path or path[0] not in kind.__struct_fields__:
            raise ConfError(
                f"--set {text}: unknown key {value.key_or_group} ({self._file(prefix)}); "
                f"valid: {listed(f'{prefix}.{field}' for field in kind.__struct_fields__)}"
            )
        if len(path) > 1 and not path[1].isdigit() and _is_list(kind, path[0]):
            key = f"{prefix}.{path[0]}"
            raise ConfError(f"--set {text}: {key} is a list: write it whole, --set {key}=[a, b]")
        return text if value.is_delete() else f"++{text.lstrip('+')}"

    def _file(self, prefix: str) -> str:
        head, *rest = prefix.split(".")
        entry = {"suite": [self._suite]}.get(head, rest)
        return "/".join(["conf", head, *entry]) + ".yaml" if entry else "conf/config.yaml"

    def _why_no_choice(self, key: str) -> str:
        choices = listed(self._conf.choices(key))
        if key == "suite":
            return f"choose a suite with --suite; choose from: {choices}"
        if key == "prompt":
            return f"write --set suite.prompt=NAME (choices: {choices}) or --set prompt.NAME.KEY=VALUE"
        if key in GROUPS:
            return (
                f"the suite names its {key}s: write --set suite.{key}s=[…] (choices: {choices}) "
                f"or --set {key}.NAME.KEY=VALUE"
            )
        if key in SECTIONS:
            return f"{key} has keys: write --set {key}.KEY=VALUE; valid: {listed(SECTIONS[key].__struct_fields__)}"
        return _unknown(key)


def require(conf: ConfPath, group: str, name: str, where: str) -> None:
    """Raise `ConfError`, which begins with `where`, if a group has no entry of that name."""
    known = conf.choices(group)
    if not name:
        raise ConfError(f"{where}: the name is empty; {hint(name, known, group)}")
    if name not in known:
        file = f"{group}/{name}.yaml"
        advice = conf.misnamed(file) or hint(name, known, group)
        raise ConfError(f"{where}: there is no {group} {name} (conf/{file}) in {conf.searched}; {advice}")
    if "." in name:  # Hydra would read it as a path
        raise ConfError(f"conf/{group}/{name}.yaml: rename this file, because the name of an entry must not have a dot")


def _is_list(kind: type[Struct], name: str) -> bool:
    declared = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
    return any(get_origin(part) is list for part in (declared, *get_args(declared)))


def _unknown(key: str) -> str:
    return f"unknown key {key}; valid: {listed([*SECTIONS, *GROUPS])}"
