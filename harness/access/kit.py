"""The kit: a folder that the agent's box shows read-only, with links to it in the agent's workspace."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

from harness.access import env_client
from harness.access.server import ServedWorld
from harness.environment_conf import EnvironmentConf
from harness.environments import plain
from harness.environments.factory import adapter_path
from harness.environments.hosted import HostedEnvironment
from harness.environments.provenance import packages_of
from harness.evaluation import worker_primitives, worker_states
from harness.imports import source_of
from harness.telemetry import WorldUse

ENDPOINT = "world"
"""The endpoint of the agent's box at which the clients of an environment are served."""
KIT = "kit"
"""The name of the kit's mount."""
CLIENT = "env_client.py"
SOURCE = "environment_source"
LINKS = frozenset({CLIENT, SOURCE})
"""What links to the kit may be called in a workspace."""
_PARTS = (
    Path(plain.__file__),
    Path(plain.__file__).with_name("spaces.py"),
    Path(plain.__file__).with_name("object_space.py"),
    Path(plain.__file__).with_name("object_centric.py"),
    Path(worker_states.__file__),
    Path(worker_primitives.__file__),
)
"""The files that the client loads: a program sees the same of its environment as in its own box."""
_FACTS = "access.json"


class Access:
    """What an agent gets of an environment besides its tools, as `visibility` in the environment's configuration says.

    `source` names what a readable source consists of. `granted` are the primitives that the agent's program is given.
    `links` are the links in the workspace: each leads to the entry of the kit that has the same name. `use` counts what
    the agent does with the environment.
    """

    def __init__(self, conf: EnvironmentConf, environment: HostedEnvironment, use: WorldUse) -> None:
        self.use = use
        self.is_open = conf.visibility == "source"
        self.granted = environment.granted
        self._environment = environment
        self._files = _source_files(conf, environment) if self.is_open else {}
        self.source = tuple(sorted(self._files))
        self._has_client = not self.is_open or bool(self.granted.names)
        self.links = (*((SOURCE,) if self.source else ()), *((CLIENT,) if self._has_client else ()))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that the agent's box needs for this."""
        return (ENDPOINT,) if self._has_client else ()

    def fill(self, kit: Path) -> None:
        """Write the files of the kit into a new folder. Raise `OSError`."""
        kit.mkdir(mode=0o755)
        if self.source:
            _copy_source(self._files, kit / SOURCE)
        if self._has_client:
            for file in (Path(env_client.__file__), *_PARTS, *self.granted.files.values()):
                shutil.copyfile(file, kit / file.name)
            (kit / _FACTS).touch()
        for path in (kit, *kit.rglob("*")):  # whatever the umask, another user reads them in the box
            path.chmod(0o755 if path.is_dir() else 0o644)

    def serve(self, listener: socket.socket, kit: Path) -> ServedWorld:
        """Offer a black box, or else its primitives alone, on a listening socket. Tell the client where that is."""
        request = self.granted.request()
        if request is not None:
            request["modules"] = {name: [Path(file).name, part] for name, (file, part) in request["modules"].items()}
        facts = {"port": listener.getsockname()[1], "plays": not self.is_open, "primitives": request}
        (kit / _FACTS).write_text(json.dumps(facts))
        return ServedWorld(self._environment, self.use, listener, plays=not self.is_open)


def _source_files(conf: EnvironmentConf, environment: HostedEnvironment) -> dict[str, Path]:
    """Return the file of the adapter and the folders of the environment's packages, by the names that they get."""
    found = source_of(adapter_path(conf))
    adapter = {found[0].name: found[0]} if found is not None and found[0].is_file() else {}
    modules = packages_of(conf)
    folders = environment.run("harness.environments.locating:folders_of", modules=modules) if modules else {}
    return adapter | {f"{name}/": Path(folder) for name, folder in folders.items()}


def _copy_source(files: dict[str, Path], target: Path) -> None:
    """Copy the Python files of a source."""
    target.mkdir(mode=0o755)
    for name, place in files.items():
        if place.is_dir():
            shutil.copytree(place, target / name, ignore=_all_but_source, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(place, target / name)


def _all_but_source(folder: str, names: list[str]) -> list[str]:
    """Return which of the names in a folder are not copied."""
    source = {name for name in names if name.endswith(".py") or Path(folder, name).is_dir()} - {"__pycache__"}
    return [name for name in names if name not in source]
