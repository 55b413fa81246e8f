"""Composes the configuration with Hydra, from every folder of a project's search path.

A group's file is the first of its name on the search path. The `config.yaml` files are merged, so a project's file
needs only the changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from harness.conf_path import ConfPath, one_line
from harness.endings import ConfError

ROOT_FILE: Final = "config.yaml"
_MERGED: Final = "_proctor_"
"""The name of the merged `config.yaml` in Hydra's store."""

_ADDED: Final = "_added_"
"""The groups of the entries without files begin so, because Hydra would take these for the schemas of files."""

_FAULTS: Final = (HydraException, OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError, RecursionError)


class Composer:
    """Composes the groups' files and the merged `config.yaml` of a search path. Raise `ConfError` for a broken file.

    `roots` maps the name of each `config.yaml`, as messages show it, to its contents, in the order of the folders.
    `defaults` are the entries that their `defaults` choose, by group: a sandbox and a prompt.
    """

    def __init__(self, conf: ConfPath) -> None:
        self._conf = conf
        self._added: set[tuple[str, str]] = set()
        if misnamed := conf.misnamed(ROOT_FILE):
            raise ConfError(misnamed)
        self.roots = {conf.shown(path): _mapping(conf, path) for path in conf.every(ROOT_FILE)}
        self.defaults = {"sandbox": "bubblewrap", "prompt": "default"}
        for file, document in reversed(self.roots.items()):
            self.defaults |= _chosen(file, document.pop("defaults", []))

    def add(self, group: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Add entries that have no file to a group."""
        for name, entry in entries.items():
            ConfigStore.instance().store(group=_ADDED + group, name=name, node=dict(entry))
            self._added.add((group, name))

    def has(self, group: str, name: str) -> bool:
        """Return whether an entry was added to a group."""
        return (group, name) in self._added

    def setter(self, key: str) -> str | None:
        """Return the first `config.yaml` that sets a key such as `limits.turns`, or None."""
        path = re.split(r"[.\[]", key)
        return next((file for file, document in self.roots.items() if _has(document, path)), None)

    def compose(self, entries: Mapping[str, str], overrides: Sequence[str]) -> dict[str, Any]:
        """Return the tree of the chosen entries (`backend@backend.claude: claude`), changed by `config.yaml`.

        The Hydra overrides are applied last.
        """
        first, *others = [folder.resolve() for folder in self._conf.folders if folder.is_dir()]
        chosen = {
            "defaults": [*({self._place(group, name): name} for group, name in entries.items()), "_self_"],
            "hydra": {"searchpath": [f"file://{folder}" for folder in others]},
        }
        with self._naming_the_culprit(entries, overrides), initialize_config_dir(str(first), version_base="1.3"):
            merged = OmegaConf.merge(*reversed(self.roots.values()), chosen)
            ConfigStore.instance().store(_MERGED, merged)
            tree = OmegaConf.to_container(compose(_MERGED, list(overrides)), resolve=True)
        return {str(key): value for key, value in tree.items()} if isinstance(tree, dict) else {}

    def _place(self, group: str, name: str) -> str:
        """Return the group `environment@environment.NAME` as Hydra finds the entry."""
        return f"{_ADDED}{group}" if self.has(group.partition("@")[0], name) else group

    def _file(self, group: str, name: str) -> Path:
        file = f"{group.partition('@')[0]}/{name}.yaml"
        return self._conf.find(file) or self._conf.own / file

    @contextmanager
    def _naming_the_culprit(self, entries: Mapping[str, str], overrides: Sequence[str]) -> Iterator[None]:
        """Turn an error of Hydra into a `ConfError` that names the file at fault, or the `--set`."""
        try:
            yield
        except _FAULTS as error:
            files = {
                group.partition("@")[2] or group: self._file(group, name)
                for group, name in entries.items()
                if not self.has(group.partition("@")[0], name)
            }
            for file in files.values():
                defaults = _mapping(self._conf, file).get("defaults")
                if isinstance(defaults, list) and file.stem in defaults:
                    shown = self._conf.shown(file)
                    raise ConfError(f"{shown}: defaults: a file cannot include itself; give it a new name") from error
            key = str(getattr(error, "full_key", None) or "")
            setting = next((f"--set {text}" for text in overrides if text.lstrip("+").startswith(f"{key}=")), None)
            file = next((file for prefix, file in files.items() if f"{key}.".startswith(f"{prefix}.")), self._conf.own)
            raise ConfError(f"{setting or self.setter(key) or self._conf.shown(file)}: {one_line(error)}") from error


def parse_override(text: str) -> Override:
    """Return the Hydra override that `--set TEXT` gives. Raise `ConfError`."""
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfError(
            f"--set {text}: write KEY=VALUE, and a text with special characters in quotes, --set 'KEY=\"a: b\"': "
            f"{one_line(error)}"
        ) from error
    if override.is_sweep_override():
        raise ConfError(
            f"--set {text}: this gives several values; write a text with a comma in quotes, --set 'KEY=\"a, b\"', "
            "and a list in brackets, --set 'KEY=[a, b]'"
        )
    return override


def read_yaml(conf: ConfPath, path: Path) -> Any:
    """Return the contents of a file, with unresolved interpolations. Dates are text, and an empty file is `{}`.

    Raise `ConfError` if it is not valid.
    """
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except _FAULTS as error:
        raise ConfError(f"{conf.shown(path)}: {one_line(error)}") from error


def _mapping(conf: ConfPath, path: Path) -> dict[str, Any]:
    """Return the contents of a file that holds a mapping. Raise `ConfError` if it is not valid."""
    document = read_yaml(conf, path)
    if not isinstance(document, dict):
        raise ConfError(f"{conf.shown(path)}: must be a mapping of keys to values")
    return {str(key): value for key, value in document.items() if value is not None}


def _chosen(file: str, defaults: Any) -> dict[str, str]:
    """Return the entries that the `defaults` of a `config.yaml` choose, by group. Raise `ConfError`."""
    chosen: dict[str, str] = {}
    for entry in defaults if isinstance(defaults, list) else [defaults]:
        if isinstance(entry, dict) and set(entry) in ({"sandbox"}, {"prompt"}):
            chosen |= {group: str(name) for group, name in entry.items()}
        elif entry != "_self_":
            raise ConfError(
                f"{file}: defaults: {entry} cannot be chosen here; valid: {{sandbox: NAME}}, {{prompt: NAME}}"
            )
    return chosen


def _has(document: Any, path: Sequence[str]) -> bool:
    """Return whether a document sets the key at `path`, or replaces a parent of it with something else."""
    for key in path:
        if not isinstance(document, Mapping):
            return True
        if key not in document:
            return False
        document = document[key]
    return True
