"""The configuration of a run: Hydra composes `conf/`, msgspec checks it, and every mistake is named.

Each group file is composed once, whatever the number of cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from msgspec import Struct
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from backends.options import read_options
from backends.registry import backend
from harness.case import (
    LOCAL_KINDS,
    BackendConf,
    EnvironmentConf,
    EvaluationConf,
    Limits,
    ModelConf,
    ProviderConf,
    ProviderKind,
    SandboxConf,
    SuiteConf,
    Wire,
)
from harness.endings import ConfError
from harness.models.addresses import require_address
from harness.sandbox.factory import make_sandbox
from harness.servers.kinds import kind_of

S = TypeVar("S", bound=Struct)

GROUPS: dict[str, type[Struct]] = {
    "backend": BackendConf,
    "model": ModelConf,
    "provider": ProviderConf,
    "environment": EnvironmentConf,
}
"""Groups of which a suite uses several entries: `environment.small_maze.max_steps` is a key."""

SECTIONS: dict[str, type[Struct]] = {
    "suite": SuiteConf,
    "sandbox": SandboxConf,
    "limits": Limits,
    "evaluation": EvaluationConf,
}
"""Parts that a run has once: `limits.turns` is a key."""


class Config(Struct, frozen=True, kw_only=True):
    """One run's configuration, complete and checked; the groups are keyed by the names of their files."""

    suite: SuiteConf
    sandbox: SandboxConf
    limits: Limits
    evaluation: EvaluationConf
    backend: dict[str, BackendConf]
    model: dict[str, ModelConf]
    provider: dict[str, ProviderConf]
    environment: dict[str, EnvironmentConf]


def load(conf: Path, suite: str, settings: Sequence[str] = ()) -> Config:
    """Compose and check the configuration of a suite, changed by `settings` (Hydra overrides). Raises `ConfError`."""
    return _Loader(conf, suite, settings).load()


class _Loader:
    def __init__(self, conf: Path, suite: str, settings: Sequence[str]) -> None:
        self.conf = conf
        self.suite = suite
        self.overrides = [_parse(text) for text in settings]

    def load(self) -> Config:
        self._require("suite", self.suite, f"--suite {self.suite}")
        base = [f"suite={self.suite}", *(self._choice(o) for o in self.overrides if "." not in o.key_or_group)]
        values = [o for o in self.overrides if "." in o.key_or_group]
        of_suite = [self._forced(o, {}) for o in values if o.key_or_group.startswith("suite.")]
        suite = self._check(self._compose([*base, *of_suite])["suite"], SuiteConf, "suite", f"suite/{self.suite}")

        names = self._names(suite)
        entries = [f"+{group}@{group}.{name}={name}" for group, chosen in names.items() for name in chosen]
        tree = self._compose([*base, *entries, *(self._forced(o, names) for o in values)])
        for key in tree:
            if key not in SECTIONS and key not in GROUPS:
                raise ConfError(f"conf/config.yaml: unknown key {key}; valid: {_listed([*SECTIONS, *GROUPS])}")
        config = Config(
            suite=suite,
            sandbox=self._check(tree["sandbox"], SandboxConf, "sandbox", f"sandbox/{tree['sandbox'].get('name')}"),
            limits=self._check(tree.get("limits", {}), Limits, "limits", "config"),
            evaluation=self._check(tree.get("evaluation", {}), EvaluationConf, "evaluation", "config"),
            backend=self._group(tree, "backend", BackendConf),
            model=self._group(tree, "model", ModelConf),
            provider=self._group(tree, "provider", ProviderConf),
            environment=self._group(tree, "environment", EnvironmentConf),
        )
        self._check_together(config)
        return config

    def _names(self, suite: SuiteConf) -> dict[str, list[str]]:
        """The entries of each group that take part; every provider does, since a model may name any."""
        where = f"conf/suite/{self.suite}.yaml: suite."
        names = {"backend": suite.backends, "model": suite.models, "environment": suite.environments}
        for group, chosen in names.items():
            if not chosen:
                raise ConfError(f"{where}{group}s is empty; choose from: {_listed(self._choices(group))}")
            for name in chosen:
                self._require(group, name, f"{where}{group}s")
        for rule in suite.exclude:
            for group, chosen in names.items():
                name = getattr(rule, group)
                if name is not None and name not in chosen:
                    raise ConfError(f"{where}exclude: no {group} {name} in this suite; choose from: {_listed(chosen)}")
        return {group: list(dict.fromkeys(chosen)) for group, chosen in names.items()} | {
            "provider": self._choices("provider")
        }

    def _group(self, tree: Mapping[str, Any], group: str, kind: type[S]) -> dict[str, S]:
        entries = {
            name: self._check(entry, kind, f"{group}.{name}", f"{group}/{name}")
            for name, entry in tree.get(group, {}).items()
        }
        for name, entry in entries.items():
            if getattr(entry, "name", None) != name:
                raise ConfError(f"conf/{group}/{name}.yaml: {group}.{name}.name must be {name}, like its file")
        return entries

    def _check_together(self, config: Config) -> None:
        for name, model in config.model.items():
            if model.provider not in config.provider:
                raise ConfError(
                    f"conf/model/{name}.yaml: model.{name}.provider: there is no provider {model.provider}; "
                    f"choose from: {_listed(config.provider)}"
                )
            _require_apt(model, config.provider[model.provider])
        for name, conf in config.backend.items():
            try:
                read_options(backend(name).options, conf.options)
            except ValueError as error:
                raise ConfError(f"conf/backend/{name}.yaml: backend.{name}.options: {error}") from error
        if not make_sandbox(config.sandbox).seals and not config.suite.allow_no_sandbox:
            raise ConfError(
                f"conf/suite/{self.suite}.yaml: sandbox={config.sandbox.name} seals nothing, and this suite does not "
                f"allow it; set suite.allow_no_sandbox: true there, or choose from: "
                f"{_listed(c for c in self._choices('sandbox') if c != config.sandbox.name)}"
            )

    def _choice(self, override: Override) -> str:
        """A group override (`sandbox=none`): the one group that is chosen by --set."""
        key, text = override.key_or_group, override.input_line
        if key == "sandbox":
            self._require("sandbox", str(override.value()), f"--set {text}")
            return f"sandbox={override.value()}"
        if key == "suite":
            raise ConfError(f"--set {text}: a suite is chosen with --suite; choose from: {_listed(self._choices(key))}")
        if key in GROUPS:
            raise ConfError(
                f"--set {text}: the suite names its {key}s: use --set suite.{key}s=[…] "
                f"(choices: {_listed(self._choices(key))}) or --set {key}.NAME.KEY=VALUE"
            )
        if key in SECTIONS:
            fields = _listed(SECTIONS[key].__struct_fields__)
            raise ConfError(f"--set {text}: {key} has keys of its own, as in --set {key}.KEY=VALUE; valid: {fields}")
        raise ConfError(f"--set {text}: unknown key {key}; valid: {_listed([*SECTIONS, *GROUPS])}")

    def _forced(self, override: Override, names: Mapping[str, Sequence[str]]) -> str:
        """The override in the form that also sets a key which the file leaves to its default, its key checked first."""
        text = override.input_line or ""
        head, *path = override.key_or_group.split(".")
        kind: type[Struct]
        if head in SECTIONS:
            kind, prefix = SECTIONS[head], head
        elif head in GROUPS:
            name = path.pop(0)
            if name not in names[head]:
                raise ConfError(
                    f"--set {text}: {name} is no {head} of suite {self.suite} (conf/suite/{self.suite}.yaml); "
                    f"valid: {_listed(names[head])}"
                )
            kind, prefix = GROUPS[head], f"{head}.{name}"
        else:
            raise ConfError(f"--set {text}: unknown key {head}; valid: {_listed([*SECTIONS, *GROUPS])}")
        if not path or path[0] not in kind.__struct_fields__:
            raise ConfError(
                f"--set {text}: unknown key {override.key_or_group} ({self._file(prefix)}); "
                f"valid: {_listed(f'{prefix}.{field}' for field in kind.__struct_fields__)}"
            )
        return text if override.is_delete() else f"++{text.lstrip('+')}"

    def _file(self, prefix: str) -> str:
        head, *rest = prefix.split(".")
        entry = {"suite": [self.suite]}.get(head, rest)
        return "/".join(["conf", head, *entry]) + ".yaml" if entry else "conf/config.yaml"

    def _compose(self, overrides: Sequence[str]) -> dict[str, Any]:
        try:
            with initialize_config_dir(str(self.conf.resolve()), version_base="1.3"):
                tree = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ConfError(f"conf/: {_one_line(error)}") from error
        if not isinstance(tree, dict):
            raise ConfError("conf/config.yaml: must be a mapping")
        return {str(key): value for key, value in tree.items()}

    def _check(self, value: Any, kind: type[S], prefix: str, file: str) -> S:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, inside = str(error).partition(" - at `$")
            key = prefix + inside.rstrip("`")
            setting = next((f"--set {o.input_line}: " for o in self.overrides if key.startswith(o.key_or_group)), "")
            hint = f"; valid: {_listed(kind.__struct_fields__)}" if "unknown field" in message else ""
            if "Invalid enum value" in message:
                hint = f"; choose from: {_listed(get_args(Wire if '.wires' in inside else ProviderKind))}"
            raise ConfError(f"{setting}conf/{file}.yaml: {key}: {message}{hint}") from error

    def _choices(self, group: str) -> list[str]:
        return sorted(path.stem for path in (self.conf / group).glob("*.yaml"))

    def _require(self, group: str, name: str, where: str) -> None:
        if name not in self._choices(group):
            raise ConfError(
                f"{where}: there is no {group} {name} (conf/{group}/{name}.yaml); "
                f"choose from: {_listed(self._choices(group))}"
            )


def _require_apt(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for what makes no sense for a model of this provider."""
    if provider.kind == "remote" or (provider.kind in LOCAL_KINDS and provider.base_url is not None):
        require_address(provider)
    if provider.kind in LOCAL_KINDS:
        kind_of(provider).start_s(model, provider)
        return
    if provider.options:
        raise ConfError(
            f"conf/provider/{provider.name}.yaml: provider.{provider.name}.options: only these kinds have any: "
            f"{_listed(LOCAL_KINDS)}"
        )
    for key in ("gpus", "gpu_memory_gb", "server"):
        if getattr(model, key):
            raise ConfError(
                f"conf/model/{model.name}.yaml: model.{model.name}.{key}: only for a model that is served on this "
                f"machine, by {_listed(LOCAL_KINDS)}"
            )


def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfError(f"--set {text}: not of the form KEY=VALUE: {_one_line(error)}") from error


def _listed(names: Any) -> str:
    return ", ".join(names) or "(none)"


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
