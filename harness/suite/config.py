"""The configuration of a run. Hydra composes it, msgspec checks it, and each error names the file at fault.

Each group's file is composed once, whatever the number of cases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from backends.options import in_plain_words
from harness.adapters import executable_of
from harness.agent.prompt import TemplateFault, check_prompt
from harness.case import (
    BackendConf,
    Exclusion,
    GatewayConf,
    Limits,
    ModelConf,
    PromptConf,
    ProviderConf,
    SandboxConf,
    SuiteConf,
)
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import check_environment, names_code
from harness.environments.solved_when import parse_rule
from harness.grading import EvaluationConf
from harness.imports import make_importable
from harness.models.providers import PROVIDERS
from harness.programs import program_options
from harness.sandbox.factory import make_sandbox
from harness.suite.compose import Composer, read_yaml
from harness.suite.ids import entries_without_files, name_environments
from harness.suite.near import hint, listed
from harness.suite.settings import GROUPS, SECTIONS, Settings, require

S = TypeVar("S", bound=Struct)


GRADE = "grade"
"""What stands for the suite of a run that grades one program."""


class Config(Struct, frozen=True, kw_only=True):
    """One run's configuration, complete and checked.

    The groups hold the entries that the suite uses, by the names of their files, in the suite's order. `provider` and
    `prompt` hold every provider and every prompt. `default_prompt` is the prompt that the root configuration chooses.
    `path` is the search path of the files.
    """

    path: ConfPath
    suite: SuiteConf
    sandbox: SandboxConf
    limits: Limits
    evaluation: EvaluationConf
    gateway: GatewayConf
    backend: dict[str, BackendConf]
    model: dict[str, ModelConf]
    provider: dict[str, ProviderConf]
    environment: dict[str, EnvironmentConf]
    prompt: dict[str, PromptConf]
    default_prompt: str

    def prompt_of(self, environment: EnvironmentConf) -> PromptConf:
        """Return the prompt of the cases of an environment of the suite."""
        return self.prompt[environment.prompt or self.suite.prompt or self.default_prompt]


def load(conf: ConfPath, suite: str, settings: Sequence[str] = (), further: Sequence[str] = ()) -> Config:
    """Return the configuration of a suite, changed by `settings` (Hydra overrides). Raise `ConfError`.

    The ids of KinDER's environments in `further` are added to the environments of the suite; other names are ignored.
    If an environment or a backend of the suite names a module, the project's root folder becomes importable.
    """
    with conf.naming_files():
        return _Loader(conf, suite, settings).load(further)


def names_in(conf: ConfPath, suite: str) -> Mapping[str, Sequence[str]]:
    """Return the names of each group's entries that a suite uses, without a look at the entries. Raise `ConfError`."""
    with conf.naming_files():
        return _Loader(conf, suite, ()).names()


def load_providers(conf: ConfPath) -> dict[str, ProviderConf]:
    """Return every provider of the search path, by name. Raise `ConfError` if a file is wrong."""
    with conf.naming_files():
        return _Loader(conf, "", ()).providers()


def load_environments(conf: ConfPath) -> dict[str, EnvironmentConf]:
    """Return every environment of the search path, by name. Raise `ConfError` if a file is wrong.

    If an environment names a module, the project's root folder becomes importable.
    """
    with conf.naming_files():
        return _Loader(conf, "", ()).environments()


def load_to_grade(conf: ConfPath, environment: str, settings: Sequence[str] = ()) -> Config:
    """Return the configuration of a run that grades a program in one environment, without a suite or an agent.

    `environment` is a name or an id of KinDER. The configuration is changed by `settings` (Hydra overrides). If the
    environment names a module, the project's root folder becomes importable. Raise `ConfError`.
    """
    with conf.naming_files():
        return _Loader(conf, GRADE, settings).to_grade(environment)


class _Loader:
    def __init__(self, conf: ConfPath, suite: str, settings: Sequence[str]) -> None:
        self.conf = conf
        self.suite = suite
        self.composer = Composer(conf)
        self.settings = Settings(conf, suite, settings)
        for file, document in self.composer.roots.items():
            self._require_keys(file, document)

    def load(self, further: Sequence[str]) -> Config:
        suite = self._suite(further)
        return self._composed(suite, self._names(suite), {"suite": self.suite})

    def names(self) -> dict[str, list[str]]:
        return self._names(self._suite(()))

    def _suite(self, further: Sequence[str]) -> SuiteConf:
        """Return the suite, with the ids in `further` among its environments."""
        require(self.conf, "suite", self.suite, f"--suite {self.suite}")
        tree = self.composer.compose({"suite": self.suite}, self.settings.of_suite())
        suite = self._entry(tree["suite"], SuiteConf, "suite", self.suite)
        named = [*suite.environments, *further, *(rule.environment or "" for rule in suite.exclude)]
        suite = name_environments(suite, further, f"conf/suite/{self.suite}.yaml: suite.")
        self.composer.add("environment", entries_without_files(named, self.conf))
        return suite

    def _composed(self, suite: SuiteConf, names: Mapping[str, Sequence[str]], base: Mapping[str, str]) -> Config:
        """Return the configuration with these entries of each group, once everything is checked."""
        sandbox = self.settings.sandbox() or self._default_sandbox()
        chosen = {**base, "sandbox": sandbox, **_entries(names)}
        tree = self.composer.compose(chosen, self.settings.overrides(names))
        config = Config(
            path=self.conf,
            suite=suite,
            sandbox=self._entry(tree["sandbox"], SandboxConf, "sandbox", sandbox),
            limits=self._check(tree.get("limits", {}), Limits, "limits", "config"),
            evaluation=self._check(tree.get("evaluation", {}), EvaluationConf, "evaluation", "config"),
            gateway=self._check(tree.get("gateway", {}), GatewayConf, "gateway", "config"),
            backend=self._group(tree, "backend", BackendConf, names),
            model=self._group(tree, "model", ModelConf, names),
            provider=self._group(tree, "provider", ProviderConf, names),
            environment=self._group(tree, "environment", EnvironmentConf, names),
            prompt=self._group(tree, "prompt", PromptConf, names),
            default_prompt=self.composer.defaults["prompt"],
        )
        self._check_together(config)
        return config

    def to_grade(self, environment: str) -> Config:
        if self.settings.of_suite():
            raise ConfError("--set suite.…: a program is graded without a suite, so leave this out")
        suite = name_environments(SuiteConf(GRADE, [], [], [], allow_no_sandbox=True), [environment], "")
        self.composer.add("environment", entries_without_files([environment], self.conf))
        if not suite.environments:
            require(self.conf, "environment", environment, f"--environment {environment}")
            suite = msgspec.structs.replace(suite, environments=[environment])
        names = {"backend": [], "model": [], "provider": [], "environment": suite.environments}
        return self._composed(suite, names | {"prompt": self._every("prompt")}, {})

    def providers(self) -> dict[str, ProviderConf]:
        names = {"provider": self._every("provider")}
        return self._group(self.composer.compose(_entries(names), ()), "provider", ProviderConf, names)

    def environments(self) -> dict[str, EnvironmentConf]:
        names = {"environment": self._every("environment")}
        found = self._group(self.composer.compose(_entries(names), ()), "environment", EnvironmentConf, names)
        if any(map(names_code, found.values())):
            make_importable(self.conf.root)
        return found

    def _require_keys(self, file: str, document: Mapping[str, Any]) -> None:
        """Raise `ConfError` for an unknown key of a `config.yaml`."""
        for key, value in document.items():
            if key not in SECTIONS and key not in GROUPS:
                raise ConfError(f"{file}: unknown key {key}; valid: {listed([*SECTIONS, *GROUPS])}")
            if not isinstance(value, dict):
                raise ConfError(f"{file}: {key}: must be a mapping of keys to values")
            for name in value if key in GROUPS else ():
                require(self.conf, key, str(name), f"{file}: {key}.{name}")

    def _default_sandbox(self) -> str:
        chosen = self.composer.defaults["sandbox"]
        require(self.conf, "sandbox", chosen, "conf/config.yaml: defaults")
        return chosen

    def _names(self, suite: SuiteConf) -> dict[str, list[str]]:
        """Return the entries of each group that the suite uses.

        They include every provider and every prompt, since a model and an environment may name any.
        """
        where = f"conf/suite/{self.suite}.yaml: suite."
        backends = suite.backends
        if backends == "all":
            if misnamed := self.conf.misnamed("backend/*.yaml"):
                raise ConfError(f"{where}backends: all: {misnamed}")
            backends = self._agents()
        names = {"backend": backends, "model": suite.models, "environment": suite.environments}
        programs = backends and not self._asking(backends)
        for group, chosen in names.items():
            if not chosen and not (group == "model" and programs):
                raise ConfError(f"{where}{group}s is empty; choose from: {listed(self.conf.choices(group))}")
            for name in chosen:
                if not self.composer.has(group, name):
                    require(self.conf, group, name, f"{where}{group}s")
        if Exclusion() in suite.exclude:
            raise ConfError(f"{where}exclude: a rule that names nothing leaves out every case")
        for rule in suite.exclude:
            for group, chosen in names.items():
                name = getattr(rule, group)
                if name is not None and name not in chosen and not self.composer.has(group, name):
                    require(self.conf, group, name, f"{where}exclude")
        used = {group: list(dict.fromkeys(chosen)) for group, chosen in names.items()}
        return used | {group: self._every(group) for group in ("provider", "prompt")}

    def _agents(self) -> list[str]:
        """Return every backend that is a coding agent."""
        return [name for name in self.conf.choices("backend") if self._kind(name) == "agent"]

    def _asking(self, backends: Sequence[str]) -> list[str]:
        """Return the backends that ask a model."""
        return [name for name in backends if self._kind(name) != "program"]

    def _kind(self, backend: str) -> str:
        """Return the kind in the file of a backend, before it is checked."""
        path = self.conf.find(f"backend/{backend}.yaml")
        document = read_yaml(self.conf, path) if path is not None else {}
        return str(document.get("kind", "agent")) if isinstance(document, dict) else "agent"

    def _every(self, group: str) -> list[str]:
        names = self.conf.choices(group)
        for name in names:
            require(self.conf, group, name, f"conf/{group}")
        return names

    def _group(
        self, tree: Mapping[str, Any], group: str, kind: type[S], names: Mapping[str, Sequence[str]]
    ) -> dict[str, S]:
        return {name: self._entry(tree[group][name], kind, f"{group}.{name}", name) for name in names[group]}

    def _check_together(self, config: Config) -> None:
        """Raise `ConfError` for entries that are valid on their own but do not fit together."""
        for name, model in config.model.items():
            if model.provider not in config.provider:
                raise ConfError(
                    f"conf/model/{name}.yaml: model.{name}.provider: there is no provider {model.provider}; "
                    f"{hint(model.provider, config.provider)}"
                )
            provider = config.provider[model.provider]
            PROVIDERS[provider.kind].check(model, provider)
        self._check_code(config)
        self._check_prompts(config)
        if not make_sandbox(config.sandbox).seals and not config.suite.allow_no_sandbox:
            raise ConfError(
                f"conf/suite/{self.suite}.yaml: sandbox={config.sandbox.name} seals nothing, and this suite does not "
                f"allow it; set suite.allow_no_sandbox: true in that file, or choose from: "
                f"{listed(c for c in self.conf.choices('sandbox') if c != config.sandbox.name)}"
            )

    def _check_code(self, config: Config) -> None:
        """Raise `ConfError` for an environment's kind, or a backend's adapter or executable, that cannot be found."""
        adapters = any(backend.adapter is not None for backend in config.backend.values())
        if adapters or any(map(names_code, config.environment.values())):
            make_importable(self.conf.root)
        for environment in config.environment.values():
            try:
                check_environment(environment)
            except ValueError as error:
                raise ConfError(f"conf/environment/{environment.name}.yaml: {error}") from error
            self._check_rule(environment)
        for backend in config.backend.values():
            program_options(backend) if backend.kind == "program" else executable_of(backend)

    def _check_prompts(self, config: Config) -> None:
        """Raise `ConfError` for a prompt that does not exist, or has a template that is wrong for an environment."""
        require(self.conf, "prompt", config.default_prompt, "conf/config.yaml: defaults")
        if config.suite.prompt:
            require(self.conf, "prompt", config.suite.prompt, f"conf/suite/{self.suite}.yaml: suite.prompt")
        for name, environment in config.environment.items():
            if environment.prompt:
                where = f"conf/environment/{name}.yaml: environment.{name}.prompt"
                require(self.conf, "prompt", environment.prompt, where)
            prompt = config.prompt_of(environment)
            try:
                check_prompt(prompt, environment, config.evaluation, config.limits)
            except TemplateFault as fault:
                key = f"prompt.{prompt.name}.{fault.part}"
                setter = self.settings.setter(key) or self.composer.setter(key)
                raise (ConfError(f"{setter}: {key}: {fault.reason}") if setter else fault) from fault

    def _check_rule(self, environment: EnvironmentConf) -> None:
        """Raise `ConfError` if the environment's `solved_when` is not a rule."""
        key = f"environment.{environment.name}.solved_when"
        try:
            parse_rule(environment.solved_when)
        except ValueError as error:
            setting = self.settings.setter(key)
            where = self.composer.setter(key) or f"conf/environment/{environment.name}.yaml"
            raise ConfError(f"{f'{setting}: ' if setting else ''}{where}: {key}: {error}") from error

    def _check(self, value: Any, kind: type[S], prefix: str, file: str) -> S:
        """Return a part of the tree as its struct. Raise `ConfError`, which names the file of the wrong key."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, inside = in_plain_words(error).partition(" - at `$")
            key = prefix + inside.rstrip("`")
            unknown = re.search(r"unknown field `(.+?)`", message)
            setting = self.settings.setter(key)
            lacks = "missing required field" in message
            root = None if lacks else self.composer.setter(f"{key}.{unknown[1]}" if unknown else key)
            where = root or f"conf/{file}.yaml"
            advice = f"; valid: {listed(_struct_at(kind, inside).__struct_fields__)}" if unknown else ""
            if "Invalid enum value" in message:
                advice = f"; choose from: {_choices_at(kind, inside)}"
            raise ConfError(f"{f'{setting}: ' if setting else ''}{where}: {key}: {message}{advice}") from error

    def _entry(self, value: Any, kind: type[S], prefix: str, name: str) -> S:
        """Return an entry of a group. Raise `ConfError` if it is wrong, or does not have the name of its file."""
        group = prefix.partition(".")[0]
        entry = self._check(value, kind, prefix, f"{group}/{name}")
        if getattr(entry, "name", None) != name:
            raise ConfError(f"conf/{group}/{name}.yaml: {prefix}.name must be {name}, the name of the file")
        return entry


def _entries(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the entries of the groups as a defaults list of Hydra, each in its own package."""
    return {f"{group}@{group}.{name}": name for group, chosen in names.items() for name in chosen}


def _choices_at(kind: type[Struct], inside: str) -> str:
    """Return the values that a struct's field takes, in words. `inside` is msgspec's path to it (`.wires[0]`)."""
    field = re.split(r"[.\[\]`]", inside)[1]
    declared = next((f.type for f in msgspec.structs.fields(kind) if f.name == field), None)
    has_list = get_origin(declared) in {Union, UnionType} and any(get_origin(p) is list for p in get_args(declared))
    return listed(_literals(declared)) + (", or a list of names" if has_list else "")


def _struct_at(kind: type[Struct], inside: str) -> type[Struct]:
    """Return the struct at msgspec's path inside `kind`: `Exclusion` for `.exclude[0]` in a suite."""
    for name in re.findall(r"\.(\w+)", inside):
        declared = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
        kind = next(_structs(declared), kind)
    return kind


def _structs(declared: Any) -> Iterator[type[Struct]]:
    """Yield the structs in a type, such as `list[Exclusion]` or `Price | None`."""
    if isinstance(declared, type) and issubclass(declared, Struct):
        yield declared
    for part in get_args(declared):
        yield from _structs(part)


def _literals(declared: Any) -> list[str]:
    if get_origin(declared) is Literal:
        return list(get_args(declared))
    return [value for part in get_args(declared) for value in _literals(part)]
